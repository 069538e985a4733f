"""What a search came to, as a table."""

from __future__ import annotations

import json

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
