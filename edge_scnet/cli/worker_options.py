"""The options that say who computes what can be shared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_scnet.cli.command_help import WORKERS
from edge_scnet.errors import TargetError

if TYPE_CHECKING:
    from edge_scnet.scale.executors import Workers

Processes = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=1024,
        metavar="N",
        rich_help_panel=WORKERS,
        help=(
            "Calibrate, simulate and find accuracy in so many processes, each with one thread."
            " Times are always measured here, alone."
        ),
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        rich_help_panel=WORKERS,
        help=(
            "The same by the workers of a Dask scheduler, tls://host:8786 or tcp://host:8786; of"
            " Ray, ray or ray://host:10001; or of package.module:function, which returns a"
            " concurrent.futures.Executor."
        ),
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        rich_help_panel=WORKERS,
        help="A folder that all workers see: inputs go there once, and results stay for later.",
    ),
]


def workers_of(
    processes: int | None, scheduler: str | None, store: Path | None, *, command: str | None = None
) -> Workers | None:
    """Who computes; None: this process alone.

    Args:
        command: that hints name; None: that of `Workers`.

    Raises:
        TargetError: both are given, or a store alone.
    """
    if processes is None and scheduler is None and store is None:
        return None
    from edge_scnet.scale.executors import Workers

    try:
        return Workers(
            processes=processes,
            scheduler=scheduler,
            store=None if store is None else store.absolute(),
        )
    except TargetError as error:
        hint = None if command is None else f"edge-scnet {command} --workers 2"
        raise TargetError(error.message, hint=hint or error.hint) from None
