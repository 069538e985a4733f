"""The options of the searches for a mix of INT8 and float."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge_scnet.cli.command_help import ACCURACY


def _seconds(option: str, told: str) -> Any:
    """An option that takes the time of a search.

    Args:
        told: its help.
    """
    return typer.Option(
        option, min=1, max=86_400, metavar="SECONDS", rich_help_panel=ACCURACY, help=told
    )


SearchSeconds = Annotated[
    float | None,
    _seconds(
        "--search",
        "Where INT8 misses --max-drop: search so long for the fastest mix with float that"
        " keeps it.",
    ),
]
SearchOnBoard = Annotated[
    bool,
    typer.Option(
        "--search-on-board",
        rich_help_panel=ACCURACY,
        help=(
            "Of a target whose plans are built on a board: pack what compile --search needs there"
            " into the bundle, the calibration samples included."
        ),
    ),
]
BundleSearch = Annotated[
    float | None,
    _seconds(
        "--search",
        "Of a bundle of build --search-on-board: where INT8 misses the limit, search so long"
        " for the fastest mix with float that keeps it.",
    ),
]
Gain = Annotated[
    float | None,
    typer.Option(
        "--gain",
        min=0,
        max=100,
        metavar="DB",
        rich_help_panel=ACCURACY,
        help="Search for so much more SQNR than INT8's.",
    ),
]
MinSqnr = Annotated[
    float | None,
    typer.Option(
        "--min-sqnr",
        min=0,
        max=200,
        metavar="DB",
        rich_help_panel=ACCURACY,
        help="Search for this SQNR.",
    ),
]
Budget = Annotated[
    float,
    _seconds("--budget", "Time for the search."),
]
