"""How tables of results are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from envelope import Result
from figure_marks import machine_text, versions_text, with_unit


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of docs/benchmarks.md with its heading and what a reader has to know."""

    result: str
    title: str
    words: str
    # shown only where the machine did nothing else
    of_times: bool = False


def shown(row: dict[str, Any], key: str, digits: int | None = None) -> str:
    """A figure in its unit; empty where there is none."""
    return "" if row.get(key) is None else with_unit(row[key], key, digits)


def ratio_text(found: Sequence[float | None] | None) -> str:
    """A ratio; of few rounds it has no interval."""
    if found is None:
        return ""
    known = [f"{value:.3f}" for value in found if value is not None]
    return f"{known[0]} ({known[1]} to {known[2]})" if len(known) > 2 else known[0]


def table(result: Result, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, with what it is of below it."""
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    busy = "" if result.quiet else "; other programs ran beside it, so that it shows no times"
    facts = f"{result.date_utc[:10]}, {machine_text(result)}{busy}. {versions_text(result)}."
    return f"{text}\n\n{facts}\n`{result.command}`"


def table_of_lines(lines: Sequence[str]) -> str:
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```"
