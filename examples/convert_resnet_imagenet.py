"""A ResNet with the stem of ImageNet's, narrow here, with other widths for some of its layers.

`python examples/convert_resnet_imagenet.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import qfx
from qfx.models.plain_resnet import PlainResNet
from qfx.project import verify, write_project


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = PlainResNet(blocks=(1, 1, 1, 1), width=8, classes=100).eval()
    images = torch.randint(0, 256, (16, 3, 64, 64)).to(torch.uint8)
    config = qfx.ConvertConfig(
        weights=4,
        activations=4,
        input=qfx.InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        types={"Add": {"before": 6}},  # the casts before every addition
        layers={"stages.0.*": {"weights": 6, "activations": 6}, "*.downsample.0": {"weights": 8}},
    )
    network = qfx.convert(model, images, config)
    graph = network.lower(images.shape[1:], name="resnet")
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "out/convert_resnet_imagenet")
    directory.parent.mkdir(parents=True, exist_ok=True)
    project = write_project(graph, directory, images.numpy(), model=network, overwrite=True)
    report = verify(project, ["torch", "sim", "onnx"], samples=20, model=network)
    print(f"{' = '.join(report.engines)}: {report.values_compared:,} values compared, {report.mismatches} mismatches")


if __name__ == "__main__":
    main()
