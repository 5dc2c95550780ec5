"""The command line: `qfx`, or `python -m qfx`."""

from qfx.cli.app import main

__all__ = ["main"]
