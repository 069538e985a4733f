"""What was measured of other inputs is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.errors import ArtifactError
from edge_scnet.sensitivity.result import Limit
from edge_scnet.sensitivity.state import State
from tests.helpers.search import COST, TABLE, Table, run


def test_what_was_measured_of_other_inputs_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    run(Table(TABLE, COST), Limit(min_gain_db=3.0), path)
    assert State(path, "key").candidates and not State(path, "another").candidates
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"s\.json cannot be read"):
        State(path, "key")
