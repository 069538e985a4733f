"""What else a machine does while engines are timed on it.

Linux counts processor time; the counts are read before and after.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from edge_scnet.machine import linux


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLoad:
    """What else the cores of the process did while engines were timed."""

    seconds: float
    cores: int
    others_cores: Annotated[
        float, Meta(description="cores kept busy by other processes, on average")
    ]
    stolen_percent: Annotated[
        float, Meta(description="of the cores' time that a hypervisor gave to other machines")
    ]
    mhz_low: Annotated[
        float | None,
        Meta(description="of the cores' clocks, where the kernel tells; read before and after"),
    ]
    mhz_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    monotonic: float
    # ticks since boot: of the cores, and of our processes
    busy: int
    stolen: int
    own: int
    mhz: tuple[float, ...]


class LoadWatch:
    """Watches how busy others keep the cores of this process, from its making to `load`."""

    def __init__(
        self,
        processes: Sequence[int],
        *,
        root: Path = linux.ROOT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = (os.getpid(), *processes)
        self._root = root
        self._clock = clock
        self._cores = sorted(os.sched_getaffinity(0))
        self._start = self._read()

    def load(self) -> MachineLoad | None:
        """What was counted since the start.

        Returns:
            None where the kernel does not count (not Linux, some containers), or too early.
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
        try:
            times, now = linux.core_times(self._root), self._clock()
            cores = [times[core] for core in self._cores]
            own = sum(linux.process_ticks(process, self._root) for process in self._processes)
        except (ValueError, KeyError):
            return None
        clocks = [linux.core_clock_mhz(core, self._root) for core in self._cores]
        return _Reading(
            monotonic=now,
            busy=sum(core.busy for core in cores),
            stolen=sum(core.stolen for core in cores),
            own=own,
            mhz=tuple(mhz for mhz in clocks if mhz is not None),
        )
