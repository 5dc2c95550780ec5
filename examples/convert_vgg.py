"""A VGG-style network without a multiplier: every weight is a sum of two signed powers of two, every scale, too.

`python examples/convert_vgg.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import torch
from _export import export_and_verify

import qfx
from qfx.models import VGG


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = VGG((8, "M", 16, "M", 16, "M"), hidden=32).eval()
    images = torch.randint(0, 256, (32, 3, 32, 32)).to(torch.uint8)
    pixels = qfx.InputFormat(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    config = qfx.ConvertConfig.multiplier_free(input=pixels)
    network = qfx.convert(model, images, config)
    export_and_verify(network, images, "vgg", "out/convert_vgg")


if __name__ == "__main__":
    main()
