"""What a search came to, as a table and as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import require
from edge_scnet.sensitivity.result import Candidate, SearchResult
from edge_scnet.stats.decibels import decibels


def chosen_words(result: SearchResult) -> str:
    """What was chosen and why: its modules' part in the noise, its SQNR, and what it costs."""
    chosen, base = result.chosen, result.candidates[0]
    assert chosen is not None
    if not chosen.keep_float:
        return f"nothing in float, {decibels(chosen.sqnr_db)}"
    modules = result.sensitivities.modules
    own = sum(module.share for module in modules if module.node in chosen.keep_float)
    share = own / (sum(module.share for module in modules) or 1.0)
    return (
        f"{len(chosen.keep_float)} of {len(modules)} modules in float, which cause"
        f" {100 * share:.0f} % of the noise: {decibels(base.sqnr_db)} becomes"
        f" {decibels(chosen.sqnr_db)}, {cost_words(chosen)}"
    )


def cost_words(candidate: Candidate) -> str:
    """What an engine costs beside the all-INT8 one: measured time, or else its work in float."""
    if candidate.time_ratio is not None:
        spread = (
            ""
            if candidate.time_low is None or candidate.time_high is None
            else f" ({candidate.time_low:.3f} to {candidate.time_high:.3f})"
        )
        return f"{candidate.time_ratio:.3f} x all-INT8's time{spread}"
    return (
        f"{100 * (candidate.float_work or 0.0):.1f} % of the multiply-adds in float; times are not"
        " measured here"
    )


def search_table(result: SearchResult, *, modules: int = 20) -> list[str]:
    """The result as lines of text.

    It has the modules that cost most, the engines that none beats, and the lines of a target file
    for the chosen one.

    Args:
        modules: how many of the modules.
    """
    all_modules = result.sensitivities.modules
    total = sum(module.multiply_adds for module in all_modules)
    lines = [f"{'module':<32} {'of the noise':>12} {'of the work':>12}"]
    lines += [
        f"{module.node:<32} {100 * module.share:>10.1f} %"
        f" {100 * module.multiply_adds / total:>10.1f} %"
        for module in all_modules[:modules]
    ]
    if len(all_modules) > modules:
        lines.append(f"and {len(all_modules) - modules} more: --json")
    if not result.candidates:
        return lines
    cost = "work in float" if result.simulated else "time of all INT8"
    lines += ["", f"{cost:>16} {'SQNR, dB':>9} {'drop at most, pp':>17}  in float"]
    for candidate in result.pareto:
        mark = "*" if candidate == result.chosen else " "
        drop = "-" if candidate.drop_upper95_pp is None else f"{candidate.drop_upper95_pp:.2f}"
        quality = decibels(candidate.sqnr_db, unit="")
        names = ", ".join(candidate.keep_float[:4]) + (
            ", ..." if len(candidate.keep_float) > 4 else ""
        )
        cost = (
            f"{100 * candidate.cost:>12.1f} %"
            if candidate.time_ratio is None
            else f"{candidate.time_ratio:>13.3f}x"
        )
        lines.append(f"{mark} {cost} {quality:>9} {drop:>17}  {names or 'nothing'}")
    if result.simulated:
        lines += [
            "",
            "simulated: times are not measured here, and no engine was built; on the board they"
            " are: edge-scnet build MODEL --target TARGET --search-on-board here, and there:"
            " edge-scnet compile bundle.tar.gz --search 600",
        ]
    if result.chosen is not None and result.chosen.keep_float:
        lines += [
            "",
            chosen_words(result),
            "for the target file:",
            "[quant]",
            f"keep_float = {json.dumps(list(result.chosen.keep_float))}",
        ]
    return lines


def draw(result: SearchResult, path: Path) -> None:
    """Writes the engines measured, by time and SQNR, as a PNG; those that none beats are joined.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    figure_module = require("matplotlib.figure", extra="report")
    figure = figure_module.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    finite = [candidate for candidate in result.candidates if candidate.sqnr_db is not None]
    axes.plot(
        [1.0 + c.cost for c in finite],
        [c.sqnr_db for c in finite],
        "o",
        color="0.7",
        label="measured",
    )
    front = [candidate for candidate in result.pareto if candidate.sqnr_db is not None]
    axes.plot(
        [1.0 + c.cost for c in front],
        [c.sqnr_db for c in front],
        "o-",
        label="none is faster and closer to float",
    )
    marks = [(result.candidates[0], "s", "all INT8"), (result.chosen, "*", "chosen")]
    for candidate, marker, label in marks:
        if candidate is not None and candidate.sqnr_db is not None:
            axes.plot(1.0 + candidate.cost, candidate.sqnr_db, marker, markersize=12, label=label)
    axes.set_xlabel(
        "1 + share of the multiply-adds in float (no time was measured)"
        if result.simulated
        else "time, relative to the all-INT8 engine"
    )
    axes.set_ylabel("SQNR of the outputs, dB")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    with write_atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
