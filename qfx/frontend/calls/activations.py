"""Functions element by element: those that are exact on integers, and those that take a table."""

from __future__ import annotations

from torch import nn

from qfx import ops
from qfx.errors import LoweringError
from qfx.frontend.calls.call import Call, Modules, Storage, same
from qfx.frontend.scalars import clamp_op
from qfx.frontend.scope import Scope
from qfx.ir import Value

_LOOKUP = "use qfx.nn.Lookup(function, input, output)"


def relu(scope: Scope, x: Value, inplace: bool = False) -> Value:
    return scope.add("", ops.ReLU(), x)


def clamp(scope: Scope, x: Value, min: float | None = None, max: float | None = None) -> Value:
    return scope.add("", clamp_op(min, max), x)


def clamp_min(scope: Scope, x: Value, min: float) -> Value:
    return clamp(scope, x, min)


def clamp_max(scope: Scope, x: Value, max: float) -> Value:
    return clamp(scope, x, None, max)


def hardtanh(scope: Scope, x: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    return clamp(scope, x, min_val, max_val)


def relu6(scope: Scope, x: Value, inplace: bool = False) -> Value:
    return clamp(scope, x, 0, 6)


def identity(scope: Scope, x: Value, *args: object, **kwargs: object) -> Value:
    return x


def dropout(scope: Scope, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    if training:
        raise LoweringError("dropout with training=True drops values in eval, too; pass training=self.training")
    return x


def alpha_dropout(scope: Scope, x: Value, p: float = 0.5, training: bool = False, inplace: bool = False) -> Value:
    return dropout(scope, x, p, training)


def _table(
    *names: str,
    operators: tuple[str, ...] = (),
    module: type[nn.Module] | None = None,
    arguments: tuple[str, ...] = (),
    layer: str = "Lookup",
) -> Call:
    """A scalar function, and the module with these attributes, of which a layer of qfx.nn, or `qfx.nn.Lookup`, makes a table."""
    modules: Modules = {} if module is None else {module: same(*arguments)}
    return Call(names, operators, modules, handled=True, layer=layer, instead=_LOOKUP if layer == "Lookup" else "")


CALLS = (
    Call(("relu",), modules={nn.ReLU: {}}, lower=relu, handled=True, layer="ReLU"),
    Call(("relu6",), modules={nn.ReLU6: {}}, lower=relu6, handled=True, layer="ReLU6"),
    Call(
        ("hardtanh",),
        modules={nn.Hardtanh: same("min_val", "max_val")},
        lower=hardtanh,
        handled=True,
        layer="Hardtanh",
    ),
    Call(("clamp", "clip"), lower=clamp, handled=True, layer="Hardtanh"),
    Call(("clamp_min",), lower=clamp_min, handled=True, layer="Hardtanh"),
    Call(("clamp_max",), lower=clamp_max, handled=True, layer="Hardtanh"),
    Call(("contiguous",), modules={nn.Identity: {}}, lower=identity, storage=Storage.SAME),
    Call(
        ("dropout", "dropout1d", "dropout2d", "dropout3d"),
        modules={kind: {"training": False} for kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)},
        lower=dropout,
        handled=True,
        storage=Storage.SAME,
    ),
    Call(
        ("alpha_dropout", "feature_alpha_dropout"),
        modules={nn.AlphaDropout: {}, nn.FeatureAlphaDropout: {}},
        lower=alpha_dropout,
        handled=True,
        storage=Storage.SAME,
    ),
    Call(
        ("leaky_relu",),
        modules={nn.LeakyReLU: same("negative_slope")},
        handled=True,
        layer="PReLU",
        instead="use qfx.nn.PReLU, whose slope may be fixed",
    ),
    _table("sigmoid", layer="Sigmoid", module=nn.Sigmoid),
    _table("hardsigmoid", layer="Hardsigmoid", module=nn.Hardsigmoid),
    _table("tanh", layer="Tanh", module=nn.Tanh),
    _table("silu", layer="SiLU", module=nn.SiLU),
    _table("hardswish", layer="Hardswish", module=nn.Hardswish),
    _table("gelu", layer="GELU", module=nn.GELU, arguments=("approximate",)),
    _table("exp", layer="Exp"),
    _table("elu", module=nn.ELU, arguments=("alpha",)),
    _table("celu", module=nn.CELU, arguments=("alpha",)),
    _table("selu", module=nn.SELU),
    _table("mish", module=nn.Mish),
    _table("softplus", module=nn.Softplus, arguments=("beta", "threshold")),
    _table("softsign", module=nn.Softsign),
    _table("logsigmoid", module=nn.LogSigmoid),
    _table("tanhshrink", module=nn.Tanhshrink),
    _table("softshrink", module=nn.Softshrink, arguments=("lambd",)),
    _table("hardshrink", module=nn.Hardshrink, arguments=("lambd",)),
    _table("abs", "absolute", operators=("abs",)),
    _table("square"),
    _table("sin"),
    _table("cos"),
    _table("erf"),
    Call(("threshold",), modules={nn.Threshold: same("threshold", "value")}, instead=_LOOKUP),
    *(Call((name,), instead=_LOOKUP) for name in ("log", "sqrt", "rsqrt", "reciprocal", "exp2", "log2", "sign")),
    Call(("pow",), ("pow",), instead=_LOOKUP),
)
