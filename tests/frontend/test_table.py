"""The table of torch's calls: no name twice, none forgotten, and every row says what becomes of it."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.conversion.handlers import HANDLERS
from qfx.frontend.calls.call import OTHERWISE, UNKNOWN, Call
from qfx.frontend.calls.table import BY_NAME, CALLS


def test_no_two_rows_claim_a_name() -> None:
    claims = Counter(alias for call in CALLS for alias in call.aliases())
    assert {alias: count for alias, count in claims.items() if count > 1} == {}
    assert len(BY_NAME) == len(CALLS)


def test_every_row_lowers_converts_or_gives_advice() -> None:
    """What does not lower says what to use instead; what becomes post-processing may stand in the middle of a network, too."""
    assert [call.name for call in CALLS if not call.aliases()] == []
    assert [call.name for call in CALLS if call.lower is None and call.advice == OTHERWISE] == []
    assert UNKNOWN.lower is None and not UNKNOWN.handled and UNKNOWN.advice == OTHERWISE


def test_conversion_handles_what_the_table_says() -> None:
    handled = {call.name for call in CALLS if call.handled}
    assert handled - HANDLERS.keys() == set(), "the table says that these are handled: register them in qfx/conversion"
    assert HANDLERS.keys() - handled == set(), "no row of the table is handled under these names"


def layers() -> set[str]:
    """Names of the layers of qfx.nn."""
    found = {name: getattr(qnn, name) for name in qnn.__all__}
    return {name for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, qnn.Layer)}


def test_rows_name_layers_and_all_layers_have_a_row() -> None:
    named = {call.layer for call in CALLS if call.layer}
    assert named - layers() == set()
    assert layers() - named == {"Layer", "QuantInput", "Quantize"}  # torch has none of these


@pytest.mark.parametrize("call", [call for call in CALLS if call.modules and not call.takes_module], ids=lambda call: call.name)
def test_modules_give_arguments_that_functions_take(call: Call) -> None:
    for function in (call.lower, HANDLERS.get(call.name) if call.handled else None):
        if function is not None:
            parameters = inspect.signature(function).parameters
            taken = all(kind != inspect.Parameter.VAR_KEYWORD for kind in (entry.kind for entry in parameters.values()))
            for arguments in call.modules.values():
                assert not taken or set(arguments or ()) <= parameters.keys()


OTHER_MODULES = """
    Bilinear Container Module ModuleDict ModuleList ParameterDict ParameterList Sequential RNNCellBase
    CosineSimilarity PairwiseDistance CrossMapLRN2d LocalResponseNorm Fold Unfold GLU
    FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
    AdaptiveLogSoftmaxWithLoss LinearCrossEntropyOptions NLLLoss2d
    Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer
"""
"""Containers, and what has no advice of its own."""


def test_every_module_of_torch_has_a_row() -> None:
    """A subclass has that of its base; losses and lazy modules, which become others when they run, have none."""
    names: list[str] = [name for name in nn.modules.__all__ if not name.startswith("Lazy") and not name.endswith("Loss")]
    known = {kind for call in CALLS for kind in call.modules}
    classes: dict[str, type[Any]] = {name: getattr(nn.modules, name) for name in names}
    assert {name for name, kind in classes.items() if not known & set(kind.__mro__)} - {*OTHER_MODULES.split()} == set()


OTHER_FUNCTIONS = """
    affine_grid fold fractional_max_pool2d fractional_max_pool3d fractional_max_pool2d_with_indices
    fractional_max_pool3d_with_indices glu grid_sample grouped_mm gumbel_softmax local_response_norm lp_pool1d lp_pool2d lp_pool3d
    max_unpool1d max_unpool2d max_unpool3d normalize one_hot scaled_dot_product_attention scaled_grouped_mm scaled_mm unfold
    upsample upsample_bilinear upsample_nearest assert_int_or_pair
"""
"""What has no advice of its own; `upsample` calls `interpolate`."""


OF_TORCH_NN = ("torch.nn.functional", "torch._C._nn", None)
"""Where torch.nn.functional's own functions are defined, in Python and in C++."""


def test_every_function_of_torch_nn_has_a_row() -> None:
    """Losses have none."""
    found = [getattr(functional, name) for name in dir(functional) if not name.startswith("_")]
    own = [entry for entry in found if callable(entry) and getattr(entry, "__module__", None) in OF_TORCH_NN]
    names: dict[Any, str] = {entry: entry.__name__ for entry in own if not isinstance(entry, type)}
    known = {function for call in CALLS for function, _ in call.functions()}
    unknown = {name for entry, name in names.items() if entry not in known and not re.search("loss|entropy|kl_div", name)}
    assert unknown - {*OTHER_FUNCTIONS.split()} == set()


METHODS = """
    abs add amax amin argmax argsort chunk clamp clamp_max clamp_min clip contiguous cos div erf exp exp2 flatten log log2
    log_softmax matmul max mean mul narrow neg permute pow reciprocal relu reshape rsqrt select sigmoid sign sin softmax sort
    split sqrt square squeeze sub sum swapaxes swapdims tanh topk transpose unflatten unsqueeze view
"""
"""Of tensors, that networks call."""


def test_common_methods_have_a_row() -> None:
    assert {*METHODS.split()} - {method for call in CALLS for method in call.methods()} == set()


def test_functions_and_methods_of_one_name_are_one_call() -> None:
    """Wherever torch has the name, in place or not, it is in the row; one function of torch is not what its namesake is."""
    spaces: tuple[Any, ...] = (torch, functional)
    for call in CALLS:
        for form in (form for name in call.names for form in (name, f"{name}_")):
            found = {getattr(space, form) for space in spaces if callable(getattr(space, form, None))}
            assert found - call.aliases() <= {torch.adaptive_max_pool1d}
            assert not callable(getattr(torch.Tensor, form, None)) or form in call.aliases()
