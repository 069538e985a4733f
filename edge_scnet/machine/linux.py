"""What Linux tells in /proc, in /sys and of the control group, read in one place."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/")
_ASK_S = 10


def read_text(path: str) -> str | None:
    """A small text file of the system, without the NUL that device trees end with.

    Returns:
        None where it is empty, is not there, or cannot be read (a device that is asleep; a pipe,
        which keeps its reader waiting).
    """
    file = Path(path)
    try:
        if not file.is_file():
            return None
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\0\n") or None
    except OSError:
        return None


def read_number(path: str) -> int | None:
    """A whole number that is all a file holds; None as `read_text`, or where it is no number."""
    text = (read_text(path) or "").strip()
    return int(text) if text.removeprefix("-").isdecimal() else None


def read_table(path: str) -> dict[str, str]:
    """The lines `name: value` of a file; of lines with the same name the first."""
    table: dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        name, _, value = line.partition(":")
        table.setdefault(name.strip(), value.strip())
    return table


def read_bytes_table(path: str) -> dict[str, int]:
    """The lines `name: 123 kB` of a file, in bytes."""
    return {
        name: int(value.split()[0]) * 1024
        for name, value in read_table(path).items()
        if value.endswith(" kB")
    }


def output_of(program: str, *arguments: str) -> str:
    """What an optional program prints on stdout; empty where it is not there or fails."""
    if (path := shutil.which(program)) is None:
        return ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [path, *arguments],
            text=True,
            errors="replace",
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_S,
        )
        return done.stdout
    return ""


@cache
def cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo, and what boards write behind the last one."""
    return read_table("/proc/cpuinfo")


def machine_flags() -> frozenset[str]:
    """The processor's features as /proc/cpuinfo spells them; empty where there is no such file."""
    info = cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())  # x86, or Arm


def usable_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cpu_quota_cores(root: Path = ROOT) -> float | None:
    """The processor time that the control group grants, in cores; None: no limit."""
    group = root / "sys/fs/cgroup"
    if text := read_text(str(group / "cpu.max")):  # "200000 100000" or "max 100000"
        quota, _, period = text.partition(" ")
    else:
        quota = read_text(str(group / "cpu/cpu.cfs_quota_us")) or ""
        period = read_text(str(group / "cpu/cpu.cfs_period_us")) or ""
    if not (quota.isdecimal() and period.isdecimal() and int(period) > 0):
        return None
    return int(quota) / int(period)


def quota_threads(cores: int, root: Path = ROOT) -> int:
    """The threads of an engine where the control group grants less time than its cores have.

    A runtime counts cores: with more threads than that the kernel stops all of them for the rest of
    each period.

    Returns:
        As many as the quota has whole cores, at least 1; 0 where there is no such quota.
    """
    quota = cpu_quota_cores(root)
    return 0 if quota is None or quota >= cores else max(1, int(quota))


def granted_cores(root: Path = ROOT) -> int:
    """The number of cores that this process may keep busy: those it may run on, and its quota."""
    cores = usable_cores()
    return quota_threads(cores, root) or cores


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreTime:
    """What a core did since boot, in ticks."""

    busy: int
    stolen: int  # by a hypervisor, for other machines


def core_times(root: Path = ROOT) -> dict[int, CoreTime]:
    """The time of each core, from /proc/stat; empty where the kernel does not count.

    The columns are user, nice, system, idle, iowait, irq, softirq and steal (man 5 proc); a guest's
    time is in user's.

    Raises:
        ValueError: the file has another form.
    """
    times = {}
    for line in (read_text(str(root / "proc/stat")) or "").splitlines():
        name, *columns = line.split()
        core = name.removeprefix("cpu")
        if name.startswith("cpu") and core.isdecimal():
            user, nice, system, _, _, irq, softirq, steal = map(int, columns[:8])
            times[int(core)] = CoreTime(busy=user + nice + system + irq + softirq, stolen=steal)
    return times


def process_ticks(process: int, root: Path = ROOT) -> int:
    """The processor time of a process in ticks, from /proc/PID/stat.

    Raises:
        ValueError: there is no such process, or the file has another form.
    """
    # the name, in brackets, may hold anything: fields are counted from behind it
    fields = (read_text(str(root / f"proc/{process}/stat")) or "").rpartition(")")[2].split()
    if len(fields) < 13:
        raise ValueError(f"no processor time of process {process}")
    user, system = fields[11:13]
    return int(user) + int(system)


def core_clock_mhz(core: int, root: Path = ROOT) -> float | None:
    """A core's clock, where the kernel tells it."""
    kilohertz = read_number(
        str(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")
    )
    return None if kilohertz is None else kilohertz / 1000
