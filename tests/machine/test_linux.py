"""/proc and /sys, made by hand: what is read, and what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.machine import linux


def test_texts_and_numbers(tmp_path: Path) -> None:
    for text, read, number in (
        ("Jetson\0", "Jetson", None),
        ("12\n", "12", 12),
        ("-256000\n", "-256000", -256_000),
        ("max\n", "max", None),
        ("\n", None, None),
        ("1.5", "1.5", None),
    ):
        (tmp_path / "a").write_text(text)
        path = str(tmp_path / "a")
        assert (linux.read_text(path), linux.read_number(path)) == (read, number)
    assert linux.read_text(str(tmp_path)) is None and linux.read_number("/no/such") is None


def test_tables_keep_the_first_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one : 1 kB\ntwo: 2\n\none: 3 kB\nthree: 4 kB\n")
    assert linux.read_table(str(tmp_path / "a")) == {
        "one": "1 kB",
        "two": "2",
        "": "",
        "three": "4 kB",
    }
    assert linux.read_bytes_table(str(tmp_path / "a")) == {"one": 1024, "three": 4096}
    assert linux.read_table("/no/such") == {}


def test_the_time_of_cores_and_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/stat").write_text(
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu12 1 0 0 0 0 0 0 0 5 0\nintr 1\n"
    )
    assert linux.core_times(tmp_path) == {
        0: linux.CoreTime(busy=1 + 2 + 3 + 6 + 7, stolen=8),
        12: linux.CoreTime(busy=1, stolen=0),
    }
    (tmp_path / "proc/7/stat").write_text("7 (a) b) R 1 1 1 1 1 1 1 1 1 1 30 4 0 0\n")
    assert linux.process_ticks(7, tmp_path) == 34
    with pytest.raises(ValueError, match="no processor time of process 8"):
        linux.process_ticks(8, tmp_path)


def test_a_kernel_that_counts_less(tmp_path: Path) -> None:
    assert linux.core_times(tmp_path) == {} and linux.core_clock_mhz(0, tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu0 1 2 3\n")
    with pytest.raises(ValueError, match="values to unpack"):
        linux.core_times(tmp_path)


@pytest.mark.parametrize(
    ("files", "quota", "threads"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5, 1),
        ({"cpu.max": "50000 100000\n"}, 0.5, 1),
        ({"cpu.max": "300000 100000\n"}, 3.0, 3),
        ({"cpu.max": "400000 100000\n"}, 4.0, 0),
        ({"cpu.max": "max 100000\n"}, None, 0),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.5, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None, 0),
        ({}, None, 0),
    ],
)
def test_engines_take_no_more_threads_than_a_quota_has_cores(
    tmp_path: Path, files: dict[str, str], quota: float | None, threads: int
) -> None:
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert linux.cpu_quota_cores(tmp_path) == quota
    assert linux.quota_threads(4, tmp_path) == threads
