"""How close an engine's outputs come to the float graph's, and how close they must come.

Real numbers are compared by their signal to noise ratio (SQNR) in dB, whole numbers, truth values
and the places of infinities by the share that is the same. Each output is judged by itself: behind
a large one a small one that is wrong would not show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_scnet.core.facts import Fidelity
from edge_scnet.stats.decibels import comparable, decibels
from edge_scnet.stats.parts import RowSums

# The engine may lose this much against the simulation, both measured against float. Distance
# between engine and simulation alone says nothing: in a deep network rounding flips grow to 13 to
# 19 dB even between two right ones. Seen: trained network 29.9 (engine) and 29.7 (simulation), the
# same miscompiled 6.8 and 24.8.
FIDELITY_MARGIN_DB = 2.0
# Of fewer elements the noise power itself is uncertain: three standard deviations of the ratio of
# two estimates go on top.
_FEW_ELEMENTS, _DEVIATIONS = 512, 3.0

FIDELITY_IMAGES = 64

# An engine this close is never wrong by its noise: another order of the same float32 sums leaves
# 100 dB and more, where no code lies between input and output or next to none.
EXACT_FLOAT_DB = 80.0
# What may be left of an output that is zero throughout in float.
TINY = 1e-5
# Of whole numbers, so many may differ besides twice the simulation's: argmax and top-k flip where
# two values are close.
_DIFFERING_SHARE, _DIFFERING = 0.02, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputQuality:
    """How an output compares with the float graph's."""

    # sums of squares over the elements that are finite in both
    signal: float
    noise: float
    # the largest difference
    largest: float
    # how many there are, and how many differ: of real numbers, in being finite, NaN or which
    # infinity
    elements: int
    differing: int
    # how many are not finite in the float graph, on purpose: masks, the logarithm of 0
    infinite: int = 0
    # whole numbers or truth values: `differing` counts their values
    whole: bool = False
    # it has another size than the float graph's: its size depends on the data
    resized: bool = False

    @property
    def db(self) -> float | None:
        """The SQNR in dB; None: identical, or no ratio exists."""
        if self.whole or not self.noise or not self.signal:
            return None
        return 10.0 * math.log10(self.signal / self.noise)


def quality_of(reference: np.ndarray, output: np.ndarray) -> OutputQuality:
    """Compares two flat arrays; where their sizes differ, all of it differs."""
    elements = max(reference.size, output.size)
    if reference.size != output.size:
        return OutputQuality(
            signal=0.0, noise=0.0, largest=0.0, elements=elements, differing=elements, resized=True
        )
    if reference.dtype.kind not in "fc":
        return OutputQuality(
            signal=0.0,
            noise=0.0,
            largest=0.0,
            elements=elements,
            differing=int(np.count_nonzero(reference != output)),
            whole=True,
        )
    wanted, given = reference.astype(np.float64), output.astype(np.float64)
    finite = np.isfinite(wanted) & np.isfinite(given)
    same = finite | (wanted == given) | (np.isnan(wanted) & np.isnan(given))
    differences = wanted[finite] - given[finite]
    return OutputQuality(
        signal=float(np.square(wanted[finite]).sum()),
        noise=float(np.square(differences).sum()),
        largest=float(np.abs(differences).max(initial=0.0)),
        elements=elements,
        differing=int(np.count_nonzero(~same)),
        infinite=int(np.count_nonzero(~np.isfinite(wanted))),
    )


def qualities_of(
    reference: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
) -> tuple[OutputQuality, ...]:
    """Compares flat arrays, output by output."""
    return tuple(quality_of(a, b) for a, b in zip(reference, outputs, strict=True))


def with_noise_of(quality: OutputQuality, other: OutputQuality) -> OutputQuality:
    """Returns what is left of an output that has both noises, which are independent.

    Of whole numbers, both may change others.
    """
    return replace(
        quality,
        noise=quality.noise + other.noise,
        largest=quality.largest + other.largest,
        differing=quality.differing + (other.differing if quality.whole else 0),
    )


def joined(runs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Returns runs by batch as one flat array for each output."""
    return [
        np.concatenate([np.reshape(output, -1) for output in outputs])
        for outputs in zip(*runs, strict=True)
    ]


def hidden_parts_db(
    reference: Sequence[Sequence[np.ndarray]], runs: Sequence[Sequence[np.ndarray]]
) -> list[float | None]:
    """Returns the SQNR of the part of each output that another part hides; None: none, or no noise.

    Args:
        reference, runs: outputs by batch.
    """
    sums = [RowSums() for _ in reference[0]]
    for wanted, given in zip(reference, runs, strict=True):
        for rows, want, have in zip(sums, wanted, given, strict=True):
            comparable_here = want.shape == have.shape and want.dtype.kind == "f"
            if comparable_here and np.isfinite(want).all() and np.isfinite(have).all():
                rows.add(want, have.astype(np.float64) - want)
    return [rows.hidden_part_db() for rows in sums]


def fidelity_of(
    engine: OutputQuality, simulation: OutputQuality, *, images: int, simulated: bool = True
) -> Fidelity:
    """Returns the record of an output's quality.

    Args:
        simulated: whether the simulation is the engine's graph.
    """
    return Fidelity(
        engine_db=engine.db,
        simulation_db=simulation.db if simulated else None,
        images=images,
        engine_differing=engine.differing if engine.whole else None,
        simulation_differing=simulation.differing if simulated and simulation.whole else None,
    )


def fidelity_words(fidelity: Fidelity) -> str:
    """Returns a fidelity as text."""
    engine, simulated = fidelity.engine_differing, fidelity.simulation_differing
    if engine or simulated:
        of_simulation = "" if simulated is None else f" (simulated {simulated:,})"
        return f"fidelity: {engine:,} whole numbers are others than in float{of_simulation}"
    return f"fidelity {decibels(fidelity.engine_db)} (simulated {decibels(fidelity.simulation_db)})"


def margin_db(elements: int) -> float:
    """Returns by how many dB an engine may be below the simulation, of so many elements."""
    if elements >= _FEW_ELEMENTS or not elements:
        return FIDELITY_MARGIN_DB
    # the variance of a mean of n squares is 2 / n of its square
    deviation_db = 10.0 / math.log(10.0) * math.sqrt(2 * 2.0 / elements)
    return FIDELITY_MARGIN_DB + _DEVIATIONS * deviation_db


def least_db(simulation: OutputQuality, *, enough_db: float = EXACT_FLOAT_DB) -> float:
    """Returns the SQNR that an engine must have where the simulation of its graph has this one.

    Args:
        enough_db: one that is never too low.
    """
    return min(comparable(simulation.db) - margin_db(simulation.elements), enough_db)


def falls_short(engine: OutputQuality, simulation: OutputQuality, least: float) -> bool:
    """Whether an engine's output is not what the simulation of its graph says.

    Args:
        least: the SQNR that it must have, in dB.
    """
    if engine.resized or simulation.resized:
        return True  # nothing says which elements belong together
    if engine.differing > allowed_to_differ(simulation):
        return True
    if engine.whole:
        return False
    if not engine.signal:  # a dead output: no ratio exists
        allowed = simulation.noise * 10 ** (margin_db(engine.elements) / 10)
        return engine.largest > TINY and engine.noise > allowed
    return comparable(engine.db) < least


def allowed_to_differ(simulation: OutputQuality) -> float:
    """Returns how many elements of an engine's output may differ from the float graph's.

    It is none of finite real numbers, and never all of a constant.
    """
    if not simulation.whole and not simulation.infinite and not simulation.differing:
        return 0
    places = simulation.elements if simulation.whole else simulation.infinite
    some = max(_DIFFERING, _DIFFERING_SHARE * places)
    return 2 * simulation.differing + min(some, simulation.elements - 1)


def worst_output(
    engine: Sequence[OutputQuality], simulation: Sequence[OutputQuality], least: Sequence[float]
) -> int:
    """Returns the index of the output that falls short, or is nearest to what it must have."""

    def headroom(index: int) -> tuple[bool, float, int]:
        short = falls_short(engine[index], simulation[index], least[index])
        return not short, comparable(engine[index].db) - least[index], -engine[index].differing

    return min(range(len(engine)), key=headroom)


def all_finite(outputs: Sequence[np.ndarray]) -> bool:
    """Whether no output of real numbers holds NaN or infinity."""
    return all(output.dtype.kind != "f" or bool(np.isfinite(output).all()) for output in outputs)
