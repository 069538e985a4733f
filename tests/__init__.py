"""The tests; of several processes of one run each keeps to cores of its own.

Two that run on both cores wait for each other's threads, which took a third more of the processor's
time. This is here because it comes before any library that counts the cores.
"""

from __future__ import annotations

import os


def _share_cores() -> None:
    """Takes this process's share of the cores, where every process of pytest-xdist can have one."""
    name, count = (os.environ.get(f"PYTEST_XDIST_WORKER{end}", "") for end in ("", "_COUNT"))
    if not name or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if int(count) <= len(cores):
        os.sched_setaffinity(0, cores[int(name.removeprefix("gw")) :: int(count)])


_share_cores()
