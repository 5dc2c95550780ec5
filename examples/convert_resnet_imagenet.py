"""A ResNet with the stem of ImageNet's, narrow here, with other widths for some of its layers.

`python examples/convert_resnet_imagenet.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import torch
from _export import export_and_verify

import qfx
from qfx.models import ResNet


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = ResNet(blocks=(1, 1, 1, 1), width=8, classes=100).eval()
    images = torch.randint(0, 256, (16, 3, 64, 64)).to(torch.uint8)
    config = qfx.ConvertConfig(
        weights=4,
        activations=4,
        input=qfx.InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        types={"Add": {"pre_add": 6}},  # the casts before every addition
        layers={"stages.0.*": {"weights": 6, "activations": 6}, "*.downsample.0": {"weights": 8}},
    )
    network = qfx.convert(model, images, config)
    export_and_verify(network, images, "resnet", "out/convert_resnet_imagenet")


if __name__ == "__main__":
    main()
