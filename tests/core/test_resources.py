"""What ships with the package is found in a checkout and in a wheel; the clock; silent events."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from edge_scnet.core import resources
from edge_scnet.core.clock import now_utc
from edge_scnet.core.events import Silent
from edge_scnet.core.resources import bundled


def test_folders_of_a_checkout_and_of_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (bundled("targets") / "cpu.toml").is_file()
    package = tmp_path / "edge_scnet"
    package.mkdir()
    monkeypatch.setattr(resources, "files", lambda name: package)
    assert bundled("targets") == tmp_path / "targets"
    (package / "_data" / "targets").mkdir(parents=True)
    assert bundled("targets") == package / "_data" / "targets"


def test_now_is_read_back() -> None:
    now = datetime.datetime.fromisoformat(now_utc())
    assert now.utcoffset() == datetime.timedelta(0) and now.microsecond == 0
    assert abs(datetime.datetime.now(datetime.timezone.utc) - now) < datetime.timedelta(minutes=1)


def test_warnings_reach_a_caller_without_a_display() -> None:
    silent = Silent()
    silent.stage("export", "")
    silent.progress("images", 0.5, 1, "image")
    silent.done("", reused=False)
    with pytest.warns(UserWarning, match="few images") as caught:
        silent.warn("few images")
    assert caught[0].filename == __file__
