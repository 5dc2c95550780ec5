"""`python -m qfx`."""

from qfx.cli.app import main

main()
