"""Outputs over the evaluation set: logits and power, added up chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.ragged import is_ragged, parts_of
from edge_scnet.core.spec import InputForm, ModelSpec, engine_spec
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.machine.linux import usable_cores
from edge_scnet.profiler.as_timed import check_as_timed
from edge_scnet.profiler.process import Child, EngineFile
from edge_scnet.stats.accuracy import are_classes
from edge_scnet.stats.parts import RowSums
from edge_scnet.tasks.base import Evaluator

_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What an engine gave for the evaluation set.

    Feature maps are too large to keep: of every output the sums of squares are kept.
    """

    # [images, classes] where the first output has classes, else None
    logits: np.ndarray | None
    # by output: sum of squares of the reference's
    signal_power: tuple[float, ...]
    # by output: sum of squares of the difference from the reference's
    noise_power: tuple[float, ...]
    finite: bool
    # by output: sum of squares of this engine's
    own_power: tuple[float, ...] = ()
    # of the outputs
    names: tuple[str, ...] = ()
    # by output: the SQNR of a part of small numbers, where a part of large ones hides it
    hidden_db: tuple[float | None, ...] = ()
    # by output: whether the reference's are whole numbers or truth values
    whole: tuple[bool, ...] = ()
    # by sample, what the task's evaluator keeps; None: there is none
    kept: tuple[Any, ...] | None = None
    # whether the reference gives anything else for any sample than for the first
    varies: bool = True
    # by output, whether its size depends on the data: its sums are 0; empty: none does
    counted: tuple[bool, ...] = ()

    @property
    def sized(self) -> list[int]:
        """The outputs that have one size, by index."""
        counted = self.counted or (False,) * len(self.signal_power)
        return [index for index, is_counted in enumerate(counted) if not is_counted]


class OutputsSum:
    """The outputs of several engines for the same images, added up chunk by chunk.

    The first engine is the reference: its outputs for a chunk are added before the others'.
    """

    def __init__(
        self,
        names: Sequence[Sequence[str]],
        *,
        evaluator: Evaluator | None = None,
        difference_dtype: type[np.floating] | None = None,
    ) -> None:
        """Begins with no images.

        Args:
            names: the names of the outputs, by engine.
            evaluator: of the task; None: the first output has classes, where it can have.
            difference_dtype: what an output is converted to before the reference's is subtracted
                from it; None: it stays what it is.
        """
        self._names, self._difference_dtype = [tuple(each) for each in names], difference_dtype
        self._evaluator = evaluator
        # the reference's of this chunk as they are, and what is kept of all chunks by engine
        self._as_given: Sequence[np.ndarray] = ()
        self._kept: list[list[Any]] = [[] for _ in names]
        # the reference's for the first image, until another differs
        self._first: Sequence[np.ndarray] | None = None
        self._varies, self._count = False, 0
        self._reference: Sequence[np.ndarray] = ()
        self._whole: tuple[bool, ...] = ()
        # of the reference's first output
        self._has_classes = False
        # by output, where the reference is infinite on purpose, as behind a mask
        self._infinite: Sequence[np.ndarray | None] = ()
        self._logits: list[list[np.ndarray]] = [[] for _ in names]
        self._own_power = [[0.0] * len(each) for each in names]
        self._noise_power = [[0.0] * len(each) for each in names]
        self._finite = [True] * len(names)
        # by engine, whether it gave no NaN where the reference gives none
        self._numbers = [True] * len(names)
        self._rows = [[RowSums() for _ in each] for each in names]
        # by output, whether its size depends on the data
        self._counted = [False] * len(self._names[0])

    def add(self, index: int, arrays: Sequence[np.ndarray]) -> None:
        """Adds what an engine gave for the next images.

        Of outputs whose size depends on the data nothing is summed: the evaluator gets them.

        Args:
            index: of the engine, in the order of its names.
            arrays: by output, the images along the first axis; ragged ones too (`core.ragged`).

        Raises:
            ValueError: they have other shapes than the reference's.
            DataError: they are not those of the task.
        """
        given, arrays = arrays, self._sized(arrays)
        if index and [a.shape for a in arrays] != [a.shape for a in self._reference]:
            raise ValueError(
                f"{[a.shape for a in arrays]}, the reference's are"
                f" {[a.shape for a in self._reference]}"
            )
        if index == 0:
            self._as_given = given
            self._whole = tuple(array.dtype.kind != "f" for array in arrays)
            self._has_classes = self._evaluator is None and are_classes(arrays[0])
            self._watch(given)
        self._finite[index] &= _ragged_are_finite(given, self._as_given)
        self._keep(index, given)
        arrays = [
            array if array.dtype.kind == "f" else array.astype(np.float64) for array in arrays
        ]
        if index == 0:
            self._infinite = [
                None if self._has_classes and number == 0 else _infinities(array)
                for number, array in enumerate(arrays)
            ]
        arrays = [
            array if infinite is None else _without(array, infinite)
            for array, infinite in zip(arrays, self._infinite, strict=True)
        ]
        self._finite[index] &= all(bool(np.isfinite(array).all()) for array in arrays)
        _add_powers(self._own_power[index], arrays)
        if index == 0:
            self._reference = arrays
        else:
            differences = [
                np.subtract(array, reference, dtype=self._difference_dtype)
                for array, reference in zip(arrays, self._reference, strict=True)
            ]
            _add_powers(self._noise_power[index], differences)
            for rows, wanted, difference in zip(
                self._rows[index], self._reference, differences, strict=True
            ):
                rows.add(wanted, difference)
        if self._has_classes:
            self._logits[index].append(arrays[0])

    def _sized(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs with nothing in the place of those whose size depends on the data."""
        for number, array in enumerate(arrays):
            if is_ragged(array) and not self._counted[number]:
                self._counted[number] = True
                # images of one size may have come before
                for powers in (*self._own_power, *self._noise_power):
                    powers[number] = 0.0
                self._reference = [
                    _nothing(each) if at == number else each
                    for at, each in enumerate(self._reference)
                ]
                self._infinite = [
                    None if at == number else each for at, each in enumerate(self._infinite)
                ]
        return [
            _nothing(array) if is_counted else array
            for array, is_counted in zip(arrays, self._counted, strict=True)
        ]

    def _watch(self, arrays: Sequence[np.ndarray]) -> None:
        """Looks whether the reference gives anything else than for the first image."""
        if self._varies:
            return
        self._count += len(arrays[0])
        if self._first is None:
            self._first = [array[:1].copy() for array in arrays]
        self._varies = any(
            _differs(array, first) for array, first in zip(arrays, self._first, strict=True)
        )

    def _keep(self, index: int, arrays: Sequence[np.ndarray]) -> None:
        """Keeps what the task needs of the next images."""
        if self._evaluator is None:
            return
        if not self._numbers[index] or _new_nan(arrays, self._as_given):
            # nothing is to be read from these, and the engine is refused (`finite`)
            self._numbers[index] = False
            return
        done = len(self._kept[index])
        self._kept[index] += self._evaluator.reduce(
            arrays, self._as_given, range(done, done + len(arrays[0]))
        )

    def outputs(self) -> list[Outputs]:
        """The sums over all chunks added so far, by engine."""
        return [
            Outputs(
                logits=np.concatenate(logits) if logits else None,
                signal_power=tuple(self._own_power[0]),
                own_power=tuple(own_power),
                noise_power=tuple(noise_power),
                finite=finite,
                names=names,
                whole=self._whole,
                hidden_db=tuple(output.hidden_part_db() for output in rows),
                kept=None if self._evaluator is None or not finite else tuple(kept),
                varies=self._varies or self._count < 2,
                counted=tuple(self._counted),
            )
            for logits, kept, own_power, noise_power, finite, names, rows in zip(
                self._logits,
                self._kept,
                self._own_power,
                self._noise_power,
                self._finite,
                self._names,
                self._rows,
                strict=True,
            )
        ]


def evaluate(
    children: Sequence[Child],
    samples: SampleSet,
    spec: ModelSpec,
    progress: Progress,
    evaluator: Evaluator | None = None,
) -> list[Outputs]:
    """The outputs of every engine for every image.

    Images are decoded once here, in chunks, and given to all children. The next chunk is decoded
    and preprocessed while the children work on this one, so that they do not wait for it.

    Args:
        evaluator: of the task; None: the first output has classes, where it can have.

    Raises:
        DataError: an image cannot be read, or outputs are not those of the task.
        BackendError: an engine gives other outputs than while it was timed.
    """
    sums = OutputsSum([child.call("output_names") for child in children], evaluator=evaluator)
    timed = [child.call("first_outputs") for child in children]
    for child in children:
        child.call("open_evaluation")
    done = 0
    with ThreadPoolExecutor(1) as ahead:
        # the engines have the other cores
        prepared = in_all_forms([child.engine for child in children], samples, spec)
        images = next(prepared, None)
        _start_all(children, images)
        while images is not None:
            count = len(next(iter(images.values())))
            following = ahead.submit(next, prepared, None)
            results: list[list[np.ndarray]] = [child.result() for child in children]
            images = following.result()
            _start_all(children, images)  # what follows is done while they work
            for index, arrays in enumerate(results):
                if not done:
                    check_as_timed(children[index].engine.path, timed[index], arrays)
                sums.add(index, arrays)
            done += count
            progress("accuracy", done / len(samples), done, "images")
    return sums.outputs()


def in_all_forms(
    engines: Sequence[EngineFile], samples: SampleSet, spec: ModelSpec
) -> Iterator[dict[InputForm, np.ndarray]]:
    """Yields chunk after chunk of the images, in each form that an engine takes.

    Sums depend on where chunks end, in the last digits: on the size of an image alone.
    """
    chunk = max(1, min(1000, _CHUNK_BYTES // spec.sample_bytes))
    forms = list(dict.fromkeys(engine.input for engine in engines))
    threads = max(usable_cores() // 2, 1)
    runs = [
        batches(samples, engine_spec(spec, form), batch=chunk, threads=threads) for form in forms
    ]
    for parts in zip(*runs, strict=True):
        yield dict(zip(forms, parts, strict=True))


def _start_all(children: Sequence[Child], images: Mapping[InputForm, np.ndarray] | None) -> None:
    if images is not None:
        for child in children:
            child.start("evaluate", images[child.engine.input])


def _new_nan(arrays: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> bool:
    """Whether an output is NaN, or infinite where the reference's is not."""
    return not _ragged_are_finite(arrays, reference) or any(
        array.dtype.kind == "f"
        and bool((~np.isfinite(array) & ~(np.isinf(array) & (array == wanted))).any())
        for array, wanted in zip(arrays, reference, strict=True)
    )


def _ragged_are_finite(arrays: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> bool:
    """Whether ragged outputs hold no NaN, and infinities only where the reference's hold some."""
    for array, wanted in zip(arrays, reference, strict=True):
        parts = [part for part in parts_of(array) if part.dtype.kind == "f"]
        if not is_ragged(array) or all(np.isfinite(part).all() for part in parts):
            continue
        meant = any(np.isinf(part).any() for part in parts_of(wanted) if part.dtype.kind == "f")
        if not meant or any(np.isnan(part).any() for part in parts):
            return False
    return True


def _nothing(array: np.ndarray) -> np.ndarray:
    """An output of as many images that has no values."""
    return np.zeros((len(array), 0), np.float32)


def _differs(array: np.ndarray, first: np.ndarray) -> bool:
    """Whether any image's part of an output is another than the first image's."""
    if is_ragged(array) or is_ragged(first):
        return any(not np.array_equal(part, first[0]) for part in array)
    return bool((array != first).any())


def _infinities(array: np.ndarray) -> np.ndarray | None:
    """Returns the infinities of an output, 0 elsewhere; None where there are none."""
    infinite = np.isinf(array)
    return np.where(infinite, array, 0) if infinite.any() else None


def _without(array: np.ndarray, infinite: np.ndarray) -> np.ndarray:
    """Returns an output with 0 where it is infinite as the reference is."""
    return np.where((infinite != 0) & (array == infinite), 0, array)


def _add_powers(totals: list[float], arrays: Sequence[np.ndarray]) -> None:
    """Adds the sum of squares of each output to its total, in float64.

    One addition after the other: Python's `sum` rounds in another way from 3.12 on, and a figure
    must not depend on Python's version.
    """
    for output, array in enumerate(arrays):
        flat = array.astype(np.float64).ravel()
        totals[output] += float(np.vdot(flat, flat))
