"""What a run of the tool gave, and the build that many tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
