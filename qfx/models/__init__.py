"""Reference networks."""

from qfx.models.cifar import CifarConfig
from qfx.models.cifar_small import CifarSmall, FloatCifarSmall
from qfx.models.depthwise import DepthwiseSmall, FloatDepthwiseSmall
from qfx.models.digits import DigitsConfig, DigitsNet
from qfx.models.resnet import FloatResNet8, FloatResNet20, ResNet8, ResNet20

__all__ = [
    "CifarConfig",
    "CifarSmall",
    "DepthwiseSmall",
    "DigitsConfig",
    "DigitsNet",
    "FloatCifarSmall",
    "FloatDepthwiseSmall",
    "FloatResNet8",
    "FloatResNet20",
    "ResNet8",
    "ResNet20",
]
