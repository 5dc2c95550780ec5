"""A MobileNetV2, narrow here: a binary point per channel for its depthwise kernels, activations by percentile.

`python examples/convert_mobilenet.py [directory]`  Weights and images are random: exactness does not depend on them.
"""

from __future__ import annotations

import torch
from _export import export_and_verify

import qfx
from qfx.models import MobileNetV2


def main() -> None:
    """Convert, export, verify."""
    torch.manual_seed(0)
    model = MobileNetV2(((1, 8, 1, 1), (4, 12, 2, 2), (4, 16, 1, 1)), stem=8, last=32, classes=10).eval()
    images = torch.randint(0, 256, (32, 3, 32, 32)).to(torch.uint8)
    pixels = qfx.InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    config = qfx.ConvertConfig.bits(6, input=pixels, per_channel=True, calibration="percentile", percentile=99.9)
    network = qfx.convert(model, images, config)
    export_and_verify(network, images, "mobilenet", "out/convert_mobilenet")


if __name__ == "__main__":
    main()
