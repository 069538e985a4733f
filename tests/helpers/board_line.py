"""What a line of tegrastats tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line and what it tells."""

    number: int
    board: str
    text: str
    percent: int | None
    clocks_mhz: tuple[int, ...]
    # the hottest sensor
    hottest: tuple[str, float]
    # of the module, and the rails that add up to it; None: not told
    module_mw: int | None
    module_rails: str | None
    # all rails that a report lists
    rails: tuple[str, ...]
