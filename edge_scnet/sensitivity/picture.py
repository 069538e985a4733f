"""What a search came to, as a picture: pareto.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import require
from edge_scnet.core.printable import printable
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult

_FRONT, _OTHER, _CHOSEN = "#0072b2", "0.72", "#b9271a"
_MOST_NAMED, _LONGEST = 12, 40


def draw(result: SearchResult, path: Path, *, title: str, limit: Limit | None = None) -> None:
    """Writes the engines of a search as a PNG: what float costs, and what it brings.

    Those that none beats are joined and numbered, and named beside the plot by the modules that
    they have in float. The height is the figure that the limit is of, which is a line.

    Args:
        title: of which network, for which target.
        limit: what the search had to keep.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", extra="report")
    figure_module = require("matplotlib.figure", extra="report")
    with matplotlib.rc_context({"text.parse_math": False, "font.size": 10}):
        figure = figure_module.Figure(figsize=(9, 4.8), layout="constrained")
        axes = figure.subplots()
        _draw_on(axes, result, limit)
        axes.set_title(printable(title), loc="left", fontsize=12, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25)
        axes.set_axisbelow(True)
        with write_atomic(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130, facecolor="white")


def _draw_on(axes: Any, result: SearchResult, limit: Limit | None) -> None:
    by_drop = _is_by_drop(result, limit)
    shown = [c for c in result.candidates if _height(c, by_drop=by_drop) is not None]
    front = [c for c in result.pareto if _height(c, by_drop=by_drop) is not None]
    others = [c for c in shown if c not in front]
    axes.plot(*_places(front, by_drop=by_drop), "-", color=_FRONT, linewidth=1.2)
    for number, candidate in enumerate(front, 1):
        chosen = candidate == result.chosen
        _draw_point(axes, candidate, number, by_drop=by_drop, chosen=chosen)
    if result.chosen in others:
        assert result.chosen is not None
        words = f"chosen: {names_of(result.chosen)}"
        place = _places([result.chosen], by_drop=by_drop)
        axes.plot(*place, "*", color=_CHOSEN, markersize=15, label=words)
    if others:
        axes.plot(
            *_places(others, by_drop=by_drop), "o", color=_OTHER, zorder=1, label="other mixes"
        )
    if limit is not None:
        _draw_limit(axes, result, limit, by_drop=by_drop)
    if by_drop:
        axes.invert_yaxis()
        axes.set_ylabel("drop of top-1 at most, pp (better above)")
    else:
        axes.set_ylabel("SQNR of the outputs, dB (better above)")
    axes.set_xlabel(
        "1 + share of the multiply-adds in float (no time was measured)"
        if result.simulated
        else "time, relative to the all-INT8 engine (faster to the left)"
    )
    axes.margins(x=0.08, y=0.12)
    axes.legend(
        title="in float",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=9,
        alignment="left",
    )


def _draw_point(
    axes: Any, candidate: Candidate, number: int, *, by_drop: bool, chosen: bool
) -> None:
    place = _places([candidate], by_drop=by_drop)
    words = f"{number}  {names_of(candidate)}{' (chosen)' if chosen else ''}"
    axes.plot(
        *place,
        "*" if chosen else "o",
        color=_CHOSEN if chosen else _FRONT,
        markersize=15 if chosen else 7,
        label=words if number <= _MOST_NAMED or chosen else None,
    )
    (x,), (y,) = place
    axes.annotate(str(number), (x, y), xytext=(6, 6), textcoords="offset points", fontsize=9)


def _draw_limit(axes: Any, result: SearchResult, limit: Limit, *, by_drop: bool) -> None:
    """Draws the line that the limit is, where it is one of the height's figure."""
    height = words = None
    if by_drop:
        height, words = limit.max_drop_pp, f"limit: {limit.max_drop_pp:g} pp"
    elif limit.min_sqnr_db is not None:
        height, words = limit.min_sqnr_db, f"limit: {limit.min_sqnr_db:g} dB"
    elif limit.min_gain_db is not None and result.candidates:
        base = result.candidates[0].sqnr_db
        if base is not None:
            height = base + limit.min_gain_db
            words = f"limit: {limit.min_gain_db:g} dB above all INT8"
    if height is None:
        return
    axes.axhline(height, color="0.25", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        words,
        (0.995, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )


def _is_by_drop(result: SearchResult, limit: Limit | None) -> bool:
    return (
        limit is not None
        and limit.max_drop_pp is not None
        and all(candidate.drop_upper95_pp is not None for candidate in result.candidates)
    )


def _height(candidate: Candidate, *, by_drop: bool) -> float | None:
    return candidate.drop_upper95_pp if by_drop else candidate.sqnr_db


def _places(
    candidates: list[Candidate], *, by_drop: bool
) -> tuple[list[float], list[float | None]]:
    costs = [1.0 + candidate.cost for candidate in candidates]
    return costs, [_height(candidate, by_drop=by_drop) for candidate in candidates]


def names_of(candidate: Candidate) -> str:
    """Returns the modules that an engine has in float, as far as there is room."""
    if not candidate.keep_float:
        return "nothing: all INT8"
    text, rest = printable(candidate.keep_float[0]), len(candidate.keep_float) - 1
    for name in map(printable, candidate.keep_float[1:]):
        if len(text) + len(name) > _LONGEST:
            break
        text, rest = f"{text}, {name}", rest - 1
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return f"{text} and {rest} more" if rest else text
