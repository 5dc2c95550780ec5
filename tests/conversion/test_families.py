"""Converting networks as people write them."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

import qfx
from qfx import nn as qnn
from qfx.conversion import Converted
from qfx.models import VGG
from qfx.training import Recipe, fit
from tests.conversion.nets import FAMILIES, check_exact, floats, for_images, images, normalised, uneven


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    """Exact in eval, the float function without quantizers, and the caller's model is as it was."""
    make, shape = FAMILIES[family]
    torch.manual_seed(0)
    model, x = uneven(make()), images(shape)
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        wanted = model(normalised(x))
    converted = qfx.convert(model, x, for_images(statistics=False))
    check_exact(converted, x)
    torch.testing.assert_close(floats(converted, x), wanted, rtol=1e-4, atol=1e-4)
    assert not model.training and all(torch.equal(entry, before[name]) for name, entry in model.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(model(normalised(x)), wanted, rtol=0, atol=0)


def test_names_and_weights_are_those_of_the_float_model() -> None:
    make, shape = FAMILIES["resnet"]
    model = make()
    converted = qfx.convert(model, images(shape), for_images(statistics=False))
    state = converted.state_dict()
    assert all(torch.equal(state[name], entry) for name, entry in model.state_dict().items())
    for name in ("input", "stages.1.0.relu", "stages.1.0.relu_1", "stages.1.0.add", "stages.1.0.downsample.0"):
        assert isinstance(converted.get_submodule(name), qnn.Layer)


def test_widths_of_b_bits() -> None:
    make, shape = FAMILIES["resnet"]
    graph = qfx.convert(make(), images(shape), for_images(3)).lower(shape)
    width = {name: value.type.width for name, value in graph.values.items()}
    assert width["conv1.weight"] == width["fc.weight"] == width["bn1.scale"] == width["input.quant"] == width["avgpool.quant"] == 8
    assert width["stages.0.0.conv1.weight"] == width["relu.quant"] == 3 and width["stages.0.0.add.a"] == 4


def test_casts_of_a_linear_bottleneck() -> None:
    """What a convolution and an addition both read is cast once; a sum is cast before the next convolution."""
    make, shape = FAMILIES["mobilenet_v2"]
    graph = qfx.convert(make(), images(shape), for_images(5)).lower(shape)
    signed = {name: value.type.signed for name, value in graph.values.items()}
    assert signed["features.2.conv.2.1_cast.quant"] and not signed["features.2.conv.1.2.quant"]
    assert [node.name for node in graph.consumers("features.2.conv.2.1_cast.quant")] == ["features.3.conv.0.0", "features.3.add"]
    assert graph.values["features.3.add_cast.quant"].type.width == 5


def test_training_copying_and_saving() -> None:
    make, shape = FAMILIES["vgg"]
    torch.manual_seed(0)
    x, y = images(shape, 32), torch.arange(32) % 10
    converted = qfx.convert(uneven(make()), x, for_images())
    assert isinstance(converted, Converted) and isinstance(converted, qnn.Model) and not converted.training
    twin = copy.deepcopy(converted)
    data = [(x, y)] * 3
    fit(converted, data, Recipe(2, lr=1e-2))
    check_exact(converted, x)
    assert not torch.equal(converted.get_parameter("classifier.0.weight"), twin.get_parameter("classifier.0.weight"))
    twin.load_state_dict(converted.state_dict())
    again = io.BytesIO()
    torch.save(converted, again)
    again.seek(0)
    restored: Any = torch.load(again, weights_only=False)  # our own bytes
    assert isinstance(restored, Converted)
    with torch.no_grad():
        assert torch.equal(twin(x), converted(x)) and torch.equal(restored(x), converted(x))


def test_a_state_dict_fits_a_network_converted_from_any_weights() -> None:
    """So a factory for `qfx export` and `qfx info` converts with a small sample of its own; formats come with the weights."""
    make, shape = FAMILIES["mobilenet_v2"]
    torch.manual_seed(0)
    trained = qfx.convert(uneven(make()), images(shape, 32), for_images())
    made = qfx.convert(make(), images(shape, 1, seed=9), for_images())
    made.load_state_dict(trained.state_dict())
    x = images(shape, 8, seed=2)
    with torch.no_grad():
        assert torch.equal(made(x), trained(x))
    assert made.lower(shape).text() == trained.lower(shape).text()


def test_dropout_works_in_training() -> None:
    for family in ("vgg", "mlp"):
        make, shape = FAMILIES[family]
        x = images(shape)
        converted = qfx.convert(make(), x, for_images())
        drops = [layer for layer in converted.modules() if isinstance(layer, nn.Dropout)]
        assert len(drops) == (1 if family == "vgg" else 2)


def test_the_size_that_an_image_has_needs_no_pool() -> None:
    graph = qfx.convert(VGG((4, "M", 6, "M"), 12, 10), images((3, 8, 8)), for_images()).lower((3, 8, 8))
    assert "avg_pool2d" not in {node.op.kind for node in graph.nodes}
