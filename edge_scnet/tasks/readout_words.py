"""A readout in words for people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_scnet.tasks.readout import (
    Classes,
    Labels,
    Mask,
    Numbers,
    Objects,
    Output,
    Outputs,
    Points,
    Readout,
    Vector,
    Words,
)

_MOST_VALUES, _MOST_LABELS = 8, 5


def headline(readout: Readout, size: tuple[int, int] | None) -> str:
    """What is said of a sample, on one line.

    Args:
        size: width and height of the image; None: it is none.
    """
    form = readout.form
    if isinstance(form, Objects):
        count = len(shown(form))
        words = f"{count} object{'' if count == 1 else 's'}"
        if form.scores is None or not form.threshold:
            return words
        return f"{words} that score{'s' if count == 1 else ''} {100 * form.threshold:g} % or more"
    if isinstance(form, Points):
        unseen = int((~np.asarray(form.visible, bool)).sum())
        return f"{len(form.positions)} points" + (f", {unseen} not visible" if unseen else "")
    if isinstance(form, Outputs):
        return f"{len(form.outputs)} output{'' if len(form.outputs) == 1 else 's'}"
    if isinstance(form, Words):
        return form.lines[0] if form.lines else "nothing"
    if isinstance(form, Mask):
        return ", ".join(f"{name} {share:.1f} %" for name, share in shares(readout, size))
    return _of_numbers(readout)


def _of_numbers(readout: Readout) -> str:
    form = readout.form
    if isinstance(form, Classes):
        return ", ".join(_classes(readout, form))
    if isinstance(form, Labels):
        return ", ".join(_labels(readout, form)) or "no label applies"
    if isinstance(form, Vector):
        first = " ".join(f"{value:.4g}" for value in form.values[:_MOST_VALUES])
        more = " ..." if len(form.values) > _MOST_VALUES else ""
        return f"{len(form.values)} values of norm {norm(form):.4g}: {first}{more}"
    assert isinstance(form, Numbers)
    rows = [
        (f"{readout.name_of(i)} " if len(form.values) > 1 or readout.names else "") + f"{value:.6g}"
        for i, value in enumerate(form.values[:_MOST_VALUES].tolist())
    ]
    more = f", {len(form.values) - len(rows)} more" if len(form.values) > len(rows) else ""
    return ", ".join(rows) + more


def _classes(readout: Readout, form: Classes) -> Iterator[str]:
    for at, index in enumerate(form.indices):
        share = f" {100 * form.shares[at]:.1f} %" if form.shares else ""
        yield f"{readout.name_of(index)}{share}"


def _labels(readout: Readout, form: Labels) -> Iterator[str]:
    """The labels that apply, the surest first; where none does, the one that is nearest to it."""
    scores = form.scores
    order = range(len(form.applies)) if scores is None else np.argsort(-scores).tolist()
    chosen = [i for i in order if form.applies[i]]
    if scores is not None and not chosen and len(order):
        yield f"no label applies; {readout.name_of(order[0])} {100 * float(scores[order[0]]):.1f} %"
    for i in chosen:
        share = "" if scores is None else f" {100 * float(scores[i]):.1f} %"
        yield f"{readout.name_of(i)}{share}"


def details(readout: Readout) -> tuple[str, ...]:
    """What stands below the headline: a line for each object, point or output."""
    form = readout.form
    if isinstance(form, Objects):
        return tuple(_objects(readout, form))
    if isinstance(form, Points):
        return tuple(
            f"{readout.name_of(i)}  {form.positions[i][0]:.1f}, {form.positions[i][1]:.1f}"
            + ("" if form.visible[i] else "  not visible")
            for i in range(len(form.positions))
        )
    if isinstance(form, Outputs):
        return tuple(map(_output, form.outputs))
    return form.lines[1:] if isinstance(form, Words) else ()


def _objects(readout: Readout, form: Objects) -> Iterator[str]:
    for row in shown(form):
        score = "" if form.scores is None else f" {100 * float(form.scores[row]):.1f} %"
        corners = ", ".join(f"{value:.1f}" for value in form.corners[row].tolist())
        yield f"{readout.name_of(int(form.classes[row]))}{score}  {corners}"


def _output(output: Output) -> str:
    shape = " x ".join(map(str, output.shape)) or "one number"
    if output.low is None or output.high is None or output.mean is None:
        return f"{output.name}  {shape} {output.dtype}, no finite value"
    return (
        f"{output.name}  {shape} {output.dtype}, {output.low:.4g} to {output.high:.4g}, mean"
        f" {output.mean:.4g}"
    )


def captions(readout: Readout) -> tuple[str, ...]:
    """What is written on a picture of what has no place in it; nothing where there is a place."""
    form = readout.form
    if isinstance(form, Classes):
        return tuple(_classes(readout, form))[:1]
    if isinstance(form, Labels):
        return tuple(_labels(readout, form))[:_MOST_LABELS]
    if isinstance(form, Numbers):
        return tuple(_of_numbers(readout).split(", ")[:_MOST_LABELS])
    return form.lines[:_MOST_LABELS] if isinstance(form, Words) else ()


def shown(form: Objects) -> list[int]:
    """The rows of the objects that score high enough, in order."""
    if form.scores is None:
        return list(range(len(form.corners)))
    found: list[int] = np.flatnonzero(np.asarray(form.scores) >= form.threshold).tolist()
    return found


def shares(readout: Readout, size: tuple[int, int] | None) -> list[tuple[str, float]]:
    """What each class of a mask takes of the pixels that it covers, in %, the largest first.

    Args:
        size: width and height of the image; None: the map's own pixels are counted.
    """
    form = readout.form
    assert isinstance(form, Mask)
    classes = form.classes if size is None else form.at_image(*size)
    numbers, counts = np.unique(classes[classes >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    total = max(int(counts.sum()), 1)
    return [(readout.name_of(int(numbers[i])), 100.0 * int(counts[i]) / total) for i in order]


def norm(form: Vector) -> float:
    """The vector's Euclidean length."""
    return float(np.linalg.norm(np.asarray(form.values, np.float64)))
