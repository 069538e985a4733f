"""Jobs run on a board of the tests, and what is told of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_scnet.core.events import Silent
from edge_scnet.devices.device import Device
from edge_scnet.devices.inputs import Input, Job
from edge_scnet.devices.job import Done, Settings, run_on
from tests.devices.conftest import Board


class Heard(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.warnings: list[str] = []

    def stage(self, name: str, detail: str) -> None:
        self.stages.append(detail)

    def done(self, result: str, *, reused: bool) -> None:
        self.stages.append(result)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@dataclass
class Shown:
    """Keeps what a job printed."""

    events: Heard = field(default_factory=Heard)
    out: bytes = b""
    err: bytes = b""
    restarts: int = 0
    on_output: Callable[[bytes], None] = lambda _: None

    def stdout(self, data: bytes) -> None:
        first = not self.out
        self.out += data
        if first:
            self.on_output(data)

    def stderr(self, data: bytes) -> None:
        self.err += data

    def restart(self) -> None:
        self.restarts += 1


def run(
    device: Device,
    job: Job,
    *,
    shown: Shown | None = None,
    wait: bool = False,
    patience_s: float = 20.0,
    stops: bool = False,
    set_power_mode: bool = False,
) -> Done:
    async def run() -> Done:
        settings = Settings(wait=wait, patience_s=patience_s, set_power_mode=set_power_mode)
        told = shown or Shown()
        if stops:
            told.on_output = lambda _: settings.stop.set()
        return await run_on(device, job, settings=settings, shown=told)

    return asyncio.run(run())


def stop_while_it_waits(device: Device, job: Job) -> int:
    """Stops a job that waits for another one; returns its exit code."""

    async def run() -> int:
        settings, shown = Settings(wait=True), Shown()

        class Stopping(Heard):
            def done(self, result: str, *, reused: bool) -> None:
                assert "waits for" in result
                settings.stop.set()

        shown.events = Stopping()
        return (await run_on(device, job, settings=settings, shown=shown)).exit_code

    return asyncio.run(run())


def script(
    here: Path, text: str, *, inputs: tuple[Input, ...] = (), outputs: tuple[str, ...] = ()
) -> Job:
    """A job that is a shell script, in a file that goes over."""
    (here / "job-script.sh").write_text(text)
    return Job(
        argv=("sh", "job-script.sh"),
        is_tool=False,
        words="a test's job",
        cwd=here,
        inputs=(Input(path=here / "job-script.sh"), *inputs),
        outputs=tuple(here / name for name in outputs),
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kill_job(board: Board) -> None:
    (pid,) = board.workdir.glob("jobs/*/pid")
    os.killpg(int(pid.read_text()), 9)
