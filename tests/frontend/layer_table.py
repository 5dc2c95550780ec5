"""Ordinary small modules and functions, as people write them: what converts, and what is refused.

Each line is Python that is run, with `x` the tensor; docs/layers.md is made of these lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from qfx.frontend.calls.table import CALLS

Shape = tuple[int, ...]

IMAGE: Shape = (4, 8, 8)
SIGNAL: Shape = (4, 16)
FEATURES: Shape = (12,)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        code: an expression; a module, or a function of `x`.
        shape: of `x`, without the batch axis.
    """

    code: str
    shape: Shape = IMAGE


LAYERS = (
    Row("qfx.nn.Conv2d(4, 6, 3, padding=1)"),
    Row("qfx.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2))"),
    Row("qfx.nn.Conv2d(4, 6, 3, groups=2)"),
    Row("qfx.nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4)"),
    Row("qfx.nn.Conv2d(4, 4, 3, padding='same', dilation=2, groups=4)"),
    Row("qfx.nn.Conv2d(4, 4, 2, padding='same')"),
    Row("qfx.nn.Conv1d(4, 6, 3, padding=1)", SIGNAL),
    Row("qfx.nn.Conv1d(4, 4, 5, stride=2, groups=4)", SIGNAL),
    Row("qfx.nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1)"),
    Row("qfx.nn.ConvTranspose2d(4, 4, 2, stride=2, groups=4)"),
    Row("qfx.nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1, output_padding=1)", SIGNAL),
    Row("qfx.nn.ConvTranspose1d(4, 4, 2, groups=4, dilation=2)", SIGNAL),
    Row("qfx.nn.Linear(12, 5)", FEATURES),
    Row("qfx.nn.BatchNorm2d(4)"),
    Row("qfx.nn.BatchNorm1d(4)", SIGNAL),
    Row("qfx.nn.BatchNorm1d(12)", FEATURES),
    Row("qfx.nn.ReLU()"),
    Row("qfx.nn.ReLU6()"),
    Row("qfx.nn.Hardtanh()"),
    Row("qfx.nn.PReLU(4)"),
    Row("qfx.nn.Sigmoid()"),
    Row("qfx.nn.Hardsigmoid()"),
    Row("qfx.nn.Tanh()"),
    Row("qfx.nn.SiLU()"),
    Row("qfx.nn.GELU()"),
    Row("qfx.nn.Hardswish()"),
    Row("qfx.nn.Exp()", FEATURES),
    Row("qfx.nn.Lookup(F.softplus)"),
    Row("qfx.nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)"),
    Row("qfx.nn.MaxPool1d(2)", SIGNAL),
    Row("qfx.nn.AvgPool2d(3, stride=2, padding=1)"),
    Row("qfx.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False, ceil_mode=True)"),
    Row("qfx.nn.AvgPool1d(3)", SIGNAL),
    Row("qfx.nn.AdaptiveAvgPool2d(1)", (4, 7, 7)),
    Row("qfx.nn.AdaptiveAvgPool2d((2, 4))"),
    Row("qfx.nn.AdaptiveAvgPool1d(1)", (4, 13)),
    Row("qfx.nn.Quantize(QuantSpec(5))"),
)
"""Layers of qfx.nn, which have formats of their own."""

MODULES = (
    Row("nn.Identity()"),
    Row("nn.Dropout(0.3)"),
    Row("nn.Dropout2d()"),
    Row("nn.Flatten()"),
    Row("nn.Unflatten(1, (2, 2))"),
    Row("nn.ReLU()"),
    Row("nn.ReLU6()"),
    Row("nn.Hardtanh(-2, 2)"),
    Row("nn.MaxPool2d(2)"),
    Row("nn.MaxPool2d(3, stride=2, ceil_mode=True)"),
    Row("nn.MaxPool2d(2, padding=1, dilation=2)"),
    Row("nn.MaxPool1d(3, stride=2)", SIGNAL),
    Row("nn.AvgPool2d(2)"),
    Row("nn.AvgPool2d((4, 2), stride=2, padding=1)"),
    Row("nn.AvgPool1d(4)", SIGNAL),
    Row("nn.AdaptiveAvgPool2d(1)"),
    Row("nn.AdaptiveAvgPool2d((4, 2))"),
    Row("nn.AdaptiveAvgPool1d(2)", SIGNAL),
    Row("nn.AdaptiveMaxPool2d(1)", (4, 7, 5)),
    Row("nn.AdaptiveMaxPool1d(4)", SIGNAL),
    Row("nn.ZeroPad2d((1, 2, 0, 1))"),
    Row("nn.ConstantPad2d(1, -0.5)"),
    Row("nn.ConstantPad1d((2, 1), 0.25)", SIGNAL),
    Row("nn.Upsample(scale_factor=2)"),
    Row("nn.Upsample(size=(16, 24), mode='nearest')"),
    Row("nn.UpsamplingNearest2d(scale_factor=3)"),
    Row("nn.PixelShuffle(2)"),
    Row("nn.PixelUnshuffle(2)"),
    Row("nn.ChannelShuffle(2)"),
)
"""torch's own, which are exact as they are."""

FUNCTIONS = (
    Row("x + x.relu()"),
    Row("x - F.relu6(x)"),
    Row("torch.sub(x.mean((2, 3)), x[..., 0, 0])"),
    Row("x * F.relu6(x)"),
    Row("x * x.mean((2, 3), keepdim=True)"),
    Row("torch.cat([x, x.relu()], dim=1)"),
    Row("torch.cat([x, x.relu()], dim=2)"),
    Row("torch.cat([x, F.relu6(x), x], dim=-1)"),
    Row("torch.cat([x, x[:, :, :3]], dim=-1)", SIGNAL),
    Row("x * 0.5"),
    Row("x / 4"),
    Row("3 * x"),
    Row("x * 0.6875"),
    Row("-x"),
    Row("x / -2"),
    Row("x + 1"),
    Row("x - 0.375"),
    Row("1 - x"),
    Row("torch.rsub(x, x.relu())"),
    Row("torch.clamp(x, -1, 1.5)"),
    Row("x.clamp_min(0.25)"),
    Row("x.clamp_max(1.25)"),
    Row("x.clamp(max=-0.5)"),
    Row("F.hardtanh(x, -0.5, 0.5)"),
    Row("F.max_pool2d(x, 2, ceil_mode=True)"),
    Row("F.avg_pool2d(x, 4)"),
    Row("F.adaptive_avg_pool2d(x, (2, 2))"),
    Row("x.mean((2, 3))"),
    Row("torch.mean(x, dim=[-2, -1], keepdim=True)"),
    Row("x.mean(3)"),
    Row("x.mean(-1)", SIGNAL),
    Row("x.view(x.size(0), -1)"),
    Row("x.reshape(x.shape[0], x.shape[1] // 2, 2, -1)"),
    Row("x.view(-1, 2, 2, 8, 8).transpose(1, 2).flatten(1, 2)"),
    Row("x.permute(0, 2, 3, 1)"),
    Row("x.transpose(1, 2)", SIGNAL),
    Row("x.unsqueeze(2).squeeze(2)", SIGNAL),
    Row("x[:, 1:3]"),
    Row("x[:, :, ::2, 1:]"),
    Row("x[..., 0]"),
    Row("x.narrow(1, 1, 2)"),
    Row("x.select(2, 3)"),
    Row("x.split([1, 3], dim=1)[1]"),
    Row("x.chunk(2, dim=1)[0]"),
    Row("F.pad(x, (1, 0, 2, 1), value=0.5)"),
    Row("F.interpolate(x, scale_factor=2)"),
    Row("F.pixel_shuffle(x, 2)"),
    Row("F.dropout(x, 0.5, False).contiguous() + x"),
    Row("F.alpha_dropout(x.relu(), 0.5, False)"),
    Row("x.argmax(1)", FEATURES),
    Row("(x.relu(), x.flatten(1))"),
    *(Row(call.example) for call in CALLS if call.example),
)
"""Plain functions and methods."""

HEADS = (
    Row("nn.Sequential(qfx.nn.Linear(12, 5), nn.Softmax(dim=1))", FEATURES),
    Row("nn.Sequential(qfx.nn.Linear(12, 5), nn.LogSoftmax(dim=-1))", FEATURES),
    Row("nn.Sequential(qfx.nn.Conv2d(4, 3, 1), nn.Softmax2d())"),
    Row("F.softmax(-x, dim=1)", FEATURES),
    Row("x.relu().log_softmax(2)"),
    Row("x.relu().topk(3, dim=1)", FEATURES),
    Row("torch.topk(-x, 2, dim=1, largest=False).indices", FEATURES),
    Row("x.relu().sort(1, descending=True)[0]", FEATURES),
    Row("torch.argsort(x.relu(), dim=2)"),
    Row("(x.relu(), x.relu().softmax(1))", FEATURES),
)
"""Post-processing on the CPU, behind the graph's outputs."""

REFUSED = (
    Row("nn.Conv2d(4, 4, 3)"),
    Row("nn.Linear(12, 4)", FEATURES),
    Row("nn.BatchNorm2d(4)"),
    Row("nn.Sigmoid()"),
    Row("nn.GELU()"),
    Row("nn.LeakyReLU()"),
    Row("nn.ELU()"),
    Row("F.softmax(x, dim=1).relu()", FEATURES),
    Row("x.sort(1)[0] + x", FEATURES),
    Row("nn.Softmax()", FEATURES),
    Row("nn.Softmin(dim=1)", FEATURES),
    Row("x.max(1)", FEATURES),
    Row("nn.LayerNorm(12)", FEATURES),
    Row("nn.GroupNorm(2, 4)"),
    Row("nn.LSTM(12, 4)", FEATURES),
    Row("nn.Conv3d(4, 4, 1)"),
    Row("nn.ConvTranspose1d(4, 4, 2)", SIGNAL),
    Row("nn.ReflectionPad2d(1)"),
    Row("nn.Upsample(scale_factor=2, mode='bilinear')"),
    Row("nn.Upsample(scale_factor=1.5)"),
    Row("nn.AvgPool2d(3)"),
    Row("nn.AvgPool2d(2, padding=1, count_include_pad=False)"),
    Row("nn.AdaptiveAvgPool2d(3)"),
    Row("nn.MaxPool2d(2, return_indices=True)"),
    Row("torch.clamp(x, 0, 0.1)"),
    Row("x.mean((2, 3))", (4, 7, 7)),
    Row("x.mean(1)"),
    Row("x * 0.3"),
    Row("x + 0.1"),
    Row("x / 3"),
    Row("2 / x"),
    Row("torch.add(x, x, alpha=2)"),
    Row("x.view(-1)"),
    Row("x.transpose(0, 1)"),
    Row("x[0]"),
    Row("x.squeeze()"),
    Row("torch.stack([x, x])"),
    Row("F.pad(x, (1, 1), mode='reflect')"),
    Row("F.pad(x, (1, 1), value=0.3)"),
    Row("torch.matmul(x, x)"),
    Row("x.argmax(1)"),
)
"""What has no exact form, each with the reason and what to use."""
