"""How pictures are prepared for a network: the user's options, a ready name, the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from edge_scnet.config.model_options import ONLY_WITH, PICTURE_OPTIONS, ModelOptions
from edge_scnet.core.preprocessing import (
    BY_DEFAULT,
    Interpolation,
    Preprocessing,
    Resampler,
    antialias_fits,
    antialiases,
)
from edge_scnet.errors import ArtifactError
from edge_scnet.models.ready import Ready, ready

# The options whose names are not those of the record's fields.
_FIELDS = {"resize_mode": "resize", "resample": "library"}
_ALL_FIELDS = tuple(item.name for item in fields(Preprocessing) if item.name != "origins")
# Options of a user who knows what a library does otherwise.
_SETTLE = {"resize_mode", "resize", "interpolation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a network's library says of its pictures."""

    # "timm:NAME"
    name: str
    pictures: Ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for pictures where nothing is said."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    # the short side before the crop; None: the input's own
    short_side: int | None = None
    # before all these
    own: Own | None = None
    # one value may be given for all channels
    repeats: bool = False
    # False: the input's shape is found out later, and what depends on it is not checked yet
    complete: bool = True


# of float32, which pixels become
_LEAST, _MOST = 1.2e-38, 3.4e38


def preprocessing_of(
    options: ModelOptions, shape: Sequence[int], defaults: Defaults
) -> Preprocessing:
    """The preprocessing of pictures for an input.

    An option wins, then a ready name, then the network's library, then the defaults.

    Args:
        shape: C x H x W.

    Raises:
        ArtifactError: options that contradict each other or the input.
    """
    channels, short = shape[0], min(shape[1:])
    values, origins = _said(options, shape, defaults)
    mode, pixel_max = values.get("resize_mode", "crop"), values.get("pixel_max", 1.0)
    # of an own range: what belongs to 0 to 1 does not hold
    usual = defaults if pixel_max == 1 else Defaults(mean=(0.0,) * channels, std=(1.0,) * channels)
    mean, std = (
        _by_channel(key, values.get(key), getattr(usual, key), channels, defaults)
        for key in ("mean", "std")
    )
    side = _short_side(values, short, mode, defaults)
    if side is not None and side < short and defaults.complete:
        raise ArtifactError(
            f"--resize {side} is smaller than the crop, {'x'.join(map(str, shape))}",
            hint=f"--resize {short} or more, or leave it out",
        )
    library = values.get("resample", "pillow")
    interpolation = values.get("interpolation", "bilinear")
    return Preprocessing(
        colour="grey" if channels == 1 else values.get("colour", "RGB"),
        pixel_max=pixel_max,
        mean=mean,
        std=std,
        resize=mode,
        short_side=side,
        interpolation=interpolation,
        antialias=_antialias(values.get("antialias"), library, interpolation),
        library=library,
        pad_value=values.get("pad_value", (0,)),
        pad_anchor=values.get("pad_anchor", "center"),
        exif=values.get("exif", True),
        origins={**dict.fromkeys(_ALL_FIELDS, BY_DEFAULT), **_by_field(origins)},
    )


def _said(
    options: ModelOptions, shape: Sequence[int], defaults: Defaults
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that are not defaults, and where they come from, by option.

    Raises:
        ArtifactError: options that contradict each other or the input's channels; a ready name that
            cannot be done as its library does it.
    """
    given = _given(options)
    name, found = _found(options, defaults)
    if options.preprocess is not None and found.differences and not _SETTLE & given.keys():
        raise ArtifactError(
            f"{name}: {found.differences[0]}",
            hint="say how it is to be with --resize-mode and --interpolation, which win over it",
        )
    named = _values_of(found, shape[0], min(shape[1:]))
    if "resize" in given or "crop_fraction" in given:
        # each is the other in other words: the user's is the one that counts
        named = {k: v for k, v in named.items() if k not in ("resize", "crop_fraction")}
    mode = {**named, **given}.get("resize_mode", "crop")
    _check_mode(given, mode)
    if defaults.complete:
        _check_channels(given, shape[0])
    # what a single option made meaningless of a ready name
    named = {k: v for k, v in named.items() if mode in ONLY_WITH.get(k, (mode,))}
    origins = {**dict.fromkeys(named, name), **{key: _spelled(key) for key in given}}
    return {**named, **given}, origins


def _found(options: ModelOptions, defaults: Defaults) -> tuple[str, Ready]:
    """What is said in one word, and by whom."""
    if options.preprocess is not None:
        return f"--preprocess {options.preprocess}", ready(options.preprocess)
    if defaults.own is not None:
        return defaults.own.name, defaults.own.pictures
    return "", Ready()


def _given(options: ModelOptions) -> dict[str, Any]:
    """The options about pictures that are set, without the ready name."""
    values = {key: getattr(options, key) for key in PICTURE_OPTIONS if key != "preprocess"}
    return {key: value for key, value in values.items() if value is not None and value != ()}


def _values_of(found: Ready, channels: int, short: int) -> dict[str, Any]:
    """A ready name's values by options, those that fit an input."""
    values = dict(found.options)
    if found.plain:
        values |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    for key in ("mean", "std"):
        if key in values and len(values[key]) != channels:
            del values[key]
    if found.short_side is not None and found.input_size is not None:
        # of an input of another size in the same proportion
        side = found.short_side * short / found.input_size
        values["resize"] = int(side)
    return values


def _short_side(values: Mapping[str, Any], short: int, mode: str, defaults: Defaults) -> int | None:
    if "resize" in values:
        side: int = values["resize"]
        return side
    if "crop_fraction" in values:
        return int(short / values["crop_fraction"])
    return defaults.short_side if mode == "crop" else None


def _by_field(origins: Mapping[str, str]) -> dict[str, str]:
    """Origins by the names of the record's fields; `resize` is the short side there."""
    names = {**_FIELDS, "resize": "short_side", "crop_fraction": "short_side"}
    return {names.get(key, key): origin for key, origin in origins.items()}


def _spelled(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _by_channel(
    key: str,
    given: tuple[float, ...] | None,
    default: tuple[float, ...],
    channels: int,
    defaults: Defaults,
) -> tuple[float, ...]:
    """A value for each channel.

    Raises:
        ArtifactError: another number of values, or values that are no numbers.
    """
    values, option = given or default, _spelled(key)
    if len(values) == 1 and defaults.repeats:
        values = values * channels
    if defaults.complete and len(values) != channels:
        problem = (
            f"{option} has {len(values)} values"
            if given
            else f"{option} has no default for such images"
        )
        plural = "s" * (channels > 1)
        raise ArtifactError(
            f"the input has {channels} channel{plural}, and {problem}",
            hint=f"pass --mean and --std with {channels} value{plural} each, of pixels from 0 to"
            " 1, or --preprocess pixels where the network takes 0 to 255",
        )
    lowest, words = (_LEAST, "positive and finite") if key == "std" else (-_MOST, "finite")
    if not all(lowest <= value <= _MOST for value in values):
        raise ArtifactError(
            f"{option} must be {words} as float32, got {', '.join(map(str, values))}",
            hint=f"of pixels from 0 to 1, for instance: {option} {','.join(['0.5'] * channels)}",
        )
    return values


def _check_mode(given: Mapping[str, Any], mode: str) -> None:
    """Refuses options of another way to resize, and two that say the same.

    Raises:
        ArtifactError: names them.
    """
    for key, modes in ONLY_WITH.items():
        if key in given and mode not in modes:
            raise ArtifactError(
                f"{_spelled(key)} is for --resize-mode {' and '.join(modes)}, here it is {mode}",
                hint=f"leave {_spelled(key)} out",
            )
    if "resize" in given and "crop_fraction" in given:
        raise ArtifactError(
            "--resize and --crop-fraction both give the short side before the crop",
            hint="leave one out",
        )


def _check_channels(given: Mapping[str, Any], channels: int) -> None:
    """Refuses options that do not fit the input's channels.

    Raises:
        ArtifactError: names them.
    """
    colour, pads = given.get("colour", "grey"), given.get("pad_value", (0,))
    if channels == 1 and colour != "grey":
        raise ArtifactError(
            f"the input has 1 channel, --colour says {colour}", hint="leave --colour out"
        )
    if len(pads) not in (1, channels):
        raise ArtifactError(
            f"the input has {channels} channels, --pad-value has {len(pads)} values",
            hint="one value, or one for each channel",
        )


def _antialias(asked: bool | None, library: Resampler, interpolation: Interpolation) -> bool:
    """Whether the filter grows as a picture shrinks.

    Raises:
        ArtifactError: the library cannot do so.
    """
    if asked is None:
        return antialiases(library, interpolation)
    if antialias_fits(asked, library, interpolation):
        return asked
    words = "--antialias" if asked else "--no-antialias"
    other = "opencv" if library == "pillow" else "pillow"
    raise ArtifactError(
        f"{words} is not possible with --resample {library} --interpolation {interpolation}",
        hint="leave it out: nearest takes single pixels"
        if interpolation == "nearest"
        else f"leave it out, or --resample {other}",
    )
