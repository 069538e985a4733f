"""A fleet as text: the cells of its rows, which the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_scnet.report.fleet import Fleet, FleetAccuracy, FleetRow, age_words

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetColumn:
    """A column: its title, and a cell for each row of the fleet."""

    title: str
    cells: tuple[str, ...]
    is_text: bool = False


def columns_of(fleet: Fleet, *, now_utc: str) -> tuple[FleetColumn, ...]:
    """Returns the columns that have something in at least one row; the device's name comes first.

    Args:
        now_utc: what the age of a row is counted to.
    """
    rows = fleet.rows
    names = FleetColumn(title="device", cells=tuple(row.device.name for row in rows), is_text=True)
    columns = (names, *_figures(rows), *_ends(rows, now_utc))
    return tuple(
        column for column in columns if any(cell not in ("", NOTHING) for cell in column.cells)
    )


def _figures(rows: Sequence[FleetRow]) -> tuple[FleetColumn, ...]:
    figure = _figure_of(rows)
    # where devices are judged by unlike figures each cell names its own
    title, loss = ("accuracy", "loss") if figure is None else (figure.title, figure.loss_title)
    return (
        _column(title, [_value(row.accuracy, is_named=figure is None) for row in rows]),
        _column(loss, [_loss(row.accuracy) for row in rows]),
        _column("SQNR, dB", [_sqnr(row) for row in rows]),
        _column(
            "p50, ms", [NOTHING if row.p50_ms is None else f"{row.p50_ms:.3f}" for row in rows]
        ),
        _column("95 % interval", [_interval(row) for row in rows]),
        _column(
            "speed", [NOTHING if row.speed is None else f"{row.speed.ratio:.2f}x" for row in rows]
        ),
        _column("memory, MB", [_memory(row) for row in rows]),
    )


def _ends(rows: Sequence[FleetRow], now_utc: str) -> tuple[FleetColumn, ...]:
    ages = [NOTHING if r.created_utc is None else age_words(r.created_utc, now_utc) for r in rows]
    return (_column("exit", [str(row.device.exit_code) for row in rows]), _column("age", ages))


def _column(title: str, cells: Sequence[str]) -> FleetColumn:
    return FleetColumn(title=title, cells=tuple(cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """The figure that all devices are judged by, as titles."""

    title: str
    loss_title: str


def _figure_of(rows: Sequence[FleetRow]) -> _Figure | None:
    known = {(row.accuracy.name, row.accuracy.unit) for row in rows if row.accuracy is not None}
    if len(known) != 1:
        return None
    ((name, unit),) = known
    what = "drop" if name == "top-1" else "loss"
    points = "pp" if unit == "%" else unit
    return _Figure(
        title=f"{name}{unit and ', ' + unit}", loss_title=f"{what}{points and ', ' + points}"
    )


def _digits(figure: FleetAccuracy) -> str:
    return ".2f" if figure.unit == "%" else ".4g"


def _value(figure: FleetAccuracy | None, *, is_named: bool) -> str:
    if figure is None:
        return NOTHING
    text = f"{figure.value:{_digits(figure)}}"
    if is_named:
        text = f"{figure.name} {text}{figure.unit and ' ' + figure.unit}"
    return f"{text} (simulated)" if figure.simulated else text


def _loss(figure: FleetAccuracy | None) -> str:
    # -0.0, the loss of an equal engine, becomes 0
    if figure is None or figure.loss is None:
        return NOTHING
    return f"{figure.loss + 0.0:+{_digits(figure)}}"


def _sqnr(row: FleetRow) -> str:
    if row.exact:
        return "exact"
    return NOTHING if row.sqnr_db is None else f"{row.sqnr_db:.1f}"


def _interval(row: FleetRow) -> str:
    if row.p50_low_ms is None or row.p50_high_ms is None:
        return NOTHING
    return f"{row.p50_low_ms:.3f} to {row.p50_high_ms:.3f}"


def _memory(row: FleetRow) -> str:
    return NOTHING if row.memory_bytes is None else f"{row.memory_bytes / 2**20:,.0f}"


def facts_words(row: FleetRow) -> str:
    """Returns a device in words: where it was reached, what it is, what ran there."""
    parts = (row.device.host, row.machine, row.power, row.target, row.runtime)
    return "; ".join(part for part in parts if part)


def outcome_words(row: FleetRow) -> str:
    """Returns what a device came to: its error, what the gate says, or its report's verdict."""
    device = row.device
    if device.error is not None:
        return f"failed: {device.error}"
    if device.headline is not None:
        return device.headline
    return row.verdict or "not judged"


def verdict_words(row: FleetRow) -> str:
    """Returns what a device came to in a word or two, as a cell."""
    if row.device.error is not None:
        return "failed"
    return outcome_words(row).partition(":")[0]


def table(fleet: Fleet, *, now_utc: str) -> Table:
    """Returns the table for a terminal; its strings are no markup."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    columns = columns_of(fleet, now_utc=now_utc)
    for column in columns:
        made.add_column(
            column.title, justify="left" if column.is_text else "right", no_wrap=not column.is_text
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*cells)
    return made
