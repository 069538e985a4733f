"""What a baseline may replace, and what needs a reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.errors import ArtifactError
from edge_scnet.gate import baseline
from edge_scnet.gate.update import update, update_from
from edge_scnet.report.store import save_report
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


def test_of_two_that_renew_it_at_once_the_second_looks_at_the_first_s(
    reported: Callable[..., tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = reported(report())[1]
    tighter, loads = {"max_sqnr_fall_db": 0.2}, baseline.load
    looser = threading.Thread(
        target=lambda: refused.append(failure_of(tmp_path, known, {"max_sqnr_fall_db": 0.9}))
    )
    refused: list[str] = []

    def slow(path: Path) -> baseline.Baseline:
        found = loads(path)
        if not looser.ident:
            looser.start()
            time.sleep(0.1)  # the other one would read what is to be replaced
        return found

    save_report(report(), tmp_path / "report.json")
    monkeypatch.setattr(baseline, "load", slow)
    update_from(tmp_path / "report.json", baselines=known, limits=tighter, accept=None)
    looser.join(timeout=10)
    assert "limit max_sqnr_fall_db: 0.2 -> 0.9" in refused[0]
    assert loads(known).limits.max_sqnr_fall_db == 0.2


def failure_of(folder: Path, known: Path, limits: dict[str, float]) -> str:
    """Why a baseline is not renewed; "": it is."""
    try:
        update_from(folder / "report.json", baselines=known, limits=limits, accept=None)
    except ArtifactError as error:
        return error.message
    return ""


@pytest.mark.parametrize("is_new_damaged", [False, True])
def test_packed_scales_that_are_damaged_are_refused(
    reported: Callable[..., tuple[Path, Path]], is_new_damaged: bool
) -> None:
    made = report()
    assert made.quantization is not None
    weights = {
        name: replace(codes, scales="eJw=") for name, codes in made.quantization.weights.items()
    }
    damaged = replace(made, quantization=replace(made.quantization, weights=weights))
    known = reported(made)[1]
    if not is_new_damaged:
        baseline.save(replace(baseline.load(known), report=damaged), known)
    with pytest.raises(ArtifactError, match="is damaged: packed values") as caught:
        update(known, damaged if is_new_damaged else made, Gates(), accept="why")
    assert caught.value.hint
