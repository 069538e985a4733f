"""Kills a build before each of its file operations and looks at what the next one makes of it.

    python -m tests.end_to_end.crash_points                  every operation
    python -m tests.end_to_end.crash_points --every 7 --first 3 [--measure-once]

The operations are those that Python reports (`sys.addaudithook`): files opened to write, renamed,
removed, folders made and removed, below the build folder's parent. A tiny network is built in an
empty folder, and in one with the build of another calibration set. Each build is a fork of this
process, which has imported all and opened no engine. With `--measure-once` all builds but the first
report its figures and draw no plots: they do the same file operations in a third of the time.
Prints one line of JSON, and ends with exit code 1 where `faults` is not empty.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.events import Silent
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import MANIFEST, REPORT, REPORT_PAGE, load_manifest
from edge_scnet.pipeline.build import build
from edge_scnet.pipeline.stages.job import Stage
from edge_scnet.report.store import load_report
from tests.end_to_end.kill_builds import engine_hashes
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published
from tests.helpers.measured import draw_no_more, measure_no_more

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_JUDGED = (0, 10, 11, 13)
_FAILED = 99
# The next build measures after every so many crashes, and ends with the engines after the others.
_MEASURED_EVERY = 4


@dataclass(kw_only=True)
class Counts:
    """What came of the crashes."""

    operations: dict[str, int] = field(default_factory=dict)
    crashes: int = 0
    # names that a crash left and the next build removed
    leftovers: int = 0
    faults: list[str] = field(default_factory=list)


class _Quiet(Silent):
    def warn(self, message: str) -> None: ...


class CrashTest:
    """The images, the folders and the counts."""

    def __init__(self, work: Path, *, measure_once: bool) -> None:
        self._work, self._measure_once = work, measure_once
        self._model = tiny_onnx(work / "tiny.onnx", classes=10, size=28)
        images, labels = published("calib")
        for number in (0, 1):
            these = slice(120 * number, 120 * (number + 1))
            idx_folder(work / f"calib-{number}", images[these], labels[these])
        images, labels = published("eval")
        idx_folder(work / "eval", images[:40], labels[:40])
        self._out = work / "out"
        self.folder = self._out / "tiny" / "cpu"
        self.counts = Counts()

    def run(self, *, every: int, first: int) -> Counts:
        """Crashes before every so many operations, in an empty folder and in one of another's."""
        self._clean(None)
        if _forked(lambda: self._build(1)) not in _JUDGED:
            raise SystemExit("a build that nobody stopped fails")
        others = Path(shutil.copytree(self._out, self._work / "others"))
        if self._measure_once:
            measure_no_more(self.folder / REPORT, _put)
            draw_no_more(_put)
        for name, start in (("empty folder", None), ("another's build", others)):
            self._clean(start)
            count = self._work / "count"
            if _forked(lambda: self._build(0, tell=count)) not in _JUDGED:  # noqa: B023  it runs at once
                raise SystemExit("a build that nobody stopped fails")
            operations = int(count.read_text())
            self.counts.operations[name] = operations
            wanted = engine_hashes(self.folder)
            for at in range(first, operations + 1, every):
                self._crash(f"{name}, operation {at} of {operations}", start, at, wanted)
        return self.counts

    def _crash(self, where: str, start: Path | None, at: int, wanted: dict[str, str]) -> None:
        self._clean(start)
        before = self._pair()
        if _forked(lambda: self._build(0, stop_at=at)) != -signal.SIGKILL:
            self._fault(f"{where}: it was not killed")
        self.counts.crashes += 1
        pair = self._pair()
        if pair[1] is not None and (pair[0] is None or (pair[0] == before[0]) != (pair == before)):
            self._fault(f"{where}: report and page are of two runs")
        left = [path.name for path in self._out.rglob(".*")] if self._out.exists() else []
        self.counts.leftovers += len(left)
        print(where, *left, file=sys.stderr, flush=True)
        code = _forked(
            lambda: self._build(0, until="compile" if at % _MEASURED_EVERY else "profile")
        )
        if code not in _JUDGED:
            self._fault(f"{where}: the next build ends with {code}")
            return
        if engine_hashes(self.folder) != wanted:
            self._fault(f"{where}: other engines than those of a build that nobody stopped")
        for name, entry in load_manifest(self.folder).artifacts.items():
            if sha256_file(self.folder / name) != entry.sha256:
                self._fault(f"{where}: {name} is not what {MANIFEST} says")
        report = self.folder / REPORT
        for row in load_report(report).engines if report.exists() else ():
            if wanted[row.file] != row.sha256:
                self._fault(f"{where}: {REPORT} is of another {row.file}")
        if left := [path.name for path in self._out.rglob(".*")]:
            self._fault(f"{where}: the next build leaves {left}")

    def _pair(self) -> tuple[str | None, str | None]:
        """The hashes of the report and its page."""
        files = [self.folder / name for name in (REPORT, REPORT_PAGE)]
        hashes = [sha256_file(file) if file.exists() else None for file in files]
        return hashes[0], hashes[1]

    def _clean(self, start: Path | None) -> None:
        shutil.rmtree(self._out, ignore_errors=True)
        if start is not None:
            shutil.copytree(start, self._out)

    def _build(
        self,
        calibration: int,
        *,
        until: Stage = "profile",
        stop_at: int = 0,
        tell: Path | None = None,
    ) -> int:
        """Builds; called in a fork."""
        seen = _watch(self._out, stop_at)
        result = build(
            self._model,
            calib=self._work / f"calib-{calibration}",
            evaluation=self._work / "eval" if until == "profile" else None,
            until=until,
            out=self._out,
            model_options=ModelOptions(mean=(0.286,), std=(0.353,)),
            seconds=0.1,
            events=_Quiet(),
        )
        if tell is not None:
            tell.write_text(str(len(seen)))
        return result.exit_code

    def _fault(self, what: str) -> None:
        print(f"fault: {what}", file=sys.stderr, flush=True)
        self.counts.faults.append(what)


def _put(name: str, value: object) -> None:
    """Sets an attribute of a module, for all forks to come."""
    module, _, attribute = name.rpartition(".")
    setattr(importlib.import_module(module), attribute, value)


def _watch(root: Path, stop_at: int) -> list[str]:
    """Counts the file operations below a folder, and kills this process before the wanted one."""
    seen: list[str] = []
    prefix = os.fsencode(root)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
                return
        elif event not in _CHANGES:
            return
        if isinstance(arguments[0], int) or arguments[0] is None:
            return
        if os.fsencode(arguments[0]).startswith(prefix):
            seen.append(event)
            if len(seen) == stop_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def _forked(work: Callable[[], int]) -> int:
    """The exit code of a function in a fork of this process; of a signal its negative number."""
    child = os.fork()
    if not child:
        code = _FAILED
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Crashes builds, and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--measure-once", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        test = CrashTest(Path(work), measure_once=arguments.measure_once)
        try:
            test.run(every=arguments.every, first=arguments.first)
        finally:  # stopped early, what was counted counts
            print(json.dumps(vars(test.counts)), flush=True)
    sys.exit(bool(test.counts.faults))


if __name__ == "__main__":
    main()
