"""What else the machine does: Linux's counters, made by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_scnet.machine.linux import process_ticks
from edge_scnet.machine.load import LoadWatch

TICKS = os.sysconf("SC_CLK_TCK")


def machine(root: Path, *, busy: int, stolen: int, own: int, mhz: int | None = None) -> Path:
    """/proc and /sys of a machine with two cores that are not this process's; times in ticks."""
    cores = [*sorted(os.sched_getaffinity(0)), 900, 901]
    lines = ["cpu  1 1 1 1"]
    for core in cores:
        used = 77_777 if core >= 900 else busy
        lines.append(f"cpu{core} {used} 0 0 5000 7 0 0 {stolen} 3 3")
        if mhz is not None:
            clock = root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
            clock.parent.mkdir(parents=True, exist_ok=True)
            clock.write_text(f"{1000 * mhz}\n")
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc/stat").write_text("\n".join([*lines, "intr 1 2 3", "cpufreq nonsense"[:0]]))
    for process, used in ((os.getpid(), 0), (4242, own)):
        (root / f"proc/{process}").mkdir(exist_ok=True)
        # a name may hold spaces and brackets
        (root / f"proc/{process}/stat").write_text(
            f"{process} (a) b (c) R 1 2 3 4 5 6 7 8 9 10 {used} 0 0 0 20 0 1\n"
        )
    return root


def test_others_are_what_is_busy_less_our_own(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    now = [100.0]
    root = machine(tmp_path, busy=1000, stolen=0, own=50, mhz=1500)
    watch = LoadWatch([4242], root=root, clock=lambda: now[0])
    now[0] += 10
    machine(tmp_path, busy=1000 + 5 * TICKS, stolen=TICKS // 2, own=50 + 3 * TICKS, mhz=2500)
    load = watch.load()
    assert load is not None and (load.seconds, load.cores) == (10, cores)
    assert load.others_cores == pytest.approx((5 * cores - 3) / 10)
    assert load.stolen_percent == pytest.approx(5.0)
    assert (load.mhz_low, load.mhz_high) == (1500, 2500)


def test_counting_in_ticks_never_comes_out_negative(tmp_path: Path) -> None:
    now = [0.0]
    root = machine(tmp_path, busy=0, stolen=0, own=0)
    watch = LoadWatch([4242], root=root, clock=lambda: now[0])
    now[0] = 1.0
    machine(tmp_path, busy=1, stolen=0, own=500)
    load = watch.load()
    assert load is not None and load.others_cores == 0 and load.mhz_low is None


def test_a_kernel_that_does_not_count_is_no_error(tmp_path: Path) -> None:
    assert LoadWatch([4242], root=tmp_path).load() is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu 0 0\n")
    assert LoadWatch([], root=tmp_path).load() is None


@pytest.mark.slow
def test_this_machine_counts_what_a_neighbour_burns() -> None:
    if LoadWatch([])._start is None:
        pytest.skip("this kernel does not count processor time")
    burn = "import time\nend = time.monotonic() + 5\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", burn]) as neighbour:
        time.sleep(0.3)
        foreign, own = LoadWatch([]), LoadWatch([neighbour.pid])
        before = process_ticks(neighbour.pid)
        time.sleep(1.0)
        loads = foreign.load(), own.load()
        burnt = (process_ticks(neighbour.pid) - before) / TICKS
        neighbour.kill()
    assert loads[0] is not None and loads[1] is not None
    # whatever else runs here is the same for both; what the neighbour took is the difference
    counted = loads[0].others_cores - loads[1].others_cores
    assert burnt > 0 and counted == pytest.approx(burnt / loads[0].seconds, abs=0.1)
