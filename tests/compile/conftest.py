"""What tests of a bundle's script share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tensorrt import run_script, unpacked_bundle
from tests.helpers.tool import Outcome


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., tuple[Outcome, Path]]:
    """Runs the build.sh of a bundle whose graphs nobody reads."""
    folder = unpacked_bundle(tmp_path / "bundle")

    def run(number: str, fail: str = "", **options: Any) -> tuple[Outcome, Path]:
        return run_script(folder, number, fail, **options), folder

    return run
