"""The search of mixed precision: what it tries, what it chooses, and that it can go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_scnet.errors import ArtifactError
from edge_scnet.sensitivity import search
from edge_scnet.sensitivity.result import Limit
from edge_scnet.sensitivity.state import State
from tests.helpers.search import COST, TABLE, Table, run


def test_the_cheapest_mix_within_the_limit_is_found(tmp_path: Path) -> None:
    # half the noise must go: b + c does it for 0.04, a alone does not
    result = run(Table(TABLE, COST), Limit(min_gain_db=3.0), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == ("b", "c") and result.finished
    assert next(c.keep_float for c in result.pareto) == () and result.chosen in result.pareto
    ratios = [c.time_ratio for c in result.pareto]
    assert ratios == sorted(ratios)


def test_exchanges_find_what_the_ranking_misses(tmp_path: Path) -> None:
    # by noise over cost b comes first and would need c as well; a alone is enough and cheaper than
    # both
    noise, cost = {"a": 0.5, "b": 0.35, "c": 0.15}, {"a": 0.09, "b": 0.05, "c": 0.05}
    result = run(Table(noise, cost), Limit(min_gain_db=3.0), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == ("a",)


def test_int8_alone_is_chosen_where_it_keeps_the_limit(tmp_path: Path) -> None:
    table = Table(TABLE, COST, drop=0.3)
    result = run(table, Limit(max_drop_pp=0.5), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == () and table.measured == [()]


def test_int8_alone_is_asked_before_the_modules(tmp_path: Path) -> None:
    for drop, path in ((0.3, tmp_path / "keeps.json"), (0.6, tmp_path / "loses.json")):
        table, state = Table(TABLE, COST, drop=drop), State(path, "key")
        result = search.of_int8_alone(table, Limit(max_drop_pp=0.5), state)
        assert table.measured == [()] and [c.keep_float for c in state.candidates] == [()]
        if drop > 0.5:
            assert result is None
        else:
            assert result is not None and result.chosen == state.candidates[0]
            assert result.finished and result.sensitivities.modules == ()


def test_a_limit_of_the_drop_is_kept(tmp_path: Path) -> None:
    result = run(Table(TABLE, COST, drop=1.0), Limit(max_drop_pp=0.55), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == ("b", "c")


def test_nothing_is_chosen_where_nothing_keeps_the_limit(tmp_path: Path) -> None:
    result = run(Table(TABLE, COST, drop=None), Limit(max_drop_pp=0.5), tmp_path / "s.json")
    assert result.chosen is None and result.finished


def test_a_search_out_of_time_keeps_its_work_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    first = Table(TABLE, COST)
    early = run(first, Limit(min_gain_db=3.0), path, budget=0.0)
    assert not early.finished and early.chosen is None and first.measured == [()]
    assert len(json.loads(path.read_text())["candidates"]) == 1
    # of the first engine nothing is measured again
    second = Table(TABLE, COST)
    late = run(second, Limit(min_gain_db=3.0), path)
    assert (
        () not in second.measured
        and late.chosen is not None
        and late.chosen.keep_float == ("b", "c")
    )
    third = Table(TABLE, COST)
    assert run(third, Limit(min_gain_db=3.0), path).chosen == late.chosen and third.measured == []


def test_the_file_holds_what_was_measured_and_the_last_search(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    result = run(Table(TABLE, COST), Limit(min_gain_db=3.0), path)
    state = State(path, "key")
    state.add_sensitivities(result.sensitivities)
    assert "chosen" not in json.loads(path.read_text())  # no search has ended since
    state.add_result(result, Limit(min_gain_db=3.0))
    body = json.loads(path.read_text())
    assert list(body) == [
        *("schema", "key", "of", "sensitivities", "candidates"),
        *("limit", "chosen", "seconds", "pareto", "finished"),
    ]
    assert body["limit"] == {"min_sqnr_db": None, "min_gain_db": 3.0, "max_drop_pp": None}
    assert body["chosen"]["keep_float"] == ["b", "c"] and body["chosen"] in body["pareto"]
    again = State(path, "key")
    assert again.sensitivities == result.sensitivities
    assert tuple(again.candidates) == result.candidates


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"candidates": [{"keep_float": "a"}]}, r"candidates\[0\]"),
        ({"sensitivities": {"noise": "much"}}, r"sensitivities\.noise"),
        ({"key": None}, "key"),
    ],
)
def test_a_wrong_field_of_the_file_is_named(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    path = tmp_path / "s.json"
    body = {"format": 1, "key": "key", "sensitivities": None, "candidates": [], **changed}
    path.write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match=rf"s\.json cannot be read: {message}") as refused:
        State(path, "key")
    assert refused.value.hint == f"rm {path}"


def test_a_file_of_the_first_schema_is_read_and_one_of_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    engine = {
        **dict.fromkeys(("sqnr_db", "drop_upper95_pp", "time_low", "time_high")),
        "keep_float": ["a"],
        "time_ratio": 1.0,
    }
    body = {"key": "key", "sensitivities": None, "candidates": [engine]}
    path.write_text(json.dumps({"format": 1, **body}))
    assert State(path, "key").find(["a"]) is not None
    assert not State(path, "other").candidates
    for key in ("key", "other"):
        path.write_text(json.dumps({"schema": 4, **body}))
        with pytest.raises(ArtifactError, match="has schema 4, this version reads 1") as refused:
            State(path, key)
        assert "a newer edge-scnet is needed" in refused.value.hint
