"""What an engine was made from and judged on, held to its baseline's; and what of it may differ.

A network that was trained anew has other weights, and often other images: whoever allows that gets
a gate for the rest. What is allowed is said in a finding, with what the comparison is worth then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from edge_scnet.config.project import AllowedKind
from edge_scnet.core.provenance import Provenance
from edge_scnet.errors import ExitCode
from edge_scnet.report.findings import Finding, incomparable, skipped
from edge_scnet.report.run_report import EvaluationSet, RunReport

IMAGES = "evaluation images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is another one than in the baseline."""

    # of the finding
    metric: str
    # as a sentence
    message: str
    # None: nobody can allow it
    kind: AllowedKind | None
    # who allows it; None: nobody does
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What can be compared where something is allowed to differ."""

    # accuracy is paired image by image
    same_images: bool = True
    # the agreement with FP32, and the SQNR, are of one network with one preprocessing
    same_network: bool = True

    @property
    def other(self) -> str:
        """What is another one, to stand behind "of"."""
        return "another network" if self.same_images else "other images"


# Nothing is allowed to differ.
ALL_ALIKE = Scope()


class InputPair(NamedTuple):
    """One thing that an engine was made from, in a report and in its baseline."""

    name: str
    new: object
    old: object
    kind: AllowedKind | None

    @property
    def differs(self) -> bool:
        return self.new != self.old


def input_pairs(new: Provenance, old: Provenance) -> tuple[InputPair, ...]:
    """All inputs; whose quantizer it was comes last."""
    return (
        InputPair("the checkpoint", new.weights, old.weights, "checkpoint"),
        InputPair("the preprocessing", new.preprocessing, old.preprocessing, "preprocessing"),
        InputPair(
            "the calibration images",
            new.calibration_images,
            old.calibration_images,
            "calibration",
        ),
        InputPair(
            "the target's settings",
            without_unset(new.settings),
            without_unset(old.settings),
            "settings",
        ),
        InputPair("the bits of the weights", new.weight_bits, old.weight_bits, None),
        InputPair(
            "the quantizer (ours, or another's file)", new.made_elsewhere, old.made_elsewhere, None
        ),
    )


def without_unset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are None: a key that is not set is as one that a version lacks.

    `board.dla_core` was such a key.
    """
    return {
        key: without_unset(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value is not None
    }


def differences(
    report: RunReport, baseline: RunReport, allowed: Mapping[AllowedKind, str]
) -> tuple[Difference, ...]:
    """Returns what differs of the inputs and of the evaluation images, these first.

    Args:
        allowed: what may differ, and who says so.
    """
    found = [*_images(report.evaluation, baseline.evaluation)]
    if report.provenance is not None and baseline.provenance is not None:
        found += [
            Difference(
                metric=pair.name.removeprefix("the "),
                message=f"{_upper(pair.name)} changed: {_difference(pair.new, pair.old)}.",
                kind=pair.kind,
            )
            for pair in input_pairs(report.provenance, baseline.provenance)
            if pair.differs
        ]
    return tuple(replace(d, by=allowed.get(d.kind)) if d.kind is not None else d for d in found)


def _images(new: EvaluationSet | None, old: EvaluationSet | None) -> Iterator[Difference]:
    # images that nobody hashed may be any
    if _content(new) == _content(old) and (new is None or new.images_sha256 is not None):
        return
    # with fewer facts than the baseline has, limits would hold less
    lacks = new is None or (old is not None and old.truth is not None and new.truth is None)
    words = f"The report's evaluation images: {_evaluated(new)}; the baseline's: {_evaluated(old)}."
    if lacks and new is not None:
        words += " Images without labels do not take the place of labelled ones."
    yield Difference(metric=IMAGES, message=words, kind=None if lacks else "images")


def scope_of(found: tuple[Difference, ...]) -> Scope:
    """Returns what can be compared beside these differences, as far as they are allowed."""
    allowed = {difference.kind for difference in found if difference.by is not None}
    return Scope(
        same_images="images" not in allowed,
        same_network=not allowed & {"checkpoint", "preprocessing"},
    )


def finding_of(difference: Difference, scope: Scope) -> Finding:
    """Returns the finding on a difference: not comparable, or allowed and by whom."""
    if difference.by is None:
        cannot = " Accuracy cannot be compared." if difference.metric == IMAGES else ""
        return incomparable("inputs", difference.metric, f"{difference.message}{cannot}")
    message = f"{difference.message} Allowed by {difference.by}. {_worth(difference, scope)}"
    return skipped("inputs", difference.metric, message)


def only_proven(finding: Finding) -> Finding:
    """The finding where a loss fails that is proven, and nothing is asked of samples that cannot
    tell.
    """
    if finding.verdict != "inconclusive":
        return finding
    message = f"{finding.message} Told, not judged."
    return replace(finding, verdict="skipped", exit_code=int(ExitCode.OK), message=message)


def _worth(difference: Difference, scope: Scope) -> str:
    """What the comparison is worth where something may differ."""
    if difference.kind == "images":
        return (
            "Accuracy is not paired with the baseline's and not held to it: the limits against FP32"
            " hold, on these images."
        )
    if difference.kind in ("checkpoint", "preprocessing"):
        if not scope.same_images:
            return "The engine is held to the limits against its own FP32."
        return (
            "The engine is held to the limits against its own FP32, and to the baseline's accuracy"
            " where these images prove a loss; agreement, SQNR and scales are another network's."
        )
    judged = ", accuracy is" if scope.same_images and scope.same_network else ""
    return f"Scales are not compared with the baseline's{judged}."


def _content(images: EvaluationSet | None) -> tuple[str | None, bool] | None:
    """The hash of the images, and whether they have no labels; names and order do not matter."""
    return None if images is None else (images.images_sha256, images.truth is None)


def _evaluated(images: EvaluationSet | None) -> str:
    if images is None:
        return "none"
    labels = "labelled" if images.truth is not None else "without labels"
    return (
        f"{images.images:,} of {images.name}, {labels}"
        f" ({(images.images_sha256 or images.sha256)[:12]})"
    )


def _difference(value: object, expected: object) -> str:
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        keys = [key for key in {**expected, **value} if value.get(key) != expected.get(key)]
        return ", ".join(
            f"{key} {_short(value.get(key))}, was {_short(expected.get(key))}" for key in keys[:4]
        )
    return f"{_short(value)}, was {_short(expected)}"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "{...}"
    if (
        isinstance(value, tuple | list)
        and value
        and isinstance(value[0], str)
        and len(value[0]) == 64
    ):
        return ", ".join(str(item)[:12] for item in value)
    text = str(value)
    return text[:12] if len(text) == 64 else text if len(text) <= 60 else f"{text[:57]}..."


def _upper(words: str) -> str:
    return words[0].upper() + words[1:]
