"""A residual network for 32x32 images, from plain torch to a verified 4-bit project.

`python examples/convert_resnet_cifar.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import torch
from _export import export_and_verify

import qfx
from qfx.models import ResNet8


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = ResNet8().eval()
    images = torch.randint(0, 256, (32, 3, 32, 32)).to(torch.uint8)
    pixels = qfx.InputFormat(mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
    network = qfx.convert(model, images, qfx.ConvertConfig.bits(4, input=pixels))
    export_and_verify(network, images, "resnet8", "out/convert_resnet_cifar")


if __name__ == "__main__":
    main()
