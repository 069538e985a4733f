"""Machines that a test acts: the files that Linux shows of them."""

from __future__ import annotations

import pytest

from edge_scnet.machine import linux


def act(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """A machine whose readable files are these."""
    monkeypatch.setattr(linux, "read_text", files.get)
