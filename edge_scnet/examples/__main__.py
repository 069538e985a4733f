"""Draws an example's data, and says what to do next: `python -m edge_scnet.examples --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_scnet.examples import data

app = typer.Typer(add_completion=False)


@app.command()
def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the images and their ground truth.")],
    task: Annotated[data.Task, typer.Option(help="What the data is for.")] = data.Task.DETECTION,
    calib: Annotated[int, typer.Option(min=1, help="Calibration images.")] = 300,
    evaluation: Annotated[int, typer.Option("--eval", min=1, help="Evaluation images.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of both sets.")] = 0,
) -> None:
    """Draw an example's calibration and evaluation images."""
    typer.echo(data.write(out, task, calib=calib, evaluation=evaluation, seed=seed))


if __name__ == "__main__":
    app(prog_name="python -m edge_scnet.examples")
