"""What a command prints and writes where it ran on several devices: a table, a page, or JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_scnet.cli import outputs
from edge_scnet.cli.options import command_line
from edge_scnet.cli.printer import say, say_in_color, show_table
from edge_scnet.cli.show import color_of
from edge_scnet.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_scnet.report.fleet import Fleet, FleetRow


def end_fleet(rows: Sequence[FleetRow], *, as_json: bool) -> None:
    """Writes fleet.html beside the folders of the devices, prints what the devices came to, and
    ends the command with the worst of their exit codes.

    Raises:
        StorageError: the page cannot be written.
    """
    from edge_scnet.core.clock import now_utc
    from edge_scnet.report.fleet import Fleet

    page, fault = page_of(rows), None
    fleet = Fleet(
        command=command_line(),
        created_utc=now_utc(),
        rows=tuple(rows),
        page=None if page is None else str(page),
    )
    if page is not None:
        try:
            _write(fleet, page)
        except StorageError as error:
            # what was measured is told all the same
            fault, fleet = error, replace(fleet, page=None)
    if not as_json:
        show_fleet(fleet)
    if fault is not None:
        raise fault
    if as_json:
        outputs.show("fleet", fleet)
    if fleet.exit_code:
        raise typer.Exit(fleet.exit_code)


def page_of(rows: Sequence[FleetRow]) -> Path | None:
    """Where the page goes: beside the folders of the devices; None where there is no report.

    A report lies in <out>/@<device>/<model>/<target>. Where there are several of these <out> it is
    the first one's.
    """
    from edge_scnet.report.fleet_page import FLEET_PAGE

    folders = [Path(row.device.folder) for row in rows if row.device.folder is not None]
    if not folders:
        return None
    first = folders[0] if len(folders[0].parts) > 3 else folders[0].absolute()
    return first.parents[2] / FLEET_PAGE


def _write(fleet: Fleet, page: Path) -> None:
    from edge_scnet.core.files import write_text
    from edge_scnet.report.fleet_page import render

    write_text(page, render(fleet, folder=page.parent))


def show_fleet(fleet: Fleet) -> None:
    """Prints the table, what each device is and came to, and where the page is."""
    from edge_scnet.report.fleet import summary_words
    from edge_scnet.report.fleet_table import facts_words, outcome_words, table

    show_table(table(fleet, now_utc=fleet.created_utc))
    say("")
    width = max(len(row.device.name) for row in fleet.rows)
    for row in fleet.rows:
        say(f"{row.device.name:<{width}}  {outcome_words(row)}")
        say(f"{'':<{width}}  {facts_words(row)}")
        if row.device.hint:
            say(f"{'':<{width}}  hint: {row.device.hint}")
    say("")
    say_in_color(summary_words(fleet.rows), color_of(fleet.exit_code))
    if fleet.page is not None:
        say(f"page: {fleet.page}")
