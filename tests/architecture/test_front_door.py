"""`import qfx`: what it offers, that it loads no torch, and that `docs/api.txt` has every public name and signature."""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
import types
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

import qfx
from qfx.nn import Layer

ROOT = Path(__file__).parents[2]
LISTING = ROOT / "docs" / "api.txt"
PACKAGES = ("errors", "ir", "models", "nn", "ops", "quant", "testing", "training")
VERBS = "convert calibrate fit lower accelerate write_project open simulate verify save load doctor"
TYPES = "FixedType Rounding Overflow QuantSpec ConvertConfig InputFormat Recipe Graph Project Report Accelerator History Diagnosis"


def test_verbs_types_and_packages_are_there() -> None:
    assert {*VERBS.split(), *TYPES.split(), *PACKAGES, "QfxError", "__version__"} <= set(qfx.__all__)


@pytest.mark.parametrize("name", qfx.__all__)
def test_every_name_is_found_in_a_new_process(name: str) -> None:
    if name not in PACKAGES:  # what follows tries all of them at once
        assert getattr(qfx, name) is getattr(qfx, name)


@pytest.mark.slow
def test_the_first_look_is_lazy() -> None:
    program = (
        "import sys, qfx; before = {'torch', 'onnx', 'onnxruntime', 'jinja2'} & set(sys.modules)\n"
        "assert set(qfx.__all__) <= set(dir(qfx))\n"
        "print(before, qfx.nn.Conv2d.__name__, qfx.testing.Seeded.__name__, qfx.models.__name__, qfx.training.Recipe.__name__)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["set()", "Conv2d", "Seeded", "qfx.models", "Recipe"]


def test_numpy_is_enough_for_a_simulation() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx', 'onnxruntime', 'jinja2', 'typer', 'rich']))\n"
        "import qfx; print(qfx.simulate.__name__, qfx.Graph.__name__, qfx.ops.ReLU.__name__, qfx.doctor().complete)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["simulate", "Graph", "ReLU", "False"]


def test_dir_has_the_public_names_and_no_others() -> None:
    assert [name for name in dir(qfx) if not name.startswith("__")] == sorted(set(qfx.__all__) - {"__version__"})


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'qfx' has no attribute 'converted'"):
        qfx.converted  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def test_help_shows_every_verb() -> None:
    shown = pydoc.plain(pydoc.render_doc(qfx))
    assert [verb for verb in VERBS.split() if not re.search(rf"^    {verb}( = open_project)?\(", shown, re.M)] == []
    assert all(f"\n    {verb}" in str(qfx.__doc__) or f", {verb} " in str(qfx.__doc__) for verb in VERBS.split())


def test_the_type_checker_sees_the_same_names() -> None:
    tree = ast.parse(Path(str(qfx.__file__)).read_text())
    seen = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(qfx.__all__) <= seen


# docs/api.txt


def public(module: types.ModuleType) -> list[str]:
    """What `__all__` says; of `qfx.errors`, which has none, the classes."""
    names: list[str] | None = getattr(module, "__all__", None)
    if names is not None:
        return sorted(names, key=str.lower)
    return sorted((name for name, entry in vars(module).items() if inspect.isclass(entry)), key=str.lower)


def default_text(default: Any) -> str:
    if isinstance(default, enum.Enum):
        return f"{type(default).__name__}.{default.name}"
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        changed = {field.name: getattr(default, field.name) for field in dataclasses.fields(default)}
        standard = {field.name: field.default for field in dataclasses.fields(default)}
        given = [f"{name}={default_text(entry)}" for name, entry in changed.items() if entry != standard[name]]
        return f"{type(default).__name__}({', '.join(given)})"
    if "<factory>" in repr(default) or isinstance(default, frozenset):  # which has no order
        return "..."
    return default.__name__ if callable(default) and hasattr(default, "__name__") else repr(default)


def signature_text(function: Any, drop_first: bool = False) -> str:
    """As it stands in the source, but in one line."""
    signature = inspect.signature(function)
    shown: list[str] = []
    parameters = list(signature.parameters.values())[drop_first:]
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and all(
            p.kind not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL) for p in parameters[:index]
        ):
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = "" if parameter.annotation is parameter.empty else f": {annotation_text(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {default_text(parameter.default)}"
        shown.append(f"{stars}{parameter.name}{kind}{default}")
    result = "" if signature.return_annotation is signature.empty else f" -> {annotation_text(signature.return_annotation)}"
    return f"({', '.join(shown)}){result}"


def annotation_text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def described(prefix: str, entry: Any, listed: dict[Any, str]) -> Iterator[str]:
    """The lines of one public name; `listed` has the first name of every class and function."""
    where = str(getattr(entry, "__module__", "qfx"))
    if listed.get(entry if callable(entry) else None, prefix) != prefix:
        yield f"{prefix} = {listed[entry]}"
    elif not where.startswith("qfx"):
        yield f"{prefix} = {'torch.nn' if where.startswith('torch.nn.') else where}.{entry.__name__}"
    elif inspect.ismodule(entry):
        yield f"{prefix}  (package)"
    elif inspect.isclass(entry):
        yield from class_lines(prefix, entry, listed)
    elif callable(entry):
        yield f"{prefix}{signature_text(entry)}"
    else:
        yield f"{prefix}: {type(entry).__name__}"


def class_lines(prefix: str, entry: type, listed: Collection[object]) -> Iterator[str]:
    """A class, its constructor, and what it adds to the bases that are listed themselves or not of QFX."""
    bases = ", ".join(dict.fromkeys(name for base in entry.__bases__ for name in shown_bases(base, listed)))
    plain = issubclass(entry, enum.Enum | BaseException) or not init_of(entry).__module__.startswith("qfx")
    made = "" if plain else signature_text(init_of(entry), drop_first=True).removesuffix(" -> None")
    yield f"class {prefix}{made}{f'  [{bases}]' if bases else ''}"
    if issubclass(entry, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in entry)
        return
    for kind in entry.__mro__:
        if kind is not entry and (kind in listed or not kind.__module__.startswith("qfx")):
            continue
        for name, member in sorted(vars(kind).items()):
            if not name.startswith("_") and next(k for k in entry.__mro__ if name in vars(k)) is kind:
                yield from member_lines(name, member)


def shown_bases(base: type, listed: Collection[object]) -> Iterator[str]:
    """A base that is listed or not of QFX; in the place of another one its own bases."""
    if base in listed or not base.__module__.startswith("qfx"):
        yield from () if base is object else (base.__name__,)
    else:
        for below in base.__bases__:
            yield from shown_bases(below, listed)


def init_of(entry: Any) -> Any:
    """Its constructor; what is made by C has none with a module."""
    return entry.__init__ if hasattr(entry.__init__, "__module__") else types.SimpleNamespace(__module__="builtins")


def member_lines(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, classmethod | staticmethod):
        yield f"    .{name}{signature_text(member.__func__, drop_first=isinstance(member, classmethod))}  (of the class)"
    elif inspect.isfunction(member):
        yield f"    .{name}{signature_text(member, drop_first=True)}"
    elif isinstance(member, property) or hasattr(member, "func"):
        function: Any = member.fget if isinstance(member, property) else member.func
        yield f"    .{name}: {inspect.signature(function).return_annotation}"


def modules() -> dict[str, types.ModuleType]:
    return {"qfx": qfx, **{f"qfx.{name}": importlib.import_module(f"qfx.{name}") for name in PACKAGES}}


def entries() -> Iterator[tuple[str, Any]]:
    """Every public name with what it stands for; what is there under several names comes under each."""
    for path, module in modules().items():
        yield from ((f"{path}.{name}", getattr(module, name)) for name in public(module) if name != "__version__")


def listing() -> str:
    listed: dict[Any, str] = {}
    for name, entry in entries():
        if callable(entry):
            listed.setdefault(entry, name)
    return "".join(f"{line}\n" for name, entry in entries() for line in described(name, entry, listed))


def test_every_public_name_is_in_the_listing(request: pytest.FixtureRequest) -> None:
    text = listing()
    if request.config.getoption("--update-golden"):
        LISTING.write_text(text)
    assert text == LISTING.read_text(), "the public names have changed: see the policy in docs/api.md, then pytest --update-golden"


def test_listings_name_no_addresses() -> None:
    assert " at 0x" not in listing() and "<" not in listing().replace("->", "")


@pytest.mark.parametrize("name", [name for name, entry in entries() if callable(entry)])
def test_public_names_have_docstrings(name: str) -> None:
    entry: Any = dict(entries())[name]
    text = inspect.getdoc(entry)
    assert text and len(text.splitlines()[0]) >= 10, name
    if issubclass(entry if inspect.isclass(entry) else object, Layer) and entry is not Layer:
        assert "Shapes:" in text, f"{name} does not say its shapes"
    raising = not inspect.isclass(entry) and "raise " in inspect.getsource(entry)
    assert not raising or "Raises:" in text, f"{name} does not say what it raises"
