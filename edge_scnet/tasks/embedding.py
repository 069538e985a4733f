"""Embeddings: the cosine to FP32's, neighbours, and verification where identities are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.errors import DataError
from edge_scnet.stats.bootstrap import Weights
from edge_scnet.stats.chance import ranks_above_chance
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks import vectors
from edge_scnet.tasks.arguments import OUTPUT, checked, number, output_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.metrics import Kind, bootstrapped, mean_over_samples, worst_of
from edge_scnet.tasks.readout import Readout, Vector
from edge_scnet.tasks.vectors import Values

TASK = "embedding"
_ARGUMENTS = {
    "output": OUTPUT,
    "threshold": "of the cosine of a pair; by default the best one of FP32",
}
# Among more samples neighbours are not looked for.
_MOST_NEIGHBOURS = 4000
_MOST_PAIRS = 5_000
# Of more samples pairs are drawn.
_ALL_PAIRS = 1500
_SEED = 7
# gates.min_cosine where nothing else is said.
_NEARLY_ONE = 0.99


def evaluator(context: Context) -> Embedding:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that are none, or samples without a pair of one identity.
    """
    given = checked(TASK, context, _ARGUMENTS)
    identities = _identities(context)
    return Embedding(
        context=context,
        output=output_of(TASK, context),
        threshold=number(TASK, given, "threshold"),
        pairs=None if identities is None else _pairs(identities),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of samples, of one identity and of two."""

    # [pairs, 2]
    same: npt.NDArray[np.int64]
    different: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Keeps each sample's vector."""

    context: Context
    output: int
    threshold: float | None
    pairs: Pairs | None
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, the vector."""
        return list(vectors.rows(outputs[self.output]))

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The vector."""
        return Readout(task=TASK, form=Vector(values=vectors.rows(outputs[self.output][:1])[0]))

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """Verification accuracy where identities are known; cosine and neighbours."""
        values, other = (np.array(each, np.float64) for each in (own, reference))
        mine, others = _unit(values), _unit(other)
        cosines = (mine * others).sum(axis=1)
        metrics = [
            mean_over_samples(Kind(name="cosine", unit="", perfect=1.0), cosines, None),
            bootstrapped(
                Kind(name="cosine, 1 % quantile", unit="", perfect=1.0),
                lambda weights: _low_quantile(cosines, weights),
                None,
                len(own),
                (cosines, None),
            ),
        ]
        if 2 < len(own) <= _MOST_NEIGHBOURS:
            same = _nearest(mine) == _nearest(others)
            kind = Kind(name="nearest neighbour, same", unit="%", perfect=100.0)
            metrics.append(mean_over_samples(kind, 100.0 * same, None))
        doubts = _doubts(others, has_pairs=self.pairs is not None)
        if self.pairs is not None:
            metrics = [_verification(mine, others, self.pairs, self.threshold), *metrics]
            doubts = (*doubts, *_doubts_of_pairs(others, self.pairs))
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=None if self.pairs is None else _rule(self.context),
            metrics=tuple(metrics),
            slices=vectors.column_slices(self.context, self.output, values, other),
            doubts=doubts,
            worst=worst_of(self.context, 1.0 - cosines),
        )


def _identities(context: Context) -> npt.NDArray[np.int64] | None:
    if context.labels is not None:
        return np.asarray(context.labels)
    found = vectors.truths(context, TASK, ("identity",))
    return None if found is None else np.array([int(each) for each in found])


def _rule(context: Context) -> str:
    if context.labels is not None:
        return f"{context.label_rule or 'labels'}: a class is an identity"
    return context.targets.rule if context.targets else "identities"


def _pairs(identities: npt.NDArray[np.int64]) -> Pairs:
    """Pairs of samples: all of one identity, and as many of two, at most some thousands each.

    Raises:
        DataError: no two samples have one identity, or all have.
    """
    rng = np.random.default_rng(_SEED)
    if len(identities) <= _ALL_PAIRS:
        first, second = np.triu_indices(len(identities), 1)
    else:
        first, second = rng.integers(0, len(identities), (2, 100 * _MOST_PAIRS))
        order = np.argsort(identities, kind="stable")
        first = np.concatenate([first, order[:-1]])
        second = np.concatenate([second, order[1:]])
    apart = first != second
    pairs = np.stack([first[apart], second[apart]], axis=1)
    is_same = identities[pairs[:, 0]] == identities[pairs[:, 1]]
    same, different = pairs[is_same], pairs[~is_same]
    if not len(same) or not len(different):
        raise DataError(
            f"{len(identities)} samples of {len(np.unique(identities))} identities have no"
            f" {'two of one' if not len(same) else 'two of different ones'}: nothing can be"
            " verified",
            hint="leave identities out: --ignore-labels",
        )
    count = min(len(same), len(different), _MOST_PAIRS)
    return Pairs(
        same=same[np.sort(rng.choice(len(same), count, replace=False))],
        different=different[np.sort(rng.choice(len(different), count, replace=False))],
    )


def _unit(values: Values) -> Values:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Values = values / np.where(length > 0, length, 1.0)
    return unit


def _low_quantile(cosines: Values, weights: Weights) -> Values:
    """The value below which 1 % of the draws lie, of each resample."""
    order = np.argsort(cosines)
    shares = np.cumsum(np.take(weights, order, axis=1), axis=1) / weights.sum(axis=1, keepdims=True)
    found: Values = cosines[order][(shares >= 0.01).argmax(axis=1)]
    return found


def _nearest(unit: Values) -> npt.NDArray[np.int64]:
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    found: npt.NDArray[np.int64] = similarity.argmax(axis=1)
    return found


def _of_pairs(unit: Values, pairs: npt.NDArray[np.int64]) -> Values:
    cosines: Values = (unit[pairs[:, 0]] * unit[pairs[:, 1]]).sum(axis=1)
    return cosines


def _verification(own: Values, reference: Values, pairs: Pairs, threshold: float | None) -> Metric:
    """How many pairs are told right, of one identity and of two alike.

    Both engines are cut at one threshold: the user's, or the best one of the reference.
    """
    if threshold is None:
        threshold = _best_threshold(
            _of_pairs(reference, pairs.same), _of_pairs(reference, pairs.different)
        )

    def figure(unit: Values, weights: Weights) -> Values:
        right = _of_pairs(unit, pairs.same) >= threshold
        wrong = _of_pairs(unit, pairs.different) >= threshold
        shares = []
        for each, truth in ((pairs.same, right), (pairs.different, ~wrong)):
            # `take` is several times faster than an index along the second axis
            drawn = np.take(weights, each[:, 0], axis=1) * np.take(weights, each[:, 1], axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                shares.append(drawn @ truth.astype(np.float64) / drawn.sum(axis=1))
        values: Values = 50.0 * (shares[0] + shares[1])
        return values

    # one sample is no pair: those that are in any say something
    paired = np.full(len(own), np.nan)
    paired[np.unique(np.concatenate([pairs.same, pairs.different]))] = 0.0
    return bootstrapped(
        Kind(name="verification accuracy", unit="%"),
        lambda weights: figure(own, weights),
        lambda weights: figure(reference, weights),
        len(own),
        (paired, paired),
    )


def _best_threshold(same: Values, different: Values) -> float:
    """The cosine at which most pairs are told right."""
    scores = np.concatenate([same, different])
    order = np.argsort(-scores)
    is_same = np.concatenate([np.ones(len(same)), np.zeros(len(different))])[order]
    right = np.cumsum(is_same / len(same) - (1 - is_same) / len(different))
    at = int(right.argmax())
    ordered = scores[order]
    below = ordered[at + 1] if at + 1 < len(ordered) else ordered[at] - 1e-6
    return float((ordered[at] + below) / 2)


def _doubts(reference: Values, *, has_pairs: bool) -> tuple[str, ...]:
    """Why the samples prove nothing: FP32 gives all of them one direction.

    Without identities a cosine to FP32 decides. Where those of different samples are as high as it
    is to be, vectors that know nothing of their samples pass.

    Args:
        reference: unit vectors.
    """
    mean = float(np.square(reference.mean(axis=0)).sum())  # of the cosines of all to all
    if mean < (1.0 - 1e-6 if has_pairs else _NEARLY_ONE):
        return ()
    return (
        "FP32 gives every sample the same direction"
        if mean >= 1.0 - 1e-6
        else f"FP32's vectors of different samples have a cosine of {mean:.3f} on average: that of"
        " INT8's to FP32's tells little",
    )


def _doubts_of_pairs(reference: Values, pairs: Pairs) -> tuple[str, ...]:
    same, different = _of_pairs(reference, pairs.same), _of_pairs(reference, pairs.different)
    paired = len(np.unique(np.concatenate([pairs.same, pairs.different])))
    if ranks_above_chance(same, different, samples=paired):
        return ()
    return (
        f"FP32's own cosines of {len(same):,} pairs of one identity are not above those of others:"
        " are the preprocessing and the identities right?",
    )
