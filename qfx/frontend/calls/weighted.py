"""Modules with parameters. Their integers have formats, so each has a layer in qfx.nn, which states its own ops."""

from __future__ import annotations

from torch import nn

from qfx.frontend.calls.call import Call

CALLS = (
    Call(("conv1d",), modules={nn.Conv1d: None}, handled=True, layer="Conv1d", product=True),
    Call(("conv2d",), modules={nn.Conv2d: None}, handled=True, layer="Conv2d", product=True),
    Call(("conv_transpose1d",), modules={nn.ConvTranspose1d: None}, handled=True, layer="ConvTranspose1d", product=True),
    Call(("conv_transpose2d",), modules={nn.ConvTranspose2d: None}, handled=True, layer="ConvTranspose2d", product=True),
    Call(("linear",), modules={nn.Linear: None}, handled=True, layer="Linear", product=True),
    Call(("batch_norm1d",), modules={nn.BatchNorm1d: None}, handled=True, layer="BatchNorm1d"),
    Call(
        ("batch_norm",),
        modules={nn.BatchNorm2d: None, nn.SyncBatchNorm: None},
        handled=True,
        layer="BatchNorm2d",
    ),
    Call(("prelu",), modules={nn.PReLU: None}, handled=True, layer="PReLU"),
)
