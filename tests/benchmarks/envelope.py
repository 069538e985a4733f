"""What every benchmark writes: its figures, with the machine, the versions, the date, the command.

A program calls `begin` first and `Begun.write` at its end. The committed files lie in `results/`,
by the name that pages cite them with (`figure_marks.py`, `tables.py`); nobody edits one by hand.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

import edge_scnet
from edge_scnet.core.clock import now_utc
from edge_scnet.core.files import write_text
from edge_scnet.core.json_records import RecordError, convert, encode_pretty, read_json
from edge_scnet.machine import environment
from edge_scnet.machine.load import LoadWatch

RESULTS = Path(__file__).parent / "results"
SCHEMA = 1
# cores that others may keep busy where times are to mean something
QUIET_CORES = 0.2
_LISTEN_SECONDS = 2.0
# what decides the figures: changes elsewhere make no other code
_MEASURED = ("edge_scnet", "targets", "calib_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A benchmark's figures and what they are of."""

    schema: int
    benchmark: Annotated[str, Meta(description="the program, without .py")]
    command: Annotated[str, Meta(description="as typed; of absolute paths the last part")]
    date_utc: str
    commit: Annotated[str | None, Meta(description="that was measured; None: no checkout")]
    modified: Annotated[tuple[str, ...], Meta(description="files that were not as committed")]
    others_cores: Annotated[
        float | None,
        Meta(description="cores that other processes kept busy just before and after, the greater"),
    ]
    environment: dict[str, Any]
    peers: Annotated[
        dict[str, str], Meta(description="versions of what was measured in other environments")
    ] = field(default_factory=dict)
    figures: dict[str, Any]

    @property
    def quiet(self) -> bool:
        """Whether times in it mean something."""
        return self.others_cores is not None and self.others_cores <= QUIET_CORES


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What is known of a run as it begins."""

    benchmark: str
    command: str
    date_utc: str
    commit: str | None
    modified: tuple[str, ...]
    others_cores: float | None

    def write(
        self, figures: Mapping[str, Any], out: Path | None, peers: Mapping[str, str] | None = None
    ) -> Result:
        """Writes the result as JSON where `out` says, or prints it.

        Args:
            peers: versions of what was measured beside the packages of this environment.
        """
        loads = [load for load in (self.others_cores, _others_cores()) if load is not None]
        result = Result(
            schema=SCHEMA,
            benchmark=self.benchmark,
            command=self.command,
            date_utc=self.date_utc,
            commit=self.commit,
            modified=self.modified,
            others_cores=max(loads, default=None),
            environment=environment.collect().to_dict(),
            peers=dict(peers or {}),
            figures=dict(figures),
        )
        text = encode_pretty(result)
        if out is None:
            print(text, end="")
        else:
            write_text(out, text)
        return result


def begin() -> Begun:
    """Notes the command, the code that is measured, and what else the machine does."""
    root = Path(edge_scnet.__file__).parent.parent
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", *_MEASURED) if commit else ""
    script = Path(sys.argv[0])
    return Begun(
        benchmark=script.stem,
        command=shlex.join(["python", f"tests/benchmarks/{script.name}", *_shown(sys.argv[1:])]),
        date_utc=now_utc(),
        commit=commit.strip() if commit else None,
        modified=tuple(line[3:] for line in (changed or "").splitlines()),
        others_cores=_others_cores(),
    )


def read(path: Path) -> Result:
    """A committed result.

    Raises:
        RecordError, ValueError, OSError: it is none, or of another schema.
    """
    result: Result = convert(Result, read_json(path))
    if result.schema != SCHEMA:
        problem = f"is {result.schema}; this program reads {SCHEMA}"
        raise RecordError("schema", problem, missing=False, is_record=False)
    return result


def all_results(folder: Path = RESULTS) -> dict[str, Result]:
    """The committed results by name, which is the file's without .json."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def _shown(arguments: list[str]) -> list[str]:
    """A command line's words; absolute paths, which only one machine has, are cut to their end."""
    return [re.sub(r"^(--[\w-]+=)?/(?:[^/]*/)*([^/]+)/?$", r"\1\2", word) for word in arguments]


def _others_cores() -> float | None:
    """Cores that other processes keep busy while this one sleeps."""
    watch = LoadWatch([])
    time.sleep(_LISTEN_SECONDS)
    load = watch.load()
    return None if load is None else load.others_cores


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
