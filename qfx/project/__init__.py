"""Project directories: what `qfx export` writes and `qfx verify` judges.

    manifest.json          what the project is, its engines, the hash of every file
    graph.json, graph.npz  the network (qfx.ir)
    model.onnx             the network for ONNX Runtime
    golden/                inputs.npy, outputs.npy: recorded codes, by name in .npz where the network has several inputs or
                           outputs; torch.npz: every value as torch computed it
    hls/                   the C++ project
    README.md              how to use it

A project appears complete or not at all: it is written beside its place and renamed. Nothing in it is pickled.
"""

from qfx.project.directory import Project, is_project, open_project
from qfx.project.manifest import Manifest, read_manifest
from qfx.project.verification import ENGINES, verify
from qfx.project.write import write_project

__all__ = ["ENGINES", "Manifest", "Project", "is_project", "open_project", "read_manifest", "verify", "write_project"]
