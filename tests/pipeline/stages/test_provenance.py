"""What a build says it was made from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.gate import baseline
from edge_scnet.gate.inputs import without_unset
from edge_scnet.pipeline.stages.provenance import settings_of

BASELINES = Path(__file__).parents[2] / "baselines"


@pytest.mark.parametrize("target", ["cpu", "cpu-avx2", "jetson"])
def test_the_committed_baselines_hold_the_settings_of_shipped_targets(target: str) -> None:
    """A key that a target gains or loses must not make every user's baseline fail."""
    known = baseline.load(BASELINES / f"scnet20-fashion-mnist-{target}.json")
    assert known.report.provenance is not None
    settings = settings_of(asdict(load_target(target)))
    assert without_unset(settings) == without_unset(known.report.provenance.settings)
