"""Parity of a prepared graph with the user's own ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.facts import Parity
from edge_scnet.core.feeds import Batch
from edge_scnet.errors import ArtifactError, EdgeError, ParityError, first_line
from edge_scnet.export.batches import first_mixing_node, refusal
from edge_scnet.export.differences import Difference, by_image, difference, has_finite
from edge_scnet.export.from_onnx import Imported
from edge_scnet.export.inputs import as_the_file_takes, feed_of_file
from edge_scnet.graph.counting import are_counted, fronts_of, without
from edge_scnet.graph.model import expose, load
from edge_scnet.graph.run import run_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

# What a file's own outputs may change when ONNX Runtime computes it in another order is noise, and
# so is a few times as much.
_NOISE_FACTOR = 4.0
_MOST_NOISE = 1e-2
# A few times what float32 resolves beside 1.
_ROUNDING_OF_ONE = 1e-6


def check_onnx_parity(path: Path, imported: Imported, images: np.ndarray) -> Parity:
    """Compares the prepared graph with the user's own ONNX file at the prepared batch size.

    The file is run for every image alone, the graph for batches of them.

    Args:
        images: a batch as `core.feeds` has them.

    Raises:
        ParityError: a difference above 1e-4 of the outputs' range or another top-1.
        ArtifactError: the images of a batch influence each other.
    """
    own, wanted = imported.batches.own, imported.batches.wanted
    worst, finite = 0.0, True
    fronts, doubts = _Fronts(imported), list[_Doubt]()
    for start in range(0, min(len(images), 8), wanted):
        data = as_the_file_takes(
            imported.plan, images[np.arange(start, start + wanted) % len(images)]
        )
        single = [data[[index] * own] for index in range(wanted)]
        truth = imported.file
        feeds: list[Batch] = [feed_of_file(imported.plan, image) for image in single]
        alone = _runs_of_file(path, imported, feeds)
        if imported.raised is not None:
            truth, feeds = imported.raised, [*single]
            alone = _raised_outputs(path, imported, single, alone)
        assert alone is not None
        outputs = run_onnx(imported.model, [data])[0]
        compared = [
            by_image([run[index] for run in alone], output, own=own, wanted=wanted)
            for index, output in enumerate(outputs)
        ]
        compared = fronts.instead(feeds, data, compared)
        worst = max([worst, *(found.share for found in compared)])
        finite &= all(has_finite(array) for run in alone for array in run)
        if not all(found.holds for found in compared):
            noise = fronts.noise(feeds, _noise(alone, run_onnx(truth, feeds, optimize=True)))
            doubts.append(_Doubt(data=data, compared=compared, noise=noise))
    for doubt, name, found in _beyond_noise(doubts, fronts.names):
        raise _differs(path, imported, doubt.data, f"output {name!r} differs by {found}")
    return Parity(
        batches=(wanted,),
        worst=worst,
        images=min(len(images), 8),
        finite=finite,
        noise=max((noise.share for doubt in doubts for noise in doubt.noise), default=0.0),
    )


def _runs_of_file(
    path: Path, imported: Imported, feeds: Sequence[Batch]
) -> list[list[np.ndarray]] | None:
    """The file's own outputs; None where ONNX Runtime can run it with float32 alone.

    Raises:
        ArtifactError: ONNX Runtime cannot run it at all.
    """
    try:
        return run_onnx(imported.file, feeds)
    except EdgeError:
        raise
    except Exception as error:
        # it has no convolution of DOUBLE, and no operator of BFLOAT16
        if imported.raised is not None and type(error).__name__ == "NotImplemented":
            return None
        raise ArtifactError(
            f"{path} cannot be run by ONNX Runtime, in which the graph is compared with it:"
            f" {first_line(error)}",
            hint=(
                "what it says of the file: python -c 'import onnxruntime as o;"
                f' o.InferenceSession("{path}")\''
            ),
        ) from error


def _raised_outputs(
    path: Path,
    imported: Imported,
    batches: Sequence[np.ndarray],
    rounded: Sequence[Sequence[np.ndarray]] | None,
) -> list[list[np.ndarray]]:
    """What a file of other real numbers gives where float32 takes their place, by batch.

    The prepared graph is held to it as closely as to other files; it is held to the file itself
    as closely as the file's own rounding allows, which may turn the order of near classes round.

    Args:
        rounded: what the file gives; None: it cannot be run.

    Raises:
        ParityError: it lies farther from the file.
    """
    assert imported.raised is not None
    runs, counted = run_onnx(imported.raised, batches), are_counted(imported.model.graph)
    for run, run_of_file in zip(runs, rounded or (), strict=rounded is not None):
        for want, output, is_counted in zip(run_of_file, run, counted, strict=True):
            if imported.rounding and (is_counted or want.dtype.kind != "f"):
                # choices between near values: rounding turns them round
                continue
            found = difference(want, output, batch=len(want) if want.ndim else 0)
            near = found.share <= imported.rounding if imported.rounding else found.holds
            if not near:
                allowed = f"; its own rounding explains {imported.rounding:.1e}" * bool(
                    imported.rounding
                )
                raise ParityError(
                    f"{path.name} in float32 differs from the file itself: {found}{allowed}",
                    hint="pass the float32 model that the file was made from",
                )
    return runs


def _noise(
    plain: Sequence[Sequence[np.ndarray]], optimized: Sequence[Sequence[np.ndarray]]
) -> list[Difference]:
    """What rounding alone changes, by output: both runs are of the file itself.

    ONNX Runtime's optimiser computes the same in another order.
    """
    by_run = [
        [
            difference(want, have, batch=len(want) if want.ndim else 0)
            for want, have in zip(*runs, strict=True)
        ]
        for runs in zip(plain, optimized, strict=True)
    ]
    return [
        Difference(
            share=max(found.share for found in output),
            same_top1=all(found.same_top1 for found in output),
        )
        for output in zip(*by_run, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubt:
    """A batch on which an output differs, and what rounding alone changes there, by output."""

    data: np.ndarray
    compared: list[Difference]
    noise: list[Difference]


def _beyond_noise(
    doubts: Sequence[_Doubt], names: Sequence[str]
) -> Iterator[tuple[_Doubt, str, Difference]]:
    """Yields the outputs that differ by more than rounding."""
    for doubt in doubts:
        for i, (name, found) in enumerate(zip(names, doubt.compared, strict=True)):
            most = max(other.noise[i].share for other in doubts)
            if not (found.holds or _is_noise(found, doubt.noise[i], most=most)):
                yield doubt, name, found


def _is_noise(found: Difference, noise: Difference, *, most: float) -> bool:
    """Whether a difference is like one that rounding makes.

    In a map of probabilities that are all 0, it may be as large as the output's range, and may not
    show on every image: that of the other images counts too.

    Args:
        most: the largest share that rounding alone changes of this output, on any image.
    """
    if found.largest <= _ROUNDING_OF_ONE:
        is_like = found.share <= _NOISE_FACTOR * most
    else:
        is_like = found.share <= _NOISE_FACTOR * noise.share and noise.share <= _MOST_NOISE
    return is_like and (found.same_top1 or not noise.same_top1)


def _differs(path: Path, imported: Imported, data: np.ndarray, what: str) -> EdgeError:
    """The error of a graph that does not compute what the file does; names the node if it can."""
    batches = imported.batches
    if imported.static is not None:
        node = first_mixing_node(*imported.static, data, batches)
        if node is not None:
            where = f"{node.op_type} at {node.name or node.outputs[0].name}"
            return refusal(
                batches, f"{where} lets the images of a batch influence each other ({what})"
            )
    return ParityError(f"folding changed {path.name}: {what}")


class _Fronts:
    """What is compared in the place of outputs whose size depends on the data.

    Rounding turns the order of near boxes round, and that is no fault: where the tensors that they
    are computed from are found in the file, those are compared.
    """

    def __init__(self, imported: Imported) -> None:
        graph = imported.model.graph
        self._imported, self._counted = imported, are_counted(graph)
        outputs = [str(value.name) for value in graph.outputs]
        self._fronts, self._in_file = list(fronts_of(graph)), list[str]()
        self._file: ir.Model | None = None
        if any(self._counted):
            truth = imported.raised or imported.file
            file = load(truth) if isinstance(truth, Path) else truth
            # nodes without a name gave their tensors others
            self._in_file = list(fronts_of(file.graph))
            if _operators(graph, self._fronts) == _operators(file.graph, self._in_file):
                self._file = file
        self.names = [
            *(outputs if self._file is None else without(self._counted, outputs)),
            *([] if self._file is None else self._fronts),
        ]

    def instead(
        self,
        feeds: Sequence[Batch],
        data: np.ndarray,
        compared: list[Difference],
    ) -> list[Difference]:
        """The differences with the fronts' in the place of the counted outputs'.

        Args:
            feeds: of the file, by image. data: of the graph, one batch.
        """
        if self._file is None:
            return compared
        batches, found = self._imported.batches, []
        if self._fronts:
            alone = run_onnx(expose(self._file, self._in_file), feeds, self._in_file)
            graph = expose(self._imported.model, self._fronts)
            found = [
                by_image([run[i] for run in alone], array, own=batches.own, wanted=batches.wanted)
                for i, array in enumerate(run_onnx(graph, [data], self._fronts)[0])
            ]
        return [*without(self._counted, compared), *found]

    def noise(self, feeds: Sequence[Batch], noise: list[Difference]) -> list[Difference]:
        """The noise of what is compared, from that of the outputs."""
        if self._file is None:
            return noise
        found = []
        if self._fronts:
            file = expose(self._file, self._in_file)
            plain = run_onnx(file, feeds, self._in_file)
            found = _noise(plain, run_onnx(file, feeds, self._in_file, optimize=True))
        return [*without(self._counted, noise), *found]


def _operators(graph: ir.Graph, names: Sequence[str]) -> list[str]:
    """What computes these tensors."""
    made = {str(value.name): node.op_type for node in graph for value in node.outputs}
    return [made[name] for name in names]
