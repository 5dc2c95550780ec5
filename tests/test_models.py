"""The reference networks: their sizes, their graphs, and that the engines agree on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qfx
from qfx.conversion import Converted
from qfx.export.accelerator import fastest
from qfx.export.hls.board import load_board
from qfx.export.hls.render import render
from qfx.ir import Graph
from qfx.models import CifarSmall, DepthwiseSmall, DigitsNet, ResNet8, ResNet20
from qfx.ops import Affine
from qfx.sim import Simulator

IMAGE, DIGIT = (3, 32, 32), (1, 8, 8)
NETWORKS: tuple[Callable[[], nn.Module], ...] = (CifarSmall, ResNet8, ResNet20, DepthwiseSmall, DigitsNet)
GOLDEN = Path(__file__).parent / "golden"


def images(count: int) -> Tensor:
    return torch.randint(0, 256, (count, *IMAGE), generator=torch.Generator().manual_seed(3)).to(torch.float32)


def digits(count: int) -> Tensor:
    return torch.randint(0, 17, (count, *DIGIT), generator=torch.Generator().manual_seed(3)).to(torch.float32)


def quantized(model: nn.Module, bits: int = 8, **settings: Any) -> Converted:
    """The network for raw pixels, as fractions of 256 unless told otherwise; digits are normalised."""
    if isinstance(model, DigitsNet):
        given, sample = qfx.InputFormat((0.305,), (0.376,), 16.0), digits(8)
    else:
        given, sample = qfx.InputFormat.fractions(), images(8)
    return qfx.convert(model, config=qfx.ConvertConfig.bits(bits, **{"input": given, **settings}), sample=sample)


def ready(model: nn.Module) -> Graph:
    """The graph of `model` in 8 bits."""
    return quantized(model).lower(IMAGE)


def products(graph: Graph) -> int:
    """Multiplications of an image in convolutions and linears."""
    nodes = [node for node in graph.nodes if node.op.kind in {"conv2d", "linear"}]
    pixels = {node.name: int(np.prod(graph.values[node.name].shape[1:])) for node in nodes}
    return sum(pixels[node.name] * graph.values[node.inputs[1]].size for node in nodes)


@pytest.mark.parametrize("make", NETWORKS)
def test_the_engine_computes_what_torch_does(make: Callable[[], nn.Module]) -> None:
    model = quantized(make())
    graph, x = (model.lower(DIGIT), digits(3)) if make is DigitsNet else (model.lower(IMAGE), images(3))
    with torch.no_grad():
        logits = model(x).to(torch.float64).numpy()
    codes = Simulator(graph).run({graph.inputs[0]: x.numpy().astype(np.int64)})[graph.outputs[0]]
    np.testing.assert_array_equal(graph.values[graph.outputs[0]].type.to_real(codes), logits)


@pytest.mark.parametrize("make", NETWORKS)
def test_graphs(make: Callable[[], nn.Module], request: pytest.FixtureRequest) -> None:
    """In 4 bits: every layer, cast and format."""
    torch.manual_seed(0)
    model = make()
    name = type(model).__name__.lower()
    text = quantized(model, 4).lower(DIGIT if make is DigitsNet else IMAGE, name).text()
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text(), "the graph changed; look at it, then run pytest --update-golden"


def test_sizes() -> None:
    assert products(ready(CifarSmall())) == 442_368 + 2 * 1_179_648 + 640
    assert products(ready(ResNet8())) == 12_501_632
    assert products(ready(ResNet20())) == 40_813_184
    assert products(ready(DepthwiseSmall())) == 4_592_896
    assert sum(parameter.numel() for parameter in CifarSmall().parameters()) == 24_346
    assert sum(parameter.numel() for parameter in ResNet8().parameters()) == 77_946


def test_widths() -> None:
    graph = quantized(ResNet8(), 4).lower(IMAGE)
    widths = {name: value.type.width for name, value in graph.values.items()}
    assert widths["conv.weight"] == widths["fc.weight"] == widths["stage1.bn1.scale"] == widths["pool.quant"] == 8
    assert widths["stage2.conv1.weight"] == widths["act.quant"] == 4 and widths["stage2.add.b"] == 5


def test_normalised_and_multiplier_free() -> None:
    """With mean and std the input is normalised in the network; K-hot settings reach every constant."""
    config = qfx.ConvertConfig.multiplier_free(input=qfx.InputFormat((0.5, 0.4, 0.3), (0.2, 0.2, 0.3)))
    graph = qfx.convert(CifarSmall(), config=config, sample=images(8)).lower(IMAGE)
    first = graph.nodes[0]
    assert first.name == "input.norm" and isinstance(first.op, Affine) and first.op.digits == 2
    assert {getattr(node.op, "digits", 2) for node in graph.nodes} == {2}


def test_the_accelerator_of_resnet8_can_be_read(request: pytest.FixtureRequest) -> None:
    """The top of the fastest 8-bit ResNet-8 on the Ultra96, from the first stage to the last."""
    torch.manual_seed(0)
    board = load_board("ultra96")
    found = fastest(quantized(ResNet8()).lower(IMAGE, "resnet8"), board)
    assert found.estimate.cycles_per_frame == 16_384
    text, golden = render(found.design, board, board.clock_ns, 1)["resnet8.cpp"], GOLDEN / "resnet8.cpp"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text(), "the top changed; look at it, then run pytest --update-golden"
