"""Layers with a fixed-point meaning, drop-in for their torch counterparts.

Flatten, Identity and Dropout are torch's own: they are exact as they are, and Dropout is gone in the graph.
"""

from torch.nn import Dropout, Flatten, Identity

from qfx.nn.add import Add
from qfx.nn.avg_pool2d import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d
from qfx.nn.batch_norm import BatchNorm1d, BatchNorm2d
from qfx.nn.batch_norm_folding import fold_batch_norm
from qfx.nn.clamp import Hardtanh, ReLU6
from qfx.nn.conv2d import Conv1d, Conv2d
from qfx.nn.conv_transpose2d import ConvTranspose1d, ConvTranspose2d
from qfx.nn.layer import Layer
from qfx.nn.linear import Linear
from qfx.nn.lookup import GELU, Exp, Hardsigmoid, Hardswish, Lookup, Sigmoid, SiLU, Tanh
from qfx.nn.max_pool2d import MaxPool1d, MaxPool2d
from qfx.nn.model import Model
from qfx.nn.prelu import PReLU
from qfx.nn.quantize import QuantInput, Quantize
from qfx.nn.relu import ReLU

__all__ = [
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "Add",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dropout",
    "Exp",
    "Flatten",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "Layer",
    "Linear",
    "Lookup",
    "MaxPool1d",
    "MaxPool2d",
    "Model",
    "PReLU",
    "QuantInput",
    "Quantize",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "fold_batch_norm",
]
