"""Kills builds at random moments and looks at what is left: nothing that is not whole is accepted,
and the next build in the folder ends as one that was never killed.

    python -m tests.end_to_end.kill_builds --kills 30

Builds of two calibration sets take turns in one folder, so that every one has files of the other's
to replace; every fifth begins in an empty folder. `--work` keeps the references for a further call.
Prints one line of JSON, and ends with exit code 1 where `faults` is not empty. What a killed build
leaves of temporary files, and its lock, is counted; the next one removes it, which is looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import MANIFEST, Artifact, load_manifest
from edge_scnet.errors import EdgeError
from edge_scnet.report.store import load_report
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published
from tests.helpers.tool import BUILD_CODE, MODEL

# A build that was judged: of so few images, and where INT8 is no faster, not every one passes.
_JUDGED = (0, 10, 11, 13)
_MARK = "EDGE_SCNET_KILL_TEST"
_CALIBRATION_IMAGES, _EVALUATION_IMAGES = 120, 100


@dataclass(kw_only=True)
class Counts:
    """What came of the kills."""

    seed: int
    kills: int = 0
    # builds that had ended before their moment came; they count as no kill
    ended_before: int = 0
    # kills by the stage they fell into
    stages: Counter[str] = field(default_factory=Counter)
    # kills that left no manifest, the one of before, or a new one
    manifests: Counter[str] = field(default_factory=Counter)
    # files that were replaced under an entry of the manifest of before: they are refused
    refused_files: int = 0
    # temporary files and locks that the killed builds left, by the end of their name
    leftovers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A build that was never killed."""

    # sha256 by file name
    engines: dict[str, str]
    # in an empty folder, and in one with the other calibration set's files
    seconds: float
    seconds_again: float


class KillTest:
    """The images, the references and the folder that builds are killed in."""

    def __init__(
        self, work: Path, seed: int, *, model: Sequence[str | Path] = (), name: str = MODEL
    ) -> None:
        """Begins without a kill.

        Args:
            work: the folder for everything.
            seed: of the moments.
            model: the arguments of `build` that say what is built; none: the bundled model.
            name: of its build folder.
        """
        self._work, self._random = work, random.Random(seed)
        self._model, self._name = tuple(model), name
        self.counts = Counts(seed=seed)
        self._calibration = [work / "calib-0", work / "calib-1"]
        self._evaluation = work / "eval"
        self._out = work / "out"
        self.folder = self._out / name / "cpu"
        if not self._evaluation.exists():
            self._write_images()

    def references(self) -> list[Reference]:
        """One build of each calibration set that is not killed; kept in the work folder."""
        path = self._work / "references.json"
        if path.exists():
            return [Reference(**each) for each in json.loads(path.read_text())]
        clean, engines, seconds = self._work / "clean", [], []
        for calibration in self._calibration:
            started = time.monotonic()
            with self._started(calibration, clean) as process:
                code = process.wait()
            if code not in _JUDGED:
                raise SystemExit(f"a build that nobody killed ends with {code}: {self._log()}")
            seconds.append(time.monotonic() - started)
            engines.append(engine_hashes(clean / self._name / "cpu"))
        shutil.rmtree(clean)
        references = [
            Reference(engines=each, seconds=seconds[0], seconds_again=seconds[1])
            for each in engines
        ]
        path.write_text(json.dumps([asdict(each) for each in references]))
        return references

    def run(self, kills: int) -> Counts:
        """Kills so many builds, each at another moment."""
        references, turn = self.references(), self._random.randrange(10)
        longest = {True: references[0].seconds, False: references[0].seconds_again}
        while self.counts.kills < kills:
            is_first = turn % 5 == 0 or not self.folder.exists()
            if is_first:
                shutil.rmtree(self._out, ignore_errors=True)
            calibration, reference = self._calibration[turn % 2], references[turn % 2]
            before = self._manifest()
            moment = self._random.uniform(0, longest[is_first])
            if self._build_and_kill(calibration, moment):
                self._look_at_kill(moment, before)
                self._build(calibration)
            else:
                # the machine is less busy than it was for the references
                longest[is_first] = moment
                self.counts.ended_before += 1
            self._look_at_end(reference)
            turn += 1
        return self.counts

    def _build_and_kill(self, calibration: Path, moment: float) -> bool:
        """Whether the build was still running when its moment came."""
        with self._started(calibration, self._out) as process:
            try:
                process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
        self._check_code(process.returncode)
        return False

    def _build(self, calibration: Path) -> None:
        with self._started(calibration, self._out) as process:
            process.wait()
        self._check_code(process.returncode)

    def _check_code(self, code: int) -> None:
        if code not in _JUDGED:
            self._fault(f"{self._last()}: the build ends with {code}: {self._log()}")

    def _last(self) -> str:
        return f"seed {self.counts.seed}, after kill {self.counts.kills}"

    def _look_at_kill(self, moment: float, before: dict[str, Artifact] | None) -> None:
        """Counts the kill, what it left, and what of that is wrong."""
        stage = self._stage()
        self.counts.kills += 1
        self.counts.stages[stage] += 1
        where = f"{self._last()} at {moment:.2f} s, {stage}"
        print(where, file=sys.stderr, flush=True)
        self._look(where, before)

    def _look_at_end(self, reference: Reference) -> None:
        """Compares a build that ended with one that was never killed."""
        try:
            if engine_hashes(self.folder) != reference.engines:
                self._fault(f"{self._last()}: the build has other engines than one never killed")
            if left := [path.name for path in self.folder.glob(".*")]:
                self._fault(f"{self._last()}: the build that ended leaves {left}")
            self._look_at_report(self._last(), self._manifest())
        except (EdgeError, OSError) as error:
            self._fault(f"{self._last()}: {error}")

    @contextlib.contextmanager
    def _started(self, calibration: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A build in a process group of its own; at the end all its processes are gone."""
        arguments = ["build", *self._model, "--calib", calibration, "--eval", self._evaluation]
        arguments += ["--out", out, "--seconds", "0.1", "--max-drop", "5"]
        mark = uuid.uuid4().hex
        with (self._work / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", BUILD_CODE, *map(str, arguments)],
                env={**os.environ, _MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._wait_for_children(mark)

    def _wait_for_children(self, mark: str) -> None:
        """The processes that measure have sessions of their own: they end when they see that their
        parent is gone.
        """
        patience = time.monotonic() + 30
        while left := list(_marked(mark)):
            if time.monotonic() > patience:
                self._fault(f"processes {left} are still there 30 s after their parent's end")
                for number in left:
                    os.kill(number, signal.SIGKILL)
                return
            time.sleep(0.05)

    def _look(self, where: str, before: dict[str, Artifact] | None) -> None:
        if not self.folder.is_dir():
            self.counts.manifests["none"] += 1
            return
        for path in self.folder.iterdir():
            if path.name.startswith("."):
                self.counts.leftovers[path.suffix] += 1
        try:
            now = self._manifest()
        except EdgeError as error:
            self._fault(f"{where}: {error}")
            return
        self.counts.manifests[
            "none" if now is None else "of before" if now == before else "new"
        ] += 1
        for name, entry in (now or {}).items():
            path = self.folder / name
            if path.is_file() and sha256_file(path) == entry.sha256:
                continue
            # replaced, and the manifest not yet: whoever opens it is told so
            if before is not None and before.get(name) == entry and path.is_file():
                self.counts.refused_files += 1
            else:
                self._fault(f"{where}: {name} is not what {MANIFEST} says")
        self._look_at_report(where, now)

    def _look_at_report(self, where: str, artifacts: dict[str, Artifact] | None) -> None:
        for path in self.folder.glob("*.json"):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                self._fault(f"{where}: {path.name}: {error}")
        page = self.folder / "report.html"
        if page.exists() and not page.read_text(encoding="utf-8").rstrip().endswith("</html>"):
            self._fault(f"{where}: report.html ends early")
        report = self.folder / "report.json"
        if not report.exists():
            return
        for row in load_report(report).engines:
            entry = (artifacts or {}).get(row.file)
            if entry is None or entry.sha256 != row.sha256:
                self._fault(f"{where}: report.json is of another {row.file} than {MANIFEST}")

    def _manifest(self) -> dict[str, Artifact] | None:
        """The entries of the manifest; None where there is none."""
        if not (self.folder / MANIFEST).exists():
            return None
        return load_manifest(self.folder).artifacts

    def _stage(self) -> str:
        """The stage that the last build told of last."""
        words = [line.split() for line in self._log().splitlines()]
        stages = ("export", "calibrate", "quantize", "compile", "profile")
        return next((line[0] for line in reversed(words) if line and line[0] in stages), "start")

    def _log(self) -> str:
        return (self._work / "stderr").read_text(encoding="utf-8", errors="replace")

    def _fault(self, what: str) -> None:
        print(f"fault: {what}", file=sys.stderr, flush=True)
        self.counts.faults.append(what)

    def _write_images(self) -> None:
        images, labels = published("calib")
        for number, path in enumerate(self._calibration):
            these = slice(number * _CALIBRATION_IMAGES, (number + 1) * _CALIBRATION_IMAGES)
            idx_folder(path, images[these], labels[these])
        images, labels = published("eval")
        idx_folder(self._evaluation, images[:_EVALUATION_IMAGES], labels[:_EVALUATION_IMAGES])


def small_test(work: Path, seed: int) -> KillTest:
    """The test with builds of a network of one convolution, which take seconds."""
    model = tiny_onnx(work / "tiny.onnx", classes=10, size=28)
    normalised = ["--mean", "0.286", "--std", "0.353"]
    return KillTest(work, seed, model=[model, *normalised], name="tiny")


def engine_hashes(folder: Path) -> dict[str, str]:
    """The sha256 of a build's engines and their companions, of the files themselves."""
    artifacts = load_manifest(folder).artifacts.values()
    return {
        entry.file: sha256_file(folder / entry.file)
        for entry in artifacts
        if entry.stage == "compile"
    }


def _marked(mark: str) -> Iterator[int]:
    """The processes that were started under this mark and are no zombies."""
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            number = int(path.name)
            if f"{_MARK}={mark}".encode() in (path / "environ").read_bytes():
                yield number


def main() -> None:
    """Kills builds, and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="kept; default: a temporary folder")
    parser.add_argument("--small", action="store_true", help="a network that takes seconds")
    arguments = parser.parse_args()
    # a build in its own process group must not outlive this script
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        test = (
            small_test(work, arguments.seed) if arguments.small else KillTest(work, arguments.seed)
        )
        try:
            test.run(arguments.kills)
        finally:  # stopped early, what was counted counts
            print(json.dumps(vars(test.counts)), flush=True)
    sys.exit(bool(test.counts.faults))


if __name__ == "__main__":
    main()
