"""The reference networks for 3x32x32 images: their shape, their float twins, and that the engines agree on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qfx import nn as qnn
from qfx.conversion import calibrate
from qfx.export.accelerator import fastest
from qfx.export.hls.board import load_board
from qfx.export.hls.render import render
from qfx.ir import Graph
from qfx.models import (
    CifarConfig,
    CifarSmall,
    DepthwiseSmall,
    FloatCifarSmall,
    FloatDepthwiseSmall,
    FloatResNet8,
    FloatResNet20,
    ResNet8,
    ResNet20,
)
from qfx.ops import Affine
from qfx.quant import quantizers, set_enabled
from qfx.sim import Simulator

IMAGE = (3, 32, 32)
TWINNED = [
    (CifarSmall, FloatCifarSmall),
    (ResNet8, FloatResNet8),
    (ResNet20, FloatResNet20),
    (DepthwiseSmall, FloatDepthwiseSmall),
]
TWINS = pytest.mark.parametrize(("quantized", "plain"), TWINNED)


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, *IMAGE), generator=torch.Generator().manual_seed(3)).to(torch.float32)


def ready(model: qnn.Model) -> Graph:
    calibrate(model, [images(8)])
    return model.eval().lower(IMAGE)


def products(graph: Graph) -> int:
    """Multiplications of an image in convolutions and linears."""
    nodes = [node for node in graph.nodes if node.op.kind in {"conv2d", "linear"}]
    pixels = {node.name: int(np.prod(graph.values[node.name].shape[1:])) for node in nodes}
    return sum(pixels[node.name] * graph.values[node.inputs[1]].size for node in nodes)


@TWINS
def test_the_engine_computes_what_torch_does(quantized: type[qnn.Model], plain: type[nn.Module]) -> None:
    model = quantized()
    graph = ready(model)
    x = images(3)
    with torch.no_grad():
        logits = model(x).to(torch.float64).numpy()
    codes = Simulator(graph).run({graph.inputs[0]: x.numpy().astype(np.int64)})[graph.outputs[0]]
    np.testing.assert_array_equal(graph.values[graph.outputs[0]].type.to_real(codes), logits)


@TWINS
def test_float_twins(quantized: type[qnn.Model], plain: type[nn.Module]) -> None:
    """The same parameters by name; with the quantizers off, the same function."""
    torch.manual_seed(1)
    model, twin = quantized().eval(), plain().eval()
    assert model.load_state_dict(twin.state_dict(), strict=False).unexpected_keys == []
    formats = tuple(f"{path}." for path in quantizers(model))
    assert [name for name, _ in model.named_parameters() if not name.startswith(formats)] == [n for n, _ in twin.named_parameters()]
    set_enabled(model, False)
    with torch.no_grad():
        torch.testing.assert_close(model(images(2)), twin(images(2) / 256))


def test_sizes() -> None:
    assert products(ready(CifarSmall())) == 442_368 + 2 * 1_179_648 + 640
    assert products(ready(ResNet8())) == 12_501_632
    assert products(ready(ResNet20())) == 40_813_184
    assert products(ready(DepthwiseSmall())) == 4_592_896
    assert sum(parameter.numel() for parameter in FloatCifarSmall().parameters()) == 24_346
    assert sum(parameter.numel() for parameter in FloatResNet8().parameters()) == 77_946


def test_widths() -> None:
    graph = ready(ResNet8(CifarConfig.bits(4)))
    widths = {name: value.type.width for name, value in graph.values.items()}
    assert widths["conv.weight"] == widths["fc.weight"] == widths["stage1.bn1.scale"] == widths["pool.quant"] == 8
    assert widths["stage2.conv1.weight"] == widths["act.quant"] == 4 and widths["stage2.add.b"] == 5


def test_normalised_and_multiplier_free() -> None:
    """With mean and std the input is normalised in the network; K-hot settings reach every constant."""
    graph = ready(CifarSmall(CifarConfig(weights=6, ends=6, weights_k_hot=2, norm_k_hot=2), (0.5, 0.4, 0.3), (0.2, 0.2, 0.3)))
    first = graph.nodes[0]
    assert first.name == "input.norm" and isinstance(first.op, Affine) and first.op.digits == 2
    assert {getattr(node.op, "digits", 2) for node in graph.nodes} == {2}


def test_the_accelerator_of_resnet8_can_be_read(request: pytest.FixtureRequest) -> None:
    """The top of the fastest 8-bit ResNet-8 on the Ultra96, from the first stage to the last."""
    torch.manual_seed(0)
    board, model = load_board("ultra96"), ResNet8()
    calibrate(model, [images(8)])
    found = fastest(model.eval().lower(IMAGE, "resnet8"), board)
    assert found.estimate.cycles_per_frame == 16_384
    text, golden = render(found.design, board, board.clock_ns, 1)["resnet8.cpp"], Path(__file__).parent / "golden/resnet8.cpp"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text(), "the top changed; look at it, then run pytest --update-golden"
