"""The page of a report that comes from a device is made here: a board is slow at it, and need not
have its packages; over the link it would be the larger part of what a second build moves.
"""

from __future__ import annotations

import threading
from pathlib import Path

from edge_scnet.core.manifest import REPORT, REPORT_PAGE
from edge_scnet.core.optional import installed
from edge_scnet.devices.inputs import Drawn
from edge_scnet.report.page_needs import NEEDS


def page_here() -> Drawn | None:
    """How the page is made here; None: what that needs is missing, and the device tries."""
    if not all(map(installed, NEEDS)):
        return None
    return Drawn(of=REPORT, names=(REPORT_PAGE,), make=_page)


# of a fleet several come back at once; matplotlib's settings are of the whole process
_drawing = threading.Lock()


def _page(report: Path) -> dict[str, str]:
    from edge_scnet.report.page import render
    from edge_scnet.report.store import load_report

    with _drawing:
        return {REPORT_PAGE: render(load_report(report))}
