"""What else a machine does while engines are timed on it: Linux's own counts of processor time,
read before and after.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

_CLOCK = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"  # kHz


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    monotonic: float
    busy: Annotated[int, Meta(description="ticks of the cores, since boot")]
    stolen: int
    own: Annotated[int, Meta(description="ticks of our processes")]
    mhz: tuple[float, ...]


class LoadWatch:
    """From its making to `load`: how busy the cores were that this process may run on, less what
    its own processes took.
    """

    def __init__(self, processes: Sequence[int], *, root: Path = Path("/")) -> None:
        self._processes, self._root = (os.getpid(), *processes), root
        self._cores = sorted(os.sched_getaffinity(0))
        self._start = self._read()

    def load(self) -> MachineLoad | None:
        """None where the kernel does not count (not Linux, some containers), or nothing was counted
        yet.
        """
        end, start = self._read(), self._start
        if start is None or end is None or (seconds := end.monotonic - start.monotonic) < 0.1:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        mhz = start.mhz + end.mhz
        others = (end.busy - start.busy - (end.own - start.own)) / ticks / seconds
        return MachineLoad(
            seconds=round(seconds, 3),
            cores=len(self._cores),
            # counted in ticks, so that next to nothing can come out negative
            others_cores=round(max(0.0, others), 3),
            stolen_percent=round(
                100.0 * (end.stolen - start.stolen) / ticks / seconds / len(self._cores), 2
            ),
            mhz_low=min(mhz, default=None),
            mhz_high=max(mhz, default=None),
        )

    def _read(self) -> _Reading | None:
        """By core: user, nice, system, idle, iowait, irq, softirq, steal (man 5 proc); a guest's
        time is in user's.
        """
        try:
            lines = (self._root / "proc/stat").read_text().splitlines()
            rows = {
                fields[0]: [int(n) for n in fields[1:9]]
                for fields in map(str.split, lines)
                if fields[0].startswith("cpu")
            }
            cores = [rows[f"cpu{core}"] for core in self._cores]
            return _Reading(
                monotonic=time.monotonic(),
                busy=sum(sum(core[:3]) + core[5] + core[6] for core in cores),
                stolen=sum(core[7] for core in cores),
                own=sum(map(self._ticks_of, self._processes)),
                mhz=tuple(
                    int(file.read_text()) / 1000
                    for core in self._cores
                    if (file := self._root / _CLOCK.format(core)).exists()
                ),
            )
        except (OSError, ValueError, KeyError, IndexError):
            return None

    def _ticks_of(self, process: int) -> int:
        """utime and stime: the fields after the name, which may hold anything."""
        fields = (self._root / f"proc/{process}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLoad:
    """What else the cores of the process did while engines were timed."""

    seconds: float
    cores: int
    others_cores: Annotated[float, Meta(description="kept busy by other processes, on average")]
    stolen_percent: Annotated[
        float, Meta(description="of the cores' time that a hypervisor gave to other machines")
    ]
    mhz_low: Annotated[
        float | None,
        Meta(description="of the cores' clocks, where the kernel tells; read before and after"),
    ]
    mhz_high: float | None
