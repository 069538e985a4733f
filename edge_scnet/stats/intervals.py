"""Score intervals of paired differences (Tango) and of shares (Wilson); quantiles of t."""

from __future__ import annotations

import math

Z_TWO_SIDED_95 = 1.959963984540054
Z_ONE_SIDED_95 = 1.6448536269514722
# In a method: the upper bound is that of losses that no sample shows, and falls as 1 / n.
RARE_LOSSES = "at least the rule of three"


def paired_difference_score(lost: float, won: float, images: float, difference: float) -> float:
    """Tango's score statistic for the hypothesis P(lost) - P(won) = `difference`.

    It falls as `difference` grows.

        T = (lost - won - n d) / sqrt(n (2 q + d (1 - d)))

    q is the likelihood's maximum for P(won) under the hypothesis, the larger root of 2 n q² + (d (2
    n - lost + won) - lost - won) q - won d (1 - d) = 0. With all counts k times as large T is
    sqrt(k) times as large. (T. Tango, Statistics in Medicine 17, 1998, 891-908, equations 24 to
    26.)
    """
    b = difference * (2.0 * images - lost + won) - lost - won
    discriminant = b * b + 8.0 * images * won * difference * (1.0 - difference)
    q = (math.sqrt(max(0.0, discriminant)) - b) / (4.0 * images)
    variance = images * (2.0 * max(q, 0.0, -difference) + difference * (1.0 - difference))
    numerator = lost - won - images * difference
    if variance <= 0.0:  # only at the ends of [-1, 1], or at 0 when nothing is discordant
        return math.copysign(math.inf, numerator) if numerator else 0.0
    return numerator / math.sqrt(variance)


def paired_difference_interval(
    lost: float, won: float, images: float, *, z: float
) -> tuple[float, float]:
    """Tango's score interval of P(lost) - P(won).

    It holds the differences that the score test does not reject at `z`. Unlike Wald's it does not
    shrink to a point when nothing is discordant: its bounds are then -/+ z² / (n + z²). Like every
    score interval it holds its level on the average, not at each point: with 540 images and nothing
    discordant the one-sided bound is 0.5 pp, and a true loss of 0.5 pp shows nothing in 540 images
    6.7 % of the time.

    Returns:
        Low and high, fractions from -1 to 1.

    Raises:
        ValueError: counts that are negative or exceed the images.
    """
    if not (images > 0 and lost >= 0 and won >= 0 and lost + won <= images and z > 0):
        raise ValueError(f"impossible counts: {lost} lost and {won} won of {images} (z {z})")
    # mirrored: the lower bound is the upper bound with lost and won exchanged
    return -_highest_accepted(won, lost, images, z), _highest_accepted(lost, won, images, z)


def provable_drop_pp(images: float) -> float:
    """The least drop, in percentage points, that so many images can show to be kept.

    It is the upper end of the one-sided 95 % interval where no class changes.
    """
    return 100.0 * paired_difference_interval(0, 0, images, z=Z_ONE_SIDED_95)[1]


def wilson_bounds(count: float, total: float, *, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share: the p for which |count/n - p| <= z sqrt(p (1 - p) / n).

    Returns:
        Low and high, fractions from 0 to 1; each is a one-sided bound when z is one-sided.

    Raises:
        ValueError: a count that is negative or exceeds the total.
    """
    if not (total > 0 and 0 <= count <= total):
        raise ValueError(f"impossible counts: {count} of {total}")
    share, z2n = count / total, z * z / total
    centre = share + z2n / 2.0
    half = math.sqrt(share * (1.0 - share) * z2n + z2n * z2n / 4.0)
    # The ends are exact: a bound of 1e-19 instead of 0 would be beyond a limit of 0.
    low = (centre - half) / (1.0 + z2n) if count > 0 else 0.0
    high = (centre + half) / (1.0 + z2n) if count < total else 1.0
    return low, high


def t_quantile(z: float, freedom: int) -> float:
    """The quantile of a t distribution where the normal one's is z.

    By the expansion of Fisher and Cornish, Abramowitz and Stegun 26.7.5: to 1e-4 from 19 degrees of
    freedom on.
    """
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def _highest_accepted(lost: float, won: float, images: float, z: float) -> float:
    low, high = (lost - won) / images, 1.0
    for _ in range(100):  # halves an interval of at most 2: ends at float64's resolution
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if paired_difference_score(lost, won, images, middle) >= -z:
            low = middle
        else:
            high = middle
    return high
