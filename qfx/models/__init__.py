"""Reference networks."""

from qfx.models.cifar import CifarConfig
from qfx.models.cifar_small import CifarSmall, FloatCifarSmall
from qfx.models.digits import DigitsConfig, DigitsNet
from qfx.models.resnet8 import FloatResNet8, ResNet8

__all__ = ["CifarConfig", "CifarSmall", "DigitsConfig", "DigitsNet", "FloatCifarSmall", "FloatResNet8", "ResNet8"]
