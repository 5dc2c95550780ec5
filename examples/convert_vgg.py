"""A VGG-style network without a multiplier: every weight is a sum of two signed powers of two, every scale, too.

`python examples/convert_vgg.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import qfx
from qfx.models.plain_vgg import PlainVGG
from qfx.project import verify, write_project


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = PlainVGG((8, "M", 16, "M", 16, "M"), hidden=32).eval()
    images = torch.randint(0, 256, (32, 3, 32, 32)).to(torch.uint8)
    pixels = qfx.InputFormat(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    config = qfx.ConvertConfig(weights=6, ends=6, activations=4, weights_k_hot=2, norm_k_hot=2, input=pixels)
    network = qfx.convert(model, images, config)
    graph = network.lower(images.shape[1:], name="vgg")
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "out/convert_vgg")
    directory.parent.mkdir(parents=True, exist_ok=True)
    project = write_project(graph, directory, images.numpy(), model=network, overwrite=True)
    report = verify(project, ["torch", "sim", "onnx"], samples=20, model=network)
    print(f"{' = '.join(report.engines)}: {report.values_compared:,} values compared, {report.mismatches} mismatches")


if __name__ == "__main__":
    main()
