"""A multi-layer perceptron on scikit-learn's digits: trained in floating point, converted to 3 bits, trained on.

`python examples/convert_mlp.py [directory]`
"""

from __future__ import annotations

from typing import Any

import torch
from _export import export_and_verify
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import qfx
from qfx.models import MLP
from qfx.training import Recipe, accuracy, fit


def main() -> None:
    """Convert, export, verify."""
    load: Any = load_digits
    loaded = load()
    order = torch.randperm(len(loaded.target), generator=torch.Generator().manual_seed(0))
    digits = torch.from_numpy(loaded.data)[order].to(torch.uint8)  # pixels 0..16
    labels = torch.from_numpy(loaded.target)[order]
    train, images = digits[:1437], digits[1437:]

    torch.manual_seed(0)
    model = MLP((64, 64, 32, 10))
    fit(model, DataLoader(TensorDataset(train / 16, labels[:1437]), 64, shuffle=True), Recipe(8, lr=5e-3))
    print(f"float: {accuracy(model, images / 16, labels[1437:]):.1f} %")

    config = qfx.ConvertConfig.bits(3, input=qfx.InputFormat(type=qfx.FixedType(signed=False, width=5, frac=4)))
    network = qfx.convert(model, train[:512], config)
    print(f"3 bits: {accuracy(network, images, labels[1437:]):.1f} %")
    fit(network, DataLoader(TensorDataset(train, labels[:1437]), 64, shuffle=True), Recipe(4, lr=2e-3))
    print(f"3 bits, trained on: {accuracy(network, images, labels[1437:]):.1f} %")
    export_and_verify(network, images, "mlp", "out/convert_mlp")


if __name__ == "__main__":
    main()
