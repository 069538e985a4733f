"""The noise of a Q/DQ graph against its float graph, and its gradients.

The float graph's outputs are the target, each output's error over its own power, so that no labels
are needed: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.recovery.attributes import UnsupportedError
from edge_scnet.recovery.executor import TorchGraph, takes_batches
from edge_scnet.recovery.inner import InnerTarget, inner_targets
from edge_scnet.recovery.learnable import LearnableGraph
from edge_scnet.recovery.samples import RecoverySamples

# Samples whose gradients make a step; of one run through the graph at most so many numbers.
BATCH, _AT_ONCE = 8, 200_000
# The weight of the tensors inside, beside the outputs'.
INNER = 0.3
# Of these tensors, spread over the network; of sixty a step takes a quarter longer.
_MOST_INNER = 16


class Distiller:
    """The two graphs, the samples, and what has been learned so far."""

    def __init__(
        self,
        student: LearnableGraph,
        teacher: TorchGraph,
        samples: RecoverySamples,
        *,
        group: int,
        seed: int = 0,
    ) -> None:
        """Looks at how the graphs are fed, and at the samples.

        Args:
            student: the Q/DQ graph; its outputs are the teacher's.
            teacher: the float graph.
            samples: divided.
            group: the graphs' batch.
            seed: of all that is drawn.

        Raises:
            UnsupportedError: no output has real numbers, or PyTorch refuses a node.
        """
        self.student, self.teacher, self.samples, self.seed = student, teacher, samples, seed
        self._group = group
        self._at_once = self._batch_of(group)
        self._names = list(zip(student.outputs, teacher.outputs, strict=True))
        self._inner = self._measure_student()
        self._watched = list(self._groups(samples.watched))
        self._targets = [self._teach(samples.take(indices)) for indices in self._watched]
        self._keep_real_outputs()
        self._power = [
            sum(_power(target[i]) for target in self._targets) / len(samples.watched)
            for i in range(len(self._names))
        ]

    def _batch_of(self, group: int) -> int:
        """How many samples one run takes: the graph's batch, or more where that is right."""
        first = self.samples.take(self.samples.learned[:2])
        size = sum(values[0].numel() for values in first.values())
        most = min(max(_AT_ONCE // size, 1), BATCH)
        if group > 1 or most == 1:
            return group
        graphs = (self.student, self.teacher)
        for graph in graphs:
            graph.open_batch(self.samples.take(self.samples.learned[:1]))
        # sums in another order give other codes now and then
        self.student.rounds = False
        batched = all(takes_batches(graph, first) for graph in graphs)
        self.student.rounds = True
        return most if batched else 1

    def _groups(self, indices: Sequence[int]) -> Iterator[list[int]]:
        """Indices by what one run takes; a last, smaller group is left out where it would not do.

        A graph of a batch above 1 takes nothing else.
        """
        for start in range(0, len(indices), self._at_once):
            group = list(indices[start : start + self._at_once])
            if len(group) == self._at_once or self._group == 1:
                yield group

    def _measure_student(self) -> list[InnerTarget]:
        """Takes from a few samples what tensors hold without rounding; gives the inner targets."""
        student, feeds = self.student, self.samples.take(self.samples.learned[: self._at_once])
        student.rounds = False
        with torch.no_grad():
            values = student.compute(feeds, wanted=[*student.biased, *student.quantized])
            student.rounds = True
            known = self.teacher.tensors
            inner = [name for name in student.quantized if name in known]
            of_float = self.teacher.run(feeds, wanted=inner)
        student.measure_biases(values)
        student.keep_exact(values)
        targets = inner_targets(
            [name for name in inner if name not in student.inputs], values, of_float
        )
        spread = np.linspace(0, len(targets) - 1, min(_MOST_INNER, len(targets)))
        return [targets[int(place)] for place in spread]

    def _teach(self, feeds: dict[str, Tensor]) -> list[Tensor]:
        with torch.no_grad():
            outputs = self.teacher.run(feeds)
        return [outputs[name] for _, name in self._names]

    def _keep_real_outputs(self) -> None:
        real = [i for i, target in enumerate(self._targets[0]) if target.is_floating_point()]
        if not real:
            raise UnsupportedError(
                self._names[0][1], "output", "no output has real numbers, so there is no gradient"
            )
        self._names = [self._names[i] for i in real]
        self._targets = [[target[i] for i in real] for target in self._targets]

    def noise(self) -> float:
        """The noise of the watched samples over their signal, averaged over the outputs."""
        total = np.zeros(len(self._names))
        with torch.no_grad():
            for indices, target in zip(self._watched, self._targets, strict=True):
                outputs = self.student.compute(self.samples.take(indices))
                total += [float(noise) for noise in self._noises(outputs, target)]
        return float(np.mean(total / self._powers() / len(self.samples.watched)))

    def _powers(self) -> np.ndarray:
        # an output that is zero throughout has no noise that counts
        return np.array([power if power > 0 else np.inf for power in self._power])

    def _noises(self, outputs: Mapping[str, Tensor], target: Sequence[Tensor]) -> list[Tensor]:
        """The noise power of each output."""
        return [
            _difference(outputs[name], wanted)
            for (name, _), wanted in zip(self._names, target, strict=True)
        ]

    def learn(self, step: int) -> float:
        """Adds up the gradients of one step's samples; returns what is minimised."""
        total = 0.0
        for indices in self._drawn(step):
            rng = np.random.default_rng([self.seed, step, indices[0]])
            loss = self._loss(self.samples.varied(indices, rng)) * (
                len(indices) / self._samples_of_step
            )
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _loss(self, feeds: dict[str, Tensor]) -> Tensor:
        """Noise over signal of the outputs, and of the tensors inside."""
        count, powers = len(next(iter(feeds.values()))), self._powers()
        inner = [target.name for target in self._inner]
        with torch.no_grad():
            of_float = self.teacher.run(feeds, wanted=inner)
        outputs = self.student.compute(feeds, wanted=inner)
        noises = self._noises(outputs, [of_float[name] for _, name in self._names])
        parts = [n / float(p) for n, p in zip(noises, powers, strict=True) if np.isfinite(p)]
        loss = torch.stack(parts).sum() / (len(powers) * count)
        if self._inner:
            errors = [t.noise(outputs[t.name], of_float[t.name]) for t in self._inner]
            loss = loss + INNER * torch.stack(errors).mean()
        return loss

    @property
    def _samples_of_step(self) -> int:
        return max(BATCH // self._at_once, 1) * self._at_once

    def _drawn(self, step: int) -> Iterator[list[int]]:
        """The samples of a step, each of them once before any comes again."""
        learned, count = self.samples.learned, self._samples_of_step
        chosen = []
        for place in range(step * count, (step + 1) * count):
            epoch, i = divmod(place, len(learned))
            order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(learned))
            chosen.append(learned[order[i]])
        for start in range(0, count, self._at_once):
            yield chosen[start : start + self._at_once]


def _power(values: Tensor) -> float:
    """The sum of squares of what is finite, as `stats.accuracy.relative_noise` has it."""
    if not values.is_floating_point():
        return 0.0
    return float(torch.where(values.isfinite(), values, 0.0).double().square().sum())


def _difference(values: Tensor, wanted: Tensor) -> Tensor:
    """The sum of squares of a difference, where the target is finite."""
    difference = values - wanted
    if not bool(wanted.isfinite().all()):
        difference = torch.where(wanted.isfinite(), difference, 0.0)
    return difference.square().sum()
