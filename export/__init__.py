"""Lowering, and everything that is written for other tools: HLS C++, ONNX."""
