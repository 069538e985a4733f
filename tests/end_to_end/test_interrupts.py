"""Ctrl-C while a build runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge_scnet.core.files import sha256_file
from tests.helpers.refusals import hidden
from tests.helpers.tool import Built, Outcome, Run


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def interrupt(
    arguments: tuple[object, ...], log: Path, ready: Callable[[str, int], bool]
) -> tuple[Outcome, list[int]]:
    """Sends SIGINT as soon as `ready(stderr so far, pid)`; the outcome, and the children there
    were.
    """
    command = [
        sys.executable,
        "-c",
        "from edge_scnet.cli.root import main; main()",
        *map(str, arguments),
    ]

    def heed() -> None:
        # a job that a shell started in the background ignores SIGINT, and so would its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=heed
        ) as process,
    ):
        end = time.monotonic() + 120
        while not ready(log.read_text(), process.pid):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        try:
            stdout, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    return Outcome(process.returncode, stdout, log.read_text()), children


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_during_calibration(copied: Built, invoke: Run, tmp_path: Path) -> None:
    out = copied.folder.parents[1]
    before = {path.name: sha256_file(path) for path in copied.folder.iterdir()}
    # all 1,024 bundled images: another set than the build's, so the stage runs, and long enough
    outcome, _ = interrupt(
        ("build", "--out", out), tmp_path / "log", lambda stderr, pid: "calibrate " in stderr
    )
    assert outcome.code == 130, outcome.stderr
    assert (
        outcome.stdout == ""
        and "Traceback" not in outcome.stderr
        and "error:" not in outcome.stderr
    )
    assert outcome.stderr.endswith(
        "\ninterrupted: finished stages are kept, the next run goes on from there\n"
    )
    assert not hidden(out)
    after = {path.name: sha256_file(path) for path in copied.folder.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} <= {"manifest.json"}
    assert before.keys() == after.keys()

    resumed = invoke("compile", "--calib", copied.calib, "--out", out)
    assert resumed.code == 0 and resumed.stderr.count("unchanged, reused") == 4


def test_ctrl_c_during_profiling_ends_the_children_and_keeps_what_was_measured(
    copied: Built, eval_20: Path, invoke: Run, tmp_path: Path
) -> None:
    out = copied.folder.parents[1]
    report = (copied.folder / "report.json").read_bytes()
    command = ("build", "--calib", copied.calib, "--eval", eval_20, "--out", out, "--seconds", "60")

    def measuring(stderr: str, pid: int) -> bool:
        # by processor time: on a busy machine engines take longer until they are timed
        children = children_of(pid)
        return len(children) == 3 and min(map(processor_seconds, children)) > 4

    outcome, children = interrupt(command, tmp_path / "log", measuring)
    assert outcome.code == 130, outcome.stderr
    assert "Traceback" not in outcome.stderr and "profile " in outcome.stderr
    assert len(children) == 3 and not any(map(alive, children))
    assert not hidden(out)
    assert (copied.folder / "report.json").read_bytes() == report
    assert outcome.stderr.count("unchanged, reused") == 4, "the stages before were reused"
    partial = json.loads((copied.folder / "report.partial.json").read_text())
    assert (
        partial["complete"] is False
        and partial["findings"] == []
        and partial["verdict"].startswith("interrupted")
    )
    assert all(
        row["latency"]["count"] > 0 and row["throughput_per_second"] is None
        for row in partial["engines"]
    )
    assert "latency p50, ms" in outcome.stdout and "interrupted" in outcome.stdout
    assert str(copied.folder / "report.partial.json") in outcome.stdout
    assert (
        invoke(
            "baseline",
            "update",
            copied.folder,
            "--baseline",
            tmp_path / "b.json",
            "--accept",
            "test",
        ).code
        == 0
    )
    refused = invoke(
        "check", copied.folder / "report.partial.json", "--baseline", tmp_path / "b.json"
    )
    assert refused.code == 12 and "interrupted" in refused.stdout
