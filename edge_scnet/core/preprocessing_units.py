"""Whether a mean and a std are in the units of the pixels."""

from __future__ import annotations

from collections.abc import Sequence

from edge_scnet.core.preprocessing import Preprocessing

# Mean and std of an input from 0 to so much and more that are 1 at most are of 0 to 1.
_WIDE_RANGE = 100.0
# Of the largest pixel. What is divided by 255 twice has a std of 0.5 / 255, some 0.002.
_LEAST_STD = 1e-4


def unit_doubt(rule: Preprocessing) -> str | None:
    """Why a mean and a std look like those of another range of pixels; None where they do not.

    Said and not refused: some networks were trained on inputs that were divided twice.
    """
    largest_mean, largest_std = max(map(abs, rule.mean), default=0), max(rule.std, default=1)
    own = f"pixels are 0 to {rule.pixel_max:g} here"
    if largest_mean > rule.pixel_max or largest_std > rule.pixel_max:
        name, values = ("mean", rule.mean) if largest_mean > rule.pixel_max else ("std", rule.std)
        words = f"the {name} {_listed(values)} is larger than any pixel: {own}"
        if rule.pixel_max > 1 or max(largest_mean, largest_std) > 255:
            return f"{words}; --mean and --std are in these units, --pixel-max says others"
        return (
            f"{words}; where it is of 0 to 255, say --pixel-max 255, or --mean"
            f" {_divided(rule.mean)} --std {_divided(rule.std)}"
        )
    least_std = min(rule.std, default=1)
    if least_std < _LEAST_STD * rule.pixel_max:
        return (
            f"the std {_listed(rule.std)} makes an input of {rule.pixel_max / least_std:,.3g} and"
            f" more: {own}"
        )
    if rule.pixel_max >= _WIDE_RANGE and 0 < largest_mean <= 1 and largest_std <= 1:
        return (
            f"the mean {_listed(rule.mean)} and the std {_listed(rule.std)} look like those of"
            f" pixels from 0 to 1: {own}; where they are, leave --pixel-max out"
        )
    return None


def _divided(values: Sequence[float]) -> str:
    return _listed([value / 255 for value in values])


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:.4g}" for value in values)
