"""Whether plans are timed with a CUDA graph, as the user or an earlier report says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.errors import TargetError
from edge_scnet.pipeline.cuda_graph import refuse_graph, with_graph
from edge_scnet.pipeline.profile import _as_timed
from tests.helpers.engines import engine_file
from tests.helpers.reports import report


@pytest.mark.parametrize(("said", "option"), [(True, "--cuda-graph"), (False, "--no-cuda-graph")])
def test_the_option_that_was_given_is_refused_for_what_is_no_plan(said: bool, option: str) -> None:
    with pytest.raises(TargetError, match=f"^cpu: {option} is for TensorRT's plans") as caught:
        refuse_graph(said, "cpu")
    assert caught.value.hint == f"leave {option} out"
    refuse_graph(None, "cpu")


@pytest.mark.parametrize(("told", "used"), [("yes", True), ("no", False), (None, None)])
def test_a_plan_is_timed_again_in_the_way_that_its_row_tells(
    told: str | None, used: bool | None, tmp_path: Path
) -> None:
    path = tmp_path / "engine.plan"
    path.touch()
    row = report(int8={"settings": {} if told is None else {"CUDA graph": told}}).engines[1]
    engine = _as_timed(engine_file(path, "int8", runtime="tensorrt"), row)
    assert engine.options.cuda_graph is used
    assert with_graph(engine, None).options.cuda_graph is None
