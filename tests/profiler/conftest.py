"""Thirteen small images, and the processes that a test starts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.data.samples import SampleSet, open_samples
from tests.helpers.engines import SPEC
from tests.helpers.images import idx_folder


@pytest.fixture
def samples(tmp_path: Path) -> SampleSet:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 6, 6), np.uint8)
    folder = idx_folder(tmp_path / "eval", pixels, np.arange(13) % 4)
    return open_samples(folder, model=SPEC, role="evaluation")


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes started by the test; none may outlive it."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def record(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", record)
    yield started
    assert started and all(process.returncode is not None for process in started), (
        "a child is still there"
    )
