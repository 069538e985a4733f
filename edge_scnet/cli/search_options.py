"""The options of the searches for a mix of INT8 and float."""

from __future__ import annotations

from typing import Annotated

import typer

SearchSeconds = Annotated[
    float | None,
    typer.Option(
        "--search",
        min=1,
        max=86_400,
        metavar="SECONDS",
        help=(
            "Where INT8 misses --max-drop: search so long for the fastest mix with float that"
            " keeps it."
        ),
    ),
]
SearchOnBoard = Annotated[
    bool,
    typer.Option(
        "--search-on-board",
        help=(
            "Of a target whose plans are built on a board: pack what compile --search needs there"
            " into the bundle, the calibration samples included."
        ),
    ),
]
BundleSearch = Annotated[
    float | None,
    typer.Option(
        "--search",
        min=1,
        max=86_400,
        metavar="SECONDS",
        help=(
            "Of a bundle of build --search-on-board: where INT8 misses the limit, search so long"
            " for the fastest mix with float that keeps it."
        ),
    ),
]
Gain = Annotated[
    float | None,
    typer.Option(
        "--gain", min=0, max=100, metavar="DB", help="Search for so much more SQNR than INT8's."
    ),
]
MinSqnr = Annotated[
    float | None,
    typer.Option("--min-sqnr", min=0, max=200, metavar="DB", help="Search for this SQNR."),
]
Budget = Annotated[
    float,
    typer.Option("--budget", min=1, max=86_400, metavar="SECONDS", help="Time for the search."),
]
