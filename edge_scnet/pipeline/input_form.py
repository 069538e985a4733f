"""Decides whether a build's engines take bytes or floats, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from edge_scnet.config.target import InputSettings, TargetSpec
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import Artifact, Manifest
from edge_scnet.core.preprocessing import Colour
from edge_scnet.core.spec import InputForm, ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import TargetError

# The last stages of builds that make engines.
ENGINE_STAGES = ("compile", "profile")


def with_input_type(target: TargetSpec, asked: Literal["uint8", "float"] | None) -> TargetSpec:
    """The target with another type of its engines' input; None: the same."""
    if asked is None:
        return target
    return replace(target, input=replace(target.input or InputSettings(), type=asked))


def decided_form(
    spec: ModelSpec, target: TargetSpec, events: Events, *sets: SampleSet | None
) -> InputForm:
    """The form in which engines take their input, which is said.

    Bytes, where nothing is lost by them: of 8-bit pictures.

    Args:
        sets: those that there are.

    Raises:
        TargetError: the target asks for bytes, and they would not be exact or cannot be; or for an
            order of colours that the network has none of.
    """
    asked = target.input or InputSettings()
    colour = _colour(spec, target, asked)
    if asked.type == "float":
        return InputForm()
    reason = _against_bytes(spec, target, [samples for samples in sets if samples is not None])
    if reason is None and target.board is not None and asked.type is None:
        reason = "what feeds plans, as DeepStream, gives floats; --input uint8 asks for bytes"
    if reason is None:
        form = InputForm(dtype="uint8", layout="NHWC", colour=colour)
        shape = f"{target.batch} x {spec.height} x {spec.width} x {spec.channels}"
        events.stage("engines", f"take bytes: uint8 {shape}, {colour}, 0 to 255, not normalised")
        return form
    if asked.type == "uint8":
        raise TargetError(
            f"{spec.name} for {target.name}: bytes are asked for as the input of its engines, but"
            f" {reason}",
            hint="leave that to the build, or say --input float",
        )
    events.stage("engines", f"take float32: {reason}")
    return InputForm()


def _colour(spec: ModelSpec, target: TargetSpec, asked: InputSettings) -> Colour:
    """The order of the channels of bytes.

    Raises:
        TargetError: an order is asked for where there is none.
    """
    own: Colour = (
        "grey" if spec.takes_pictures and spec.channels == 1 else spec.preprocessing.colour
    )
    if asked.colour is None:
        return own
    if own == "grey" or not spec.takes_pictures:
        raise TargetError(
            f"{target.name}: input.colour is {asked.colour!r}, and {spec.name} takes no colours",
            hint="leave input.colour out of the target file",
        )
    return asked.colour


def _against_bytes(spec: ModelSpec, target: TargetSpec, sets: Sequence[SampleSet]) -> str | None:
    """Why engines cannot take bytes, or would lose something by them; None: they can."""
    if spec.more_inputs:
        return f"the network has {1 + len(spec.more_inputs)} inputs"
    if not spec.takes_pictures:
        return f"its input, {' x '.join(map(str, spec.input_shape))}, is no picture"
    if any(samples.arrays is not None for samples in sets):
        return "the samples are arrays, which are fed as they are"
    if not sets:
        return "without samples nobody knows whether they are pictures"
    if deep := sum(samples.deep for samples in sets):
        return f"{deep} pictures have 16 bits a pixel"
    if target.board is not None and not target.board.strongly_typed:
        return "TensorRT before 10 is not known to take them"
    return None


def still_right(earlier: Manifest, manifest: Manifest) -> dict[str, Artifact]:
    """The files of an earlier run that a new manifest may list.

    An engine that takes bytes has the preprocessing inside: it goes where that is another now, or
    the input's form. Its key says so too, but only when the compile stage is reached.
    """
    kept = earlier.artifacts
    if _inside(earlier) != _inside(manifest):
        kept = {name: entry for name, entry in kept.items() if entry.stage != "compile"}
    return dict(kept)


def _inside(manifest: Manifest) -> tuple[Any, ...]:
    """What of the input is part of the engines."""
    form, rule = manifest.input, manifest.model.preprocessing
    codes = (rule.colour, rule.pixel_max, rule.mean, rule.std) if form.is_bytes else ()
    return (form, *codes)
