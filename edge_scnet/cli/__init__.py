"""The command line: commands parse, call one function, print and set the exit code."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being imported, or ends, is one as well."""
    try:
        from edge_scnet.cli.root import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
