"""What a baseline may replace, and what needs a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.errors import ArtifactError
from edge_scnet.gate import baseline
from edge_scnet.gate.update import update
from tests.helpers.reports import report


def test_a_loosened_limit_needs_a_reason(reported: Callable[..., tuple[Path, Path]]) -> None:
    known = reported(report())[1]
    with pytest.raises(ArtifactError, match=r"limit max_sqnr_fall_db: 1\.0 -> 3\.0"):
        update(known, report(), replace(Gates(), max_sqnr_fall_db=3.0), accept=None)
    with pytest.raises(ArtifactError, match="limit min_agreement_percent"):
        update(known, report(), replace(Gates(), min_agreement_percent=None), accept=" ")
    update(known, report(), replace(Gates(), max_sqnr_fall_db=0.5), accept=None)
    assert baseline.load(known).limits.max_sqnr_fall_db == 0.5


def test_a_baseline_is_not_overwritten_by_another_targets(
    reported: Callable[..., tuple[Path, Path]],
) -> None:
    known = reported(report())[1]
    with pytest.raises(ArtifactError, match="is the baseline of net for cpu") as caught:
        update(known, report(target="gpu"), Gates(), accept="because")
    assert "net-gpu.json" in caught.value.hint


def test_another_machine_needs_a_reason(reported: Callable[..., tuple[Path, Path]]) -> None:
    known = reported(report())[1]
    elsewhere = {**report().environment, "fingerprint": "z" * 64}
    with pytest.raises(ArtifactError, match="machine"):
        update(known, report(environment=elsewhere), Gates(), accept=None)
