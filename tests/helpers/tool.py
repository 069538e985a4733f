"""What a run of the tool gave, and the build that many tests share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer import testing
from typer.main import get_command

from edge_scnet.cli.root import app

command_of = functools.cache(get_command)
# typer's runner makes the tree of all commands anew at every call, which takes longer than most
# commands do
testing._get_command = command_of

MODEL = "scnet20-fashion-mnist"
# The build's parity is checked at batch 1 alone: every further batch size is one more export by
# torch.
BUILD_CODE = (
    "import edge_scnet.export.parity as p; p.PARITY_BATCHES = (1,); from edge_scnet.cli.root import"
    " main; main()"
)


@dataclass(frozen=True)
class Outcome:
    """What a run of the tool gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def hint(self) -> str:
        return self.stderr.partition("\nhint: ")[2].strip()


@dataclass(frozen=True)
class Built:
    """A finished build of the bundled model; tests copy the folder before they change it."""

    folder: Path
    calib: Path
    evaluation: Path
    outcome: Outcome


Run = Callable[..., Outcome]
Edit = Callable[[Path, Callable[[dict], None]], None]


def run_app(
    arguments: Sequence[object], *, of: typer.Typer = app, **settings: Any
) -> testing.Result:
    """Runs `edge-scnet ARGUMENTS`, or another app, in this process."""
    return testing.CliRunner().invoke(of, [*map(str, arguments)], **settings)
