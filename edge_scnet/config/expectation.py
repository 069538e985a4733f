"""What FP32 is expected to reach, as people write it: `94.9`, `top1=94.1`, `ap50=61.2±0.5`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FORMS = "top1=94.1, ap50=61.2±0.5 (or +-0.5), or 94.1 for the task's first figure"

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_FORM = re.compile(
    rf"(?:(?P<metric>.+)=)?\s*(?P<value>{_NUMBER})\s*%?\s*"
    rf"(?:(?:±|\+-|\+/-)\s*(?P<tolerance>{_NUMBER})\s*%?\s*)?",
    re.ASCII | re.DOTALL,
)
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A figure of FP32 that its owner measured."""

    # as written, one of the task's figures; None: its first
    metric: str | None
    # in the figure's unit: 94.1 for 94.1 %
    value: float
    # how far FP32 may be from it; None: within the 95 % interval of the samples
    tolerance: float | None

    @property
    def words(self) -> str:
        """As it was written, without the metric."""
        return f"{self.value:g}" + ("" if self.tolerance is None else f" ± {self.tolerance:g}")


def expectation(given: str | float) -> Expectation:
    """Reads one expectation.

    Raises:
        ValueError: it is none; says what is allowed.
    """
    text = str(given)
    match = _FORM.fullmatch(text.strip()) if len(text) <= _MOST_CHARACTERS else None
    if match is None:
        raise ValueError(f"{text[:_MOST_CHARACTERS]!r} is no figure to expect; allowed: {FORMS}")
    metric, value, tolerance = match["metric"], float(match["value"]), match["tolerance"]
    if metric is not None and not key_of(metric):
        raise ValueError(f"{text!r} names no metric; allowed: {FORMS}")
    near = None if tolerance is None else float(tolerance)
    if not math.isfinite(value) or (near is not None and not (math.isfinite(near) and near >= 0)):
        raise ValueError(f"{text!r} is out of range; allowed: {FORMS}")
    return Expectation(
        metric=None if metric is None else metric.strip(), value=value, tolerance=near
    )


def expectations(given: str | float | Iterable[str | float] | None) -> tuple[Expectation, ...]:
    """Reads some expectations.

    Raises:
        ValueError: as `expectation`, or one figure is expected twice.
    """
    if given is None:
        return ()
    each: Iterable[str | float] = (given,) if isinstance(given, str | float | int) else given
    read = tuple(map(expectation, each))
    keys: Sequence[str] = [key_of(item.metric or "") for item in read]
    for item, key in zip(read, keys, strict=True):
        if keys.count(key) > 1:
            raise ValueError(f"{item.metric or 'the first figure'} is expected twice")
    return read


def key_of(name: str) -> str:
    """A figure's name as names are compared: `top1` is the report's `top-1`, `map` its `mAP`."""
    return "".join(character for character in name.lower() if character.isalnum())
