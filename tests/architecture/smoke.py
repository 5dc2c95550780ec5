"""What an installed QFX must be able to do, run with the installed package's own Python: `python -I smoke.py [numpy-only]`.

Not a test module: test_packaging.py and `make wheel` run it in other environments.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

import qfx
from qfx.fixed import FixedType, IntArray, cast
from qfx.ir import GraphBuilder, load_graph, save_graph
from qfx.ops import Linear, ReLU, Requantize
from qfx.sim.engine import Simulator

EIGHT = FixedType(True, 8, 4)


def check_simulation() -> None:
    """A saved graph, loaded again and run: y = cast(relu(w x)), computed a second way beside it."""
    weight = np.array([[1, -2, 3], [-4, 5, -6]], np.int64)
    builder = GraphBuilder("smoke")
    x = builder.input("x", EIGHT, (3,))
    product = builder.add("fc", Linear(), x, builder.constant("fc.weight", FixedType(True, 4, 2), weight))
    y = builder.add("out", Requantize(EIGHT), builder.add("relu", ReLU(), product))
    with tempfile.TemporaryDirectory() as folder:
        save_graph(builder.build(y), Path(folder))
        graph = load_graph(Path(folder))
    codes = np.arange(-12, 12, dtype=np.int64).reshape(8, 3)
    found = Simulator(graph).run({"x": codes})
    np.testing.assert_array_equal(qfx.simulate(graph, codes)["out"], found["out"])
    products: IntArray = np.matmul(codes, np.swapaxes(weight, 0, 1))
    wanted = np.maximum(products, 0)
    np.testing.assert_array_equal(found["relu"], wanted)
    np.testing.assert_array_equal(found["out"], cast(wanted, FixedType(True, 20, 6), EIGHT))


def check_package() -> None:
    """The folders that lie outside `qfx/` in the repository are inside the installed package, data included."""
    for module in ("qfx.export", "qfx.export.hls", "qfx.sim.engine", "qfx.hls_templates", "qfx.boards"):
        if importlib.util.find_spec(module) is None:
            raise SystemExit(f"{module} is not in the installed package")
    for package, suffix in (("qfx.hls_templates", ".j2"), ("qfx.boards", "")):
        root = Path(str(resources.files(package)))
        data = [path for path in root.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
        if not any(path.name.endswith(suffix) for path in data):
            raise SystemExit(f"{package} was installed without its data files")
    for name in ("export", "sim", "boards", "hls_templates"):
        if importlib.util.find_spec(name) is not None:
            raise SystemExit(f"{name} was installed as a top-level package of its own")


def main() -> None:
    """Run the checks; prints where the package lies, its version and `ok`."""
    check_simulation()
    check_package()
    if "numpy-only" in sys.argv:
        present = [name for name in ("torch", "onnx", "onnxruntime", "typer", "jinja2", "rich") if importlib.util.find_spec(name)]
        if present:
            raise SystemExit(f"this environment was meant to have NumPy alone, but has {', '.join(present)}")
    else:
        for module in ("qfx.nn", "qfx.frontend", "qfx.export.onnx", "qfx.project", "qfx.cli"):
            importlib.import_module(module)
    print(Path(qfx.__file__).parent, qfx.__version__, "ok")


if __name__ == "__main__":
    main()
