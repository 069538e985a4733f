"""Damaged and hostile files of every kind that the tool reads, handed to its commands.

    python -m tests.end_to_end.fuzz_inputs --cases 2000 --seed 0 [--kind report] [--keep FOLDER]

A case is one file, changed by a seeded generator, and one command in this process. It breaks a rule
where the command ends with another exit code than README.md lists or as a bug, prints a traceback,
takes over 60 s, fails without its one error and a hint, or changes a file outside its own folder.
`--keep` leaves the files of broken cases behind.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.fuzz_good import Done, Good, run_command
from tests.end_to_end.fuzz_kinds import AFTER, KINDS
from tests.helpers.limits import no_longer_than

LIMIT_SECONDS = 60.0
# on a busy machine a command takes longer by the clock
_PATIENCE = 5
# of a command that failed; a gate's verdict (10 to 13) is none
_ERRORS = (2, 3, 4, 5, 6, 7, 8, 9)
_CODES = (0, *_ERRORS, 10, 11, 12, 13)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A case that broke a rule."""

    kind: str
    number: int
    command: tuple[str, ...]
    rule: str
    words: str


@dataclass
class Result:
    """What a run came to."""

    cases: collections.Counter[str] = field(default_factory=collections.Counter)
    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    broken: list[Broken] = field(default_factory=list)
    slowest_seconds: float = 0.0
    slowest: tuple[str, ...] = ()


def _listed(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of all files of a folder."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def _kept_waiting_s() -> float:
    """How long this thread had no processor that it wanted (man 5 proc, schedstat)."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _rule(command: Sequence[str], done: Done, seconds: float) -> str | None:
    """The rule that a command broke; None: it kept all."""
    if done.trace:
        return "an exception"
    if "this is a bug" in done.output or done.code == 1:
        return "a bug"
    if "Traceback" in done.output:
        return "a traceback"
    if done.code not in _CODES:
        return f"exit code {done.code}"
    if seconds > LIMIT_SECONDS:
        return f"{seconds:.0f} s"
    # what `data check` and `inspect` find in a file that could be read is their result
    is_result = command[0] in ("data", "inspect") and not done.errors.strip()
    if done.code in _ERRORS[1:] and not is_result:
        errors = sum(line.startswith("error: ") for line in done.errors.split("\n"))
        if not errors:
            return "no error is said"
        if "\nhint: " not in done.errors:
            return "no hint"
    return None


def fuzz(
    root: Path,
    *,
    cases: int,
    seed: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
    good: Good | None = None,
    keep: Path | None = None,
    tell: Callable[[Broken], None] = lambda broken: None,
) -> Result:
    """Runs so many cases, whose files lie below a folder of their own.

    Args:
        root: an empty folder.
        good: whole files of an earlier run; None: they are made below the root.
        keep: where the files of broken cases are kept; None: nowhere.
        tell: is called with each broken case.
    """
    good, result = good or Good(root / "good"), Result()
    weights = [KINDS[kind][1] for kind in kinds]
    before = {**_listed(root), **_listed(good.root)}
    here = Path.cwd()
    os.chdir(good.root)
    try:
        for number in range(cases):
            rng = random.Random(f"{seed}/{number}")
            kind = rng.choices(kinds, weights)[0]
            folder = root / f"case-{number}"
            folder.mkdir()
            command = tuple(map(str, KINDS[kind][0](good, folder, rng)))
            began, waited = time.perf_counter(), _kept_waiting_s()
            try:
                with no_longer_than(_PATIENCE * LIMIT_SECONDS):
                    done = run_command(command)
            except TimeoutError as error:
                done = Done(code=-1, output="", errors="", trace=str(error))
            seconds = time.perf_counter() - began - (_kept_waiting_s() - waited)
            rule = _rule(command, done, seconds)
            if rule is None and done.code == 0 and kind in AFTER:
                rule = AFTER[kind](folder, command)
            result.cases[kind] += 1
            result.codes[done.code] += 1
            if seconds > result.slowest_seconds:
                result.slowest_seconds, result.slowest = seconds, command
            kept = {**_listed(root), **_listed(good.root)}
            kept = {path: entry for path, entry in kept.items() if "/case-" not in path}
            if kept != before:
                rule = f"files outside its folder: {set(kept.items()) ^ set(before.items())}"
                before = kept
            if rule:
                words = (done.trace or done.output)[-1500:]
                broken = Broken(kind=kind, number=number, command=command, rule=rule, words=words)
                result.broken.append(broken)
                tell(broken)
                if keep is not None:
                    with contextlib.suppress(shutil.Error):  # of pipes and sockets
                        shutil.copytree(
                            folder, keep / folder.name, dirs_exist_ok=True, symlinks=True
                        )
            shutil.rmtree(folder)
    finally:
        os.chdir(here)
    return result


def _print(broken: Broken) -> None:
    print(f"--- {broken.kind} {broken.number}: {broken.rule}\n{' '.join(broken.command)[:400]}")
    print(ascii(broken.words).replace("\\n", "\n"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        result = fuzz(
            Path(temporary).resolve() / "fuzz",
            cases=given.cases,
            seed=given.seed,
            kinds=given.kind or tuple(KINDS),
            keep=given.keep,
            tell=_print,
        )
    codes = {int(code): count for code, count in sorted(result.codes.items())}
    print(f"by kind {dict(result.cases)}; exit codes {codes}")
    print(
        f"{sum(result.cases.values()):,} cases, {len(result.broken)} broke a rule; all took"
        f" {time.perf_counter() - began:.0f} s, the slowest {result.slowest_seconds:.1f} s:"
        f" {' '.join(result.slowest)[:200]!a}"
    )
    raise SystemExit(bool(result.broken))


if __name__ == "__main__":
    main()
