"""The command line: commands parse, call one function, print and set the exit code."""

from edge_scnet.cli.root import main

__all__ = ["main"]
