"""The configuration: what wins over what, TOML, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import qfx
from qfx.conversion import Method
from qfx.errors import ConfigError, ConversionError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.models import ResNet
from qfx.quant import QuantSpec
from tests.conversion.nets import MEAN, STD, images, reals

FULL = """
weights = 4
activations = 5
weights_k_hot = 2
rounding = "AP_TRN"
calibration = "percentile"
percentile = 99.9

[input]
mean = [0.5, 0.5, 0.4]
std = [0.3, 0.2, 0.2]

[types.Conv2d]
weights = 6
per_channel = true

[types.Add]
pre_add = 9

[layers."stages.1.*"]
activations = 3
weights = 5

[layers."*.conv2"]
weights = 7
weights_k_hot = 0

[layers.fc]
weights = 2
learn = false
"""


def test_priorities(tmp_path: Path) -> None:
    """The last fitting pattern, then first_last, then the type, then the whole."""
    (tmp_path / "widths.toml").write_text(FULL)
    config = qfx.ConvertConfig.read(tmp_path / "widths.toml")
    weights = {
        ("conv1", "Conv2d", True): 8,  # first_last
        ("stages.0.0.conv1", "Conv2d", False): 6,  # type
        ("stages.1.0.conv1", "Conv2d", False): 5,  # pattern
        ("stages.1.0.conv2", "Conv2d", False): 7,  # the later pattern
        ("hidden", "Linear", False): 4,
        ("fc", "Linear", True): 2,  # a pattern wins over first_last
    }
    assert {call: config.formats(*call).weights for call in weights} == weights
    assert config.formats("stages.1.0.conv2", "Conv2d").weights_k_hot is None
    assert config.formats("stages.1.0.relu", "ReLU").result(False).width == 3
    assert config.formats("stages.1.0.add", "Add").branch().width == 9
    assert config.formats("stages.0.0.relu", "PReLU").branch().width == 6
    assert config.rounding is Rounding.TRN and config.overflow is Overflow.SAT
    assert config.calibration is Method.PERCENTILE and config.input.mean == MEAN


def test_a_file_is_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "widths.toml").write_text(FULL)
    shape, x = (3, 32, 32), images((3, 32, 32))
    model = qfx.convert(ResNet((1, 1), 4, 10), x, str(tmp_path / "widths.toml"))
    graph = model.lower(shape)
    width = {name: value.type.width for name, value in graph.values.items()}
    assert width["stages.1.0.add.a"] == 9 and width["stages.1.0.relu_1.quant"] == 3 and width["relu.quant"] == 5
    assert width["stages.0.0.conv1.weight"] >= 6 > 5 > width["fc.weight"] == 2  # per channel, codes share the finest grid
    requantize: Any = graph.node("relu.quant").op
    assert requantize.rounding is Rounding.TRN
    in_python = qfx.ConvertConfig(
        weights=4,
        activations=5,
        weights_k_hot=2,
        rounding="AP_TRN",  # type: ignore[arg-type]
        calibration="percentile",  # type: ignore[arg-type]
        percentile=99.9,
        input=qfx.InputFormat(MEAN, STD),
        types={"Conv2d": {"weights": 6, "per_channel": True}, "Add": {"pre_add": 9}},
        layers={
            "stages.1.*": {"activations": 3, "weights": 5},
            "*.conv2": {"weights": 7, "weights_k_hot": 0},
            "fc": {"weights": 2, "learn": False},
        },
    )
    assert in_python == qfx.ConvertConfig.read(tmp_path / "widths.toml")


def test_an_input_in_toml(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[inputs.x]\ntype = { signed = true, width = 6, frac = 4 }\nreal = true\n")
    assert qfx.ConvertConfig.read(file).inputs == {"x": qfx.InputFormat(type=FixedType(True, 6, 4), real=True)}


def test_the_file_in_the_guide(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/convert.md").read_text()
    file = tmp_path / "widths.toml"
    file.write_text(guide.split("```toml\n")[1].split("```")[0])
    config = qfx.ConvertConfig.read(file)
    assert config.formats("layer1.0.conv1", "Conv2d").weights == 6 and config.formats("fc", "Linear", True).weights_k_hot is None


def test_names_that_load_torch_when_they_are_used() -> None:
    assert qfx.convert.__module__ == "qfx.conversion.converted"
    with pytest.raises(AttributeError, match="module 'qfx' has no attribute 'nothing'"):
        vars(qfx)["__getattr__"]("nothing")


def test_bits() -> None:
    config = qfx.ConvertConfig.bits(3, learn=False)
    assert (config.weights, config.activations, config.first_last, config.constants, config.pool) == (3, 3, 8, 8, 8)
    assert config.formats("a", "Add").branch().width == 4 and not config.formats("a", "Conv2d").weight().learn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "wieghts = 4",
            "there is no key 'wieghts' (did you mean weights or weights_k_hot?); the keys are weights, activations,",
        ),
        ("k_hot = 2", "there is no key 'k_hot' (did you mean weights_k_hot or constants_k_hot?); the keys are"),
        ("zzz = 4", "the configuration: there is no key 'zzz'; the keys are weights, activations, pre_add, constants,"),
        ("weights = 0", "the configuration: weights = 0, but a number of bits is wanted, 1..53"),
        ("weights = true", "the configuration: weights = True, but a number of bits is wanted"),
        ("learn = 1", "learn = 1, but true or false is wanted"),
        ("weights_k_hot = -1", "weights_k_hot = -1, but a number of signed digits is wanted, 0 for all codes"),
        ('rounding = "half"', "rounding = 'half', but one of AP_TRN, AP_TRN_ZERO, AP_RND"),
        ('calibration = "best"', "calibration = 'best', but one of mse, max, percentile is wanted"),
        ("percentile = 101", "percentile = 101, but a percentile is wanted, above 0 and at most 100"),
        ("percentile = 'x'", "percentile = 'x', but a positive number is wanted"),
        ("types = 3", "types = 3, but a table of tables is wanted"),
        ("[types.Conv2d]\nwidth = 3", "[types.Conv2d]: there is no key 'width'; the keys are weights,"),
        (
            "[types.conv]\nweights = 3",
            "'conv' (did you mean Conv2d or Conv1d?) is no type of layer that convert makes; those are Conv1d, Conv2d,",
        ),
        ("[layers]\nfc = 3", "[layers.'fc'] is 3; a table of weights, activations,"),
        ('[layers."fc*"]\nweights = 99', "[layers.'fc*']: weights = 99, but a number of bits is wanted, 1..53"),
        (
            "[input]\nmeans = [1]",
            "[input]: there is no key 'means' (did you mean mean?); the keys are mean, std, full_scale, type, real, width",
        ),
        ("[input]\nmean = 1", "[input]: mean = 1, but a list of numbers is wanted, one per channel"),
        ("[input]\nmean = [1]", "the input: mean and std belong together, with one entry per channel each"),
        ("[input]\nmean = [1]\nstd = [0]", "the input: std = [0.0], but positive numbers are wanted"),
        ("[input]\nfull_scale = 0", "full_scale = 0, but a positive number is wanted"),
        ("[input]\nreal = true", "real = true makes `type` the format of real values; give type, and no mean and std"),
        ("[input]\ntype = { width = 8 }", "but a table such as { signed = true, width = 8, frac = 5 } is wanted ("),
        ("weights = ", "cannot be read as TOML: Invalid value"),
    ],
)
def test_what_a_file_cannot_say(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "widths.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        qfx.ConvertConfig.read(file)
    assert message in str(raised.value) and str(raised.value).startswith(str(file))


def test_what_python_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the configuration: activations = 60, but a number of bits is wanted, 1\.\.53"):
        qfx.ConvertConfig(activations=60)
    with pytest.raises(
        ConfigError, match=r"there is no key 'first' \(did you mean first_last\?\); the keys are weights, activations,"
    ):
        qfx.ConvertConfig.bits(4, first=8)
    with pytest.raises(ConfigError, match=r"\[layers\.'a'\]: there is no key 'bits'"):
        qfx.ConvertConfig(layers={"a": {"bits": 3}})
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read as TOML: .*No such file"):
        qfx.ConvertConfig.read(tmp_path / "none.toml")


def test_a_pattern_without_a_layer() -> None:
    config = qfx.ConvertConfig(layers={"fc*": {"weights": 4}, "0": {"weights": 3}})
    with pytest.raises(ConversionError, match=r"the pattern 'fc\*' of \[layers\] fits no layer; the layers are 0, 1"):
        qfx.convert(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), reals(4), config)


def test_a_format_that_does_not_exist() -> None:
    config = qfx.ConvertConfig(overflow=Overflow.WRAP_SM)
    with pytest.raises(ConversionError, match=r"1 \(ReLU\).*: a quantizer of 8 bits: .*AP_WRAP_SM"):
        qfx.convert(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), reals(4), config)


def test_exponents_of_digits_by_layer() -> None:
    """A layer with all codes takes no limit over from the others; a limit that does not fit names the layer."""
    given = {"weights_k_hot": 2, "weights_max_exponent": 4, "constants": 6, "constants_k_hot": 1, "constants_max_exponent": 3}
    layers = {"1": {"weights_max_exponent": 2}, "2": {"weights_k_hot": 0, "constants_k_hot": 0}}
    config = qfx.ConvertConfig(layers=layers, **given)  # type: ignore[arg-type]
    weights = [config.formats(str(number), "Linear").weight() for number in range(3)]
    assert [(spec.k_hot, spec.max_exponent) for spec in weights] == [(2, 4), (2, 2), (None, None)]
    scales = [config.formats(str(number), "BatchNorm1d").scale() for number in (0, 2)]
    assert [(spec.k_hot, spec.max_exponent) for spec in scales] == [(1, 3), (None, None)]
    network = qfx.convert(nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))), reals(4), config)
    digits = [abs(network.lower((4,)).values[f"{number}.weight"].codes) for number in range(2)]
    assert 8 < digits[0].max() <= 32 and 4 < digits[1].max() <= 8
    with pytest.raises(ConfigError, match="weights_max_exponent = -1, but the largest exponent of a digit is wanted, 0 or more"):
        qfx.ConvertConfig(weights_max_exponent=-1)
    with pytest.raises(
        ConversionError, match=r"0 \(Linear\).*: 2-hot codes with exponents up to 7 reach 256, but signed codes of 8"
    ):
        qfx.convert(nn.Sequential(nn.Linear(4, 3)), reals(4), qfx.ConvertConfig(weights_k_hot=2, weights_max_exponent=7))


def test_multiplier_free() -> None:
    config = qfx.ConvertConfig.multiplier_free(learn=False)
    assert (config.weights, config.first_last, config.activations, config.weights_k_hot) == (6, 6, 4, 2)
    assert config.scale() == QuantSpec(8, learn=False, k_hot=2) and config.offset().k_hot is None


def test_pixels_as_fractions() -> None:
    assert qfx.InputFormat.fractions(5) == qfx.InputFormat(type=FixedType(False, 5, 5))
