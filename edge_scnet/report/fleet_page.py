"""fleet.html: what a command came to on several devices, as one self-contained page.

It has the style of report.html, and links to the report.html of each device that lies below its
own folder. Names and messages come from files and from devices: the template escapes them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from edge_scnet.__about__ import __version__
from edge_scnet.core.manifest import REPORT_PAGE
from edge_scnet.errors import ExitCode
from edge_scnet.report import page_facts
from edge_scnet.report.fleet import Fleet, FleetRow, summary_words
from edge_scnet.report.fleet_table import NOTHING, columns_of, outcome_words, verdict_words
from edge_scnet.report.page import ICON, template_of

FLEET_PAGE = "fleet.html"
_GOOD, _BAD, _OPEN = (
    ("good", "\N{HEAVY CHECK MARK}"),
    ("bad", "\N{HEAVY BALLOT X}"),
    ("", "?"),
)
# verdicts that are not proven either way are no failures
_UNDECIDED = (ExitCode.INCOMPARABLE, ExitCode.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    link: str | None  # relative; None: there is no page
    cells: tuple[str, ...]
    css: str
    verdict: str
    outcome: str
    facts: tuple[str, ...]
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the template shows."""

    title: str
    summary: str
    css: str
    sign: str
    exit_code: int
    meaning: str
    created_utc: str
    when: str
    made_by: str
    icon: str  # a data: URL
    command: str
    head: tuple[str, ...]
    rows: tuple[_Row, ...]


def render(fleet: Fleet, *, folder: Path) -> str:
    """Returns the page.

    Args:
        folder: that the page will lie in, which links are relative to.

    Raises:
        MissingRuntimeError: Jinja2 is not installed.
    """
    text: str = template_of("fleet.html.j2").render(page=_page(fleet, folder))
    return text


def _page(fleet: Fleet, folder: Path) -> _Page:
    columns = columns_of(fleet, now_utc=fleet.created_utc)
    css, sign = _tone(fleet.exit_code)
    names = dict.fromkeys(row.model for row in fleet.rows if row.model is not None)
    return _Page(
        title=f"{', '.join(names)} on a fleet" if names else "A fleet",
        summary=summary_words(fleet.rows),
        css=css,
        sign=sign,
        exit_code=fleet.exit_code,
        meaning=_meaning(fleet.exit_code),
        created_utc=fleet.created_utc,
        when=page_facts.when(fleet.created_utc),
        made_by=f"edge-scnet {__version__}",
        icon=ICON,
        command=fleet.command,
        head=tuple(column.title for column in columns),
        rows=tuple(
            _row(row, tuple(column.cells[index] for column in columns[1:]), folder)
            for index, row in enumerate(fleet.rows)
        ),
    )


def _tone(exit_code: int) -> tuple[str, str]:
    if not exit_code:
        return _GOOD
    return _OPEN if exit_code in _UNDECIDED else _BAD


def _meaning(exit_code: int) -> str:
    try:
        return ExitCode(exit_code).meaning
    except ValueError:
        return "none of edge-scnet's"


def _row(row: FleetRow, cells: tuple[str, ...], folder: Path) -> _Row:
    facts = (row.device.host, _machine(row), row.target, row.runtime)
    tone, _ = _tone(row.device.exit_code)
    return _Row(
        name=row.device.name,
        link=_link(row, folder),
        cells=cells,
        css={"good": "pass", "bad": "fail"}.get(tone, "inconclusive"),
        verdict=verdict_words(row),
        outcome=outcome_words(row),
        facts=tuple(fact or NOTHING for fact in facts),
        hint=row.device.hint,
    )


def _machine(row: FleetRow) -> str | None:
    return f"{row.machine}; {row.power}" if row.machine and row.power else row.machine


def _link(row: FleetRow, folder: Path) -> str | None:
    """The report's page, as an address relative to the folder; None: none, or it is elsewhere."""
    # an interrupted run leaves its figures, and no page
    if row.device.folder is None or row.model is None or not row.complete:
        return None
    try:
        inner = Path(row.device.folder).resolve().relative_to(folder.resolve())
    except ValueError:
        return None
    # "./" in front: a folder's name with a colon is no scheme
    return "./" + quote(os.fsencode(PurePosixPath(*inner.parts, REPORT_PAGE)))
