"""What a refusal must be, whatever was wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.tool import Outcome

# Of the bundled weights, given as a checkpoint of the user's own.
CHECKPOINT = (
    "--arch",
    "scnet20",
    "--num-classes",
    "10",
    "--channels",
    "1",
    "--input-size",
    "28",
    "--mean",
    "0.286",
    "--std",
    "0.353",
)


def check_refusal(outcome: Outcome, code: int, *words: str, hint: bool = True) -> None:
    assert outcome.code == code, outcome.stderr
    assert outcome.stdout == ""
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr and "this is a bug" not in outcome.stderr
    for word in words:
        assert word in outcome.stderr, outcome.stderr
    assert outcome.hint or not hint, outcome.stderr


def hidden(folder: Path) -> list[Path]:
    """Temporary files: all of them begin with a dot."""
    return list(folder.rglob(".*"))


def pictures(folder: Path, count: int, *, classes: tuple[str, ...] = ("",), seed: int = 0) -> Path:
    """PNG files of noise, spread over class folders."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        path = folder / classes[i % len(classes)] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(path)
    return folder
