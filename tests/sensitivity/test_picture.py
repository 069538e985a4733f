"""pareto.png: names, the limit's line, a title."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.sensitivity.picture import draw, names_of
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult
from tests.helpers.search import COST, TABLE, Table


def result(*, drop: float | None = None) -> SearchResult:
    table = Table(TABLE, COST, drop)
    mixes = [(), ("b",), ("b", "c"), ("a",), ("b", "c", "d", "e"), ("b", "c", "d", "e", "a")]
    found = tuple(table.measure(mix) for mix in mixes)
    return SearchResult(
        sensitivities=table.sensitivities(),
        candidates=found,
        chosen=found[2],
        seconds=1.0,
        finished=True,
    )


def texts(
    made: SearchResult, limit: Limit | None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], str]:
    """The texts of the picture, and what its height is."""
    from matplotlib.figure import Figure

    seen: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: seen.append(self))
    draw(made, path, title="net for cpu", limit=limit)
    (axes,) = seen[0].axes
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    own = [text.get_text() for text in axes.texts]
    return [axes.get_title(loc="left"), *legend, *own], axes.get_ylabel()


def test_engines_have_names_and_the_limit_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, height = texts(result(), Limit(min_sqnr_db=3.0), tmp_path / "p.png", monkeypatch)
    assert found[0] == "net for cpu" and "SQNR" in height
    for words in (
        "1  nothing: all INT8",
        "2  b",
        "3  b, c (chosen)",
        "4  b, c, d, e",
        "other mixes",
        "limit: 3 dB",
    ):
        assert words in found
    found, _ = texts(result(), Limit(min_gain_db=2.0), tmp_path / "p.png", monkeypatch)
    assert "limit: 2 dB above all INT8" in found


def test_a_limit_of_the_drop_makes_it_the_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, height = texts(result(drop=1.0), Limit(max_drop_pp=0.5), tmp_path / "p.png", monkeypatch)
    assert "limit: 0.5 pp" in found and height.startswith("drop of top-1")
    # what computes what float computes has a drop, and an infinite SQNR
    assert "5  b, c, d, e, a" in found or "5  a, b, c, d, e" in found


def test_nothing_within_the_limit_is_a_picture_too(tmp_path: Path) -> None:
    made = replace(result(), chosen=None)
    draw(made, tmp_path / "p.png", title="net \x1b[31m for cpu $x$")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_long_names_are_cut() -> None:
    def mix(*names: str) -> Candidate:
        return Candidate(
            keep_float=names,
            sqnr_db=1.0,
            drop_upper95_pp=None,
            time_ratio=1.0,
            time_low=None,
            time_high=None,
        )

    assert names_of(mix(*(f"layer{i}.0.conv1" for i in range(9)))) == (
        "layer0.0.conv1, layer1.0.conv1 and 7 more"
    )
    assert names_of(mix("x" * 99)) == "x" * 37 + "..."
