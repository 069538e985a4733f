"""A user's own evaluator: "package.module:evaluator", called with the context."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.errors import DataError, EdgeError
from edge_scnet.stats.figures import TaskStats
from edge_scnet.tasks import counted
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.metrics import refuse_unfinite
from edge_scnet.tasks.readout import Readout, Words, read_outputs

_OUTPUTS_HINT = "without `outputs` the evaluator is taken as judging all of them"
_OUTPUTS = counted.__file__
_HINT = "what an evaluator is: edge_scnet/tasks/base.py, Evaluator"


@contextlib.contextmanager
def calling(what: str, *, hint: str = _HINT) -> Iterator[None]:
    """Turns all that a user's function raises, but Ctrl-C, into one DataError.

    Args:
        what: the function and the sample, in front of the reason.

    Raises:
        DataError: with the last line of the traceback, and where that was.
    """
    try:
        yield
    except (KeyboardInterrupt, EdgeError):
        raise
    except BaseException as error:
        # a name that no output has is asked for in the function
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != _OUTPUTS]
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        last = traceback.format_exception_only(type(error), error)[-1].strip()
        raise DataError(f"{what} failed: {last}{where}", hint=hint) from error


def imported(name: str) -> Any:
    """What "package.module:attribute" stands for; the working directory is searched too.

    Raises:
        DataError: it cannot be imported.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module, _, attribute = name.partition(":")
    hint = (
        "is it on PYTHONPATH? put what a script does on its own behind: if __name__ == '__main__':"
    )
    with calling(f"the import of {name}", hint=hint):
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    return found


def user_evaluator(name: str, context: Context) -> UserEvaluator:
    """The evaluator that a user's function makes of a context.

    Raises:
        DataError: it cannot be imported or called, or what it returns is none.
    """
    make = imported(name)
    with calling(f"{name}(context)"):
        made = make(context)
    missing = [part for part in ("reduce", "compare") if not callable(getattr(made, part, None))]
    if missing:
        raise DataError(
            f"{name}(context) returned {type(made).__name__}, which has no {missing[0]}()",
            hint=_HINT,
        )
    return UserEvaluator(name, made, context)


class UserEvaluator:
    """Calls a user's evaluator, and holds what it returns to the protocol."""

    def __init__(self, name: str, made: Any, context: Context) -> None:
        """Keeps the user's object.

        Args:
            name: of its function.
        """
        self._name, self._made, self._context = name, made, context
        self.task = str(getattr(made, "task", name))
        self.judged = self._judged()

    def _judged(self) -> tuple[int, ...] | None:
        """The outputs that the evaluator says it judges, its `outputs`; None: all.

        Raises:
            DataError: what it says are no names or numbers of outputs.
        """
        declared = getattr(self._made, "outputs", None)
        if declared is None:
            return None
        names = self._context.output_names
        listed = ", ".join(names) or "numbers only: names are not known before it runs"
        wanted = f"names or numbers of outputs are wanted, the network has {listed}"
        if isinstance(declared, str) or not isinstance(declared, Sequence) or not declared:
            raise DataError(f"{self._name}: outputs is {declared!r}; {wanted}", hint=_OUTPUTS_HINT)
        found = []
        for each in declared:
            is_number = isinstance(each, int) and not isinstance(each, bool)
            if each in names:
                found.append(names.index(each))
            elif is_number and 0 <= each < (len(names) or each + 1):
                found.append(each)
            else:
                raise DataError(f"{self._name}: outputs has {each!r}; {wanted}", hint=_OUTPUTS_HINT)
        return tuple(found)

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """As `Evaluator`.

        Raises:
            DataError: the user's function fails, or keeps another number of things; names the
                samples.
        """
        try:
            kept = list(self._made.reduce(outputs, reference, indices))
        except Exception:
            self._name_the_sample(outputs, reference, indices)
            with calling(f"{self._name}: reduce of {len(indices)} samples"):
                raise
        if len(kept) != len(indices):
            raise DataError(
                f"{self._name}: reduce returned {len(kept)} things for {len(indices)} samples; one"
                " for each is wanted",
                hint=_HINT,
            )
        return kept

    def _name_the_sample(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> None:
        """Calls the function for one sample after the other, to find the one that it fails on.

        Raises:
            DataError: the function fails; names the sample.
        """
        for at, index in enumerate(indices):
            with calling(f"{self._name}: reduce on {self._context.name_of(index)}"):
                self._made.reduce(
                    [array[at : at + 1] for array in outputs],
                    [array[at : at + 1] for array in reference],
                    [index],
                )

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """As `Evaluator`.

        Raises:
            DataError: the user's function fails, returns no TaskStats, or figures that are none.
        """
        with calling(f"{self._name}: compare"):
            stats = self._made.compare(own, reference)
        if not isinstance(stats, TaskStats) or not stats.metrics:
            raise DataError(
                f"{self._name}: compare returned {type(stats).__name__}; a TaskStats with a metric"
                " is wanted (edge_scnet.stats.figures)",
                hint=_HINT,
            )
        self._check(stats, len(own))
        return stats

    def _check(self, stats: TaskStats, samples: int) -> None:
        """Holds figures to what a report says of them.

        Raises:
            DataError: a figure is NaN or infinite, a loss is not the difference that it stands for,
                or they are of another number of samples.
        """
        if stats.samples != samples:
            raise DataError(
                f"{self._name}: compare returned figures of {stats.samples} samples; the set has"
                f" {samples}",
                hint=f"TaskStats(samples={samples}, ...), that is len(own)",
            )
        refuse_unfinite(stats)
        for metric in stats.metrics:
            if metric.reference is None:
                continue
            sign = 1.0 if metric.higher_is_better else -1.0
            wanted = sign * (metric.reference - metric.value)
            scale = max(abs(metric.reference), abs(metric.value))
            if abs(metric.loss - wanted) > 1e-6 * scale + 1e-12:
                words = "reference - value" if metric.higher_is_better else "value - reference"
                raise DataError(
                    f"{self._name}: the loss of {metric.name} is {metric.loss:g}; {words} is"
                    f" {wanted:g}",
                    hint=f"Metric(loss={words}, ...)",
                )

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """What the user's `read(outputs, index)` says: a Readout, a sentence, or several; without
        one the ranges of the outputs.

        Raises:
            DataError: the user's function fails, or returns something else.
        """
        if not callable(getattr(self._made, "read", None)):
            return read_outputs(self.task, self._context, outputs)
        with calling(f"{self._name}: read of {self._context.name_of(index)}"):
            said = self._made.read(outputs, index)
        if isinstance(said, Readout):
            return said
        lines = (said,) if isinstance(said, str) else said
        if isinstance(lines, (list, tuple)) and all(isinstance(line, str) for line in lines):
            return Readout(task=self.task, form=Words(lines=tuple(lines)))
        raise DataError(
            f"{self._name}: read returned {type(said).__name__}; a sentence, a list of sentences or"
            " a Readout is wanted (edge_scnet.tasks.readout)",
            hint=_HINT,
        )
