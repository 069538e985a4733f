"""A preprocessing in words for people, and as plain values for reports and baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from edge_scnet.core.json_records import RecordError, convert
from edge_scnet.core.preprocessing import (
    BY_DEFAULT,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocessing,
)

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

# The origin of a short side that follows from the pictures.
SAME_SIZE = "all pictures have the input's size"
_LIBRARIES = {"pillow": "Pillow", "opencv": "OpenCV"}
# What earlier versions wrote of a preprocessing, under their names.
_FIRST = {"resize": "short_side", "mean": "mean", "std": "std"}
# And what was always so, which is written only where it is otherwise.
_LATER = {
    "colour": "colour",
    "pixel_max": "pixel_max",
    "resize_mode": "resize",
    "interpolation": "interpolation",
    "antialias": "antialias",
    "resample": "library",
    "pad_value": "pad_value",
    "pad_anchor": "pad_anchor",
    "exif": "exif",
}


def preprocessing_facts(spec: ModelSpec) -> dict[str, Any]:
    """A preprocessing as values of JSON: equal to what earlier versions wrote where they had it."""
    rule = spec.preprocessing
    usual = Preprocessing(mean=(), std=(), colour="grey" if spec.channels == 1 else "RGB")
    facts = {key: _plain(getattr(rule, name)) for key, name in _FIRST.items()}
    for key, name in _LATER.items():
        if getattr(rule, name) != getattr(usual, name):
            facts[key] = _plain(getattr(rule, name))
    return facts


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def words_of_facts(facts: Mapping[str, Any]) -> str:
    """The preprocessing of a report in words; as it is where it is of another form."""
    names = {**_FIRST, **_LATER}
    values = {names[key]: value for key, value in facts.items() if key in names}
    size = facts.get("input_size")
    shape = facts.get("input_shape", [facts.get("channels"), size, size])
    try:
        rule = convert(Preprocessing, values)
        sizes = convert(tuple[int, ...], shape)
    except RecordError:
        return ", ".join(f"{key} {value}" for key, value in facts.items())
    words = _words(rule, sizes)
    if not _are_pictures(sizes) or rule.resize != "crop" or rule.short_side is not None:
        return words
    # whether all were of that size is no value of the preprocessing: such a one is not resized
    return f"{words}; pictures of {sizes[2]} x {sizes[1]} as they are"


def input_words(spec: ModelSpec) -> str:
    """What a network gets of a picture, in one line."""
    return _words(spec.preprocessing, (spec.channels, *(_size(spec))))


def _size(spec: ModelSpec) -> tuple[int, ...]:
    return (spec.height, spec.width) if len(spec.input_shape) == 3 else ()


def _are_pictures(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3)


def _words(rule: Preprocessing, shape: Sequence[int]) -> str:
    if not _are_pictures(shape):
        return f"{' x '.join(map(str, shape))}, as the data set has it"
    channels, height, width = shape
    parts = [_colour(rule, channels), *_resizing(rule, height, width)]
    if not rule.exif:
        parts.append("EXIF rotation ignored")
    parts += [f"0 to {rule.pixel_max:g}", *_normalisation(rule)]
    names = dict.fromkeys(origin for origin in rule.origins.values() if _is_name(origin))
    by = f" ({', '.join(names)})" if names else ""
    return ", ".join(parts) + by


def _colour(rule: Preprocessing, channels: int) -> str:
    if channels == 1:
        return "grey"
    return "grey in all channels" if rule.colour == "grey" else rule.colour


def _resizing(rule: Preprocessing, height: int, width: int) -> Iterator[str]:
    input_size, by = f"{width} x {height}", f"({_filter(rule)})"
    side, short = rule.short_side, min(height, width)
    if rule.resize == "none":
        yield f"the centre {input_size}, not resized"
    elif rule.resize == "letterbox":
        where = "in the centre" if rule.pad_anchor == "center" else "at the upper left"
        pads = " ".join(map(str, rule.pad_value))
        yield f"letterboxed into {input_size} {where} {by}"
        yield f"padded with {pads}"
    elif rule.origin("short_side") == SAME_SIZE:
        yield f"{input_size} as the pictures are"
        return
    else:
        scale = 1.0 if side is None else side / short
        box = f"{round(width * scale)} x {round(height * scale)}"
        if rule.resize == "stretch":
            yield f"stretched to {box} {by}"
        elif height == width:
            yield f"short side to {side or short} {by}"
        else:
            yield f"scaled to cover {box} {by}"
        if rule.resize == "crop" or box != input_size:
            yield f"crop {input_size}"


def _filter(rule: Preprocessing) -> str:
    plain = rule.library == "pillow" and not rule.antialias and rule.interpolation != "nearest"
    words = f"{_LIBRARIES[rule.library]} {rule.interpolation}"
    return f"{words} without antialiasing" if plain else words


def _normalisation(rule: Preprocessing) -> Iterator[str]:
    if not any(rule.mean) and all(value == 1 for value in rule.std):
        yield "no mean or std"
        return
    known = (rule.mean, rule.std) == (IMAGENET_MEAN, IMAGENET_STD)
    by_default = rule.origin("mean") == rule.origin("std") == BY_DEFAULT
    why = ["ImageNet's"] * known + ["by default"] * by_default
    yield f"mean {_listed(rule.mean)}" + (f" ({', '.join(why)})" if why else "")
    yield f"std {_listed(rule.std)}"


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _is_name(origin: str) -> bool:
    """Whether an origin is a name for many values, and no option or sentence."""
    return origin.startswith("--preprocess ") or ":" in origin


def origins_of(rule: Preprocessing) -> Iterator[tuple[str, str, str]]:
    """Yields the fields of a preprocessing with their values in words and where these are from."""
    for item in fields(rule):
        if item.name == "origins":
            continue
        value = getattr(rule, item.name)
        text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield item.name, text, rule.origin(item.name)
