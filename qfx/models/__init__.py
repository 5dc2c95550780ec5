"""Reference networks, each written once in plain torch: `qfx.convert` makes the quantized one.

CifarSmall, ResNet8, ResNet20, DepthwiseSmall   3x32x32 images, 10 classes
DigitsNet                                       the 8x8 digits of scikit-learn
ResNet, MobileNetV1, MobileNetV2, VGG, MLP      families, as people write them, of any size
"""

from qfx.models.cifar_small import CifarSmall
from qfx.models.depthwise import DepthwiseSmall
from qfx.models.digits import DigitsNet
from qfx.models.mlp import MLP
from qfx.models.mobilenet import MobileNetV1, MobileNetV2
from qfx.models.resnet_cifar import ResNet8, ResNet20
from qfx.models.resnet_imagenet import ResNet
from qfx.models.vgg import VGG

__all__ = [
    "MLP",
    "VGG",
    "CifarSmall",
    "DepthwiseSmall",
    "DigitsNet",
    "MobileNetV1",
    "MobileNetV2",
    "ResNet",
    "ResNet8",
    "ResNet20",
]
