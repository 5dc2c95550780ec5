"""Graph to HLS C++ project."""

from qfx.export.hls.project import write_hls

__all__ = ["write_hls"]
