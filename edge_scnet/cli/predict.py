"""The command `predict`: what an engine says of images, printed and drawn."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_scnet.cli import console
from edge_scnet.cli.command_help import told
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson, Built, SkipBad, with_model_options
from edge_scnet.cli.printer import say, tell
from edge_scnet.cli.project_option import ProjectCommand, with_project_path
from edge_scnet.config.model_options import ModelOptions

if TYPE_CHECKING:
    from edge_scnet.pipeline.predict import Predicted, Prediction

# how outputs are read; all else is the manifest's
_with_reading_options = functools.partial(with_model_options, only=("task", "task_args", "decode"))


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("predict", cls=ProjectCommand, **told("predict"))(guarded(predict))


@functools.partial(with_project_path, path="path", images="images")
@_with_reading_options
def predict(
    path: Built,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, .npy or .npz files, or folders: all such files below them.",
        ),
    ],
    top: Annotated[
        int, typer.Option("--top", min=1, metavar="N", help="How many classes to print.")
    ] = 5,
    draw: Annotated[
        Path | None,
        typer.Option(
            "--draw",
            metavar="OUT",
            help="Draw the results onto the images, into this folder; a .png or .jpg of one image.",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """Run images through an engine, prepared as it was built for: classes, boxes, masks, points or
    values, printed and drawn.

    What the network is for is what its build says, unless --task says otherwise. With --skip-bad
    files that cannot be read are named on stderr and counted; the exit code is 0 all the same,
    unless none can be read.
    """
    from edge_scnet.pipeline import predict as pipeline

    if not images:
        raise typer.BadParameter("IMAGE is missing: edge-scnet predict PATH IMAGE...")
    asked = pipeline.Asked(
        paths=tuple(images), top=top, draw=draw, model_options=model_options, skip_bad=skip_bad
    )
    with console.events() as events:
        predicted = pipeline.predict_all(path, asked, events=events)
    if as_json:
        _show_json(predicted)
    else:
        told = predicted.predictions[0].told
        if not told.said and told.task.kind == "features":
            tell(f"note: read as {told.words}")
        for prediction in predicted.predictions:
            _show(prediction)
    for skipped in predicted.skipped:
        tell(f"skipped: {skipped.error}")
    if predicted.skipped:
        read = len({prediction.image for prediction in predicted.predictions})
        bad = len(predicted.skipped)
        tell(f"{bad} of {bad + read} files could not be read and were left out")


def _show_json(predicted: Predicted) -> None:
    from edge_scnet.cli import outputs
    from edge_scnet.cli.outputs.predict import Predictions
    from edge_scnet.tasks.readout_json import record_of

    said = (
        record_of(
            prediction.readout,
            prediction.size,
            image=prediction.name,
            drawn=None if prediction.drawn is None else str(prediction.drawn),
        )
        for prediction in predicted.predictions
    )
    outputs.show("predict", Predictions(predictions=tuple(said), skipped=predicted.skipped))


def _show(prediction: Prediction) -> None:
    from edge_scnet.tasks.readout_words import details, headline

    say(f"{prediction.name}: {headline(prediction.readout, prediction.size)}")
    for line in details(prediction.readout):
        say(f"  {line}")
    if prediction.drawn is not None:
        say(f"  drawn: {prediction.drawn}")
