"""A residual network for 32x32 images, from plain torch to a verified 4-bit project.

`python examples/convert_resnet_cifar.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import qfx
from qfx.models import FloatResNet8
from qfx.project import verify, write_project


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = FloatResNet8().eval()
    images = torch.randint(0, 256, (32, 3, 32, 32)).to(torch.uint8)
    pixels = qfx.InputFormat(mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
    network = qfx.convert(model, images, qfx.ConvertConfig.bits(4, input=pixels))
    graph = network.lower(images.shape[1:], name="resnet8")
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "out/convert_resnet_cifar")
    directory.parent.mkdir(parents=True, exist_ok=True)
    project = write_project(graph, directory, images.numpy(), model=network, overwrite=True)
    report = verify(project, ["torch", "sim", "onnx"], samples=20, model=network)
    print(f"{' = '.join(report.engines)}: {report.values_compared:,} values compared, {report.mismatches} mismatches")


if __name__ == "__main__":
    main()
