"""Everything that is written for other tools: HLS C++, ONNX."""

if __name__ == "export":
    raise ImportError("import qfx.export, not export: that would be a second copy of the same modules, with classes of its own")
