"""`edge-scnet data check`: what is in the sample sets, in ten lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from edge_scnet.cli import console, outputs
from edge_scnet.cli.command_help import HelpfulGroup, told
from edge_scnet.cli.data_options import with_data_options
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import (
    AsJson,
    Calib,
    Eval,
    IgnoreLabels,
    Model,
    SkipBad,
    with_model_options,
)
from edge_scnet.cli.printer import say
from edge_scnet.cli.project_option import ProjectCommand, with_project
from edge_scnet.config.model_options import ModelOptions

if TYPE_CHECKING:
    from edge_scnet.pipeline.data_check import ChannelFacts, DataCheck, SetFacts
    from edge_scnet.pipeline.first_norm import FirstNorm

_WIDTH = 13
_MOST_FITS = 4

_data = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at calibration and evaluation samples.",
)


@_data.callback()
def _group() -> None: ...


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    _data.command("check", cls=ProjectCommand, **told("data check"))(guarded(check))
    app.add_typer(_data, name="data", **told("data"))


@with_model_options
@with_project
@with_data_options
def check(
    model: Model = None,
    calib: Calib = None,
    evaluation: Eval = None,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """Read all samples, and say what they are and what the network gets of them.

    MODEL may be a build folder too. The statistics are compared with those that the first BatchNorm
    kept from training, which tells pixels in another order or range.

    Exit code: 0; 4 where samples cannot be read, both sets share some, or a set is too small.
    """
    from edge_scnet.models import zoo
    from edge_scnet.pipeline.data_check import check_data

    with console.events() as events:
        result = check_data(
            model or zoo.DEFAULT_MODEL,
            calib=calib,
            evaluation=evaluation,
            model_options=model_options,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            events=events,
        )
    if as_json:
        outputs.show("data-check", result)
    else:
        say(*_lines(result))
    raise typer.Exit(result.exit_code)


def _lines(result: DataCheck) -> Iterator[str]:
    yield _line("model", f"{result.model}, {result.input}")
    for found in result.sets:
        yield _line(found.role, _set_words(found))
    for found in result.sets:
        if found.sizes is not None:
            yield _line("sizes", f"{found.role}: {_size_words(found)}")
    yield from _unreadable(result)
    yield _line("copies", "; ".join(map(_copy_words, result.sets)))
    if result.shared is not None:
        example = f", such as {' = '.join(result.shared_example)}" if result.shared_example else ""
        yield _line("in both sets", f"{result.shared or 'none'}{example}")
    for i, channel in enumerate(result.channels):
        name = "input" if i == 0 else ""
        number = f"channel {i}: " if len(result.channels) > 1 else ""
        yield _line(name, number + _channel_words(channel))
    if isinstance(result.norm, str):
        yield _line("BatchNorm", result.norm)
    else:
        yield _line("BatchNorm", _norm_words(result.norm))
    for problem in result.problems:
        yield _line("problem", problem)
    for warning in result.warnings:
        yield _line("warning", warning)
    if not result.problems and not result.warnings:
        yield _line("result", "nothing is wrong with them")


def _line(name: str, words: str) -> str:
    return f"{name:<{_WIDTH}} {words}"


def _set_words(found: SetFacts) -> str:
    kind = "images" if found.is_images else "samples"
    words = [f"{found.count:,} {kind} of {found.where}"]
    if found.classes is not None:
        low, high = f"{found.rarest:,}", f"{found.most:,}"
        each = f"{low} each" if low == high else f"{low} to {high} each"
        words.append(f"{found.classes:,} classes ({each})")
    if found.boxes is not None:
        words.append(f"{found.boxes:,} boxes")
    words.append((found.truth or "no labels").removeprefix("boxes, "))
    if found.ignored:
        counts = ", ".join(f"{number} {suffix}" for suffix, number in found.ignored.items())
        words.append(f"other files, which are not read: {counts}")
    return ", ".join(words)


def _size_words(found: SetFacts) -> str:
    assert found.sizes is not None
    sizes = found.sizes
    smallest, median, largest = (
        f"{width} x {height}" for width, height in (sizes.smallest, sizes.median, sizes.largest)
    )
    if smallest == largest:
        words = f"{smallest}, all"
    else:
        words = f"{smallest} to {largest}, median {median}"
    return words + f"; {sizes.smaller_than_input or 'none'} smaller than the input"


def _unreadable(result: DataCheck) -> Iterator[str]:
    counts = [f"{found.role} {found.unreadable or 'none'}" for found in result.sets]
    yield _line("unreadable", "; ".join(counts))
    for found in result.sets:
        for reason in found.why:
            yield _line("", reason)


def _copy_words(found: SetFacts) -> str:
    example = f", such as {' = '.join(found.example)}" if found.example else ""
    left_out = f", {found.copies_left_out} left out" if found.copies_left_out else ""
    return f"{found.role} {found.copies or 'none'}{example}{left_out}"


def _channel_words(channel: ChannelFacts) -> str:
    return (
        f"mean {channel.mean:.3g}, std {channel.std:.3g}, {channel.lowest:.3g} to"
        f" {channel.highest:.3g}"
    )


def _norm_words(norm: FirstNorm) -> str:
    fits = "; ".join(f"{fit.inputs} {fit.distance:.3g}" for fit in norm.fits[:_MOST_FITS])
    return f"{norm.name}, distance from training on {norm.images} samples: {fits}"
