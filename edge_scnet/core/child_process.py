"""Starts functions of this package in Python processes of their own, and says how those ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence


def start_python(
    entry: str,
    *arguments: int,
    stdin: int = subprocess.DEVNULL,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a function in a new Python process that imports from where this one does.

    Args:
        entry: the function, as "package.module:function".
        arguments: what it is called with.
        stdin, stderr: as of `subprocess.Popen`; its stdout goes nowhere, for this process's is for
            what can be piped.
    """
    module, function = entry.split(":")
    # not -m: that puts the working directory first on sys.path, where a user's random.py would
    # break the child and not the parent
    code = (
        f"import sys; sys.path[:] = {sys.path!a};"
        " from edge_scnet.core.telemetry import switch_off; switch_off();"
        f" from {module} import {function}; {function}({', '.join(map(repr, arguments))})"
    )
    # its own session: Ctrl-C reaches the parent alone, which then ends its children in order
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def cause_of_end(exit_code: int) -> str:
    """How a process ended, in words: "signal SIGKILL", "exit code 3"."""
    if exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
