"""A model's options of a command line over those of a project file.

Each option of the command line stands in place of the file's own; and of those under other names
that it excludes, of which an error would else say that the two contradict each other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

from edge_scnet.config.model_options import ONLY_WITH, PICTURE_OPTIONS, ModelOptions
from edge_scnet.core.preprocessing import antialias_fits

_DETECTION = "detection"


def merged_options(
    own: ModelOptions, theirs: ModelOptions, *, only: Collection[str] | None = None
) -> tuple[ModelOptions, dict[str, Any]]:
    """The options of a command line, filled from those of a file, and what the file gave.

    Args:
        own: of the command line.
        theirs: of the file.
        only: the options that the command takes; None: all.
    """
    kept = {
        item.name: value
        for item in fields(ModelOptions)
        if (value := getattr(theirs, item.name)) is not None and (only is None or item.name in only)
    }
    for rule in (_shape, _pictures, _classes, _task):
        rule(own, kept)
    kept = {name: value for name, value in kept.items() if getattr(own, name) is None}
    return replace(own, **kept), kept


def _drop(kept: dict[str, Any], *names: str) -> None:
    for name in names:
        kept.pop(name, None)


def _shape(own: ModelOptions, kept: dict[str, Any]) -> None:
    """The input's sizes: of a file's shape what the command line does not say stays."""
    if own.input_shape is not None:
        _drop(kept, "input_size", "channels")
    elif own.input_size is not None or own.channels is not None:
        shape = kept.pop("input_shape", ())
        if len(shape) == 3:
            channels = own.channels or shape[0]
            sides = shape[1:] if own.input_size is None else (own.input_size,) * 2
            _drop(kept, "input_size", "channels")
            kept["input_shape"] = (channels, *sides)


def _pictures(own: ModelOptions, kept: dict[str, Any]) -> None:
    """How pictures are prepared."""
    if own.preprocess is not None:
        _drop(kept, *PICTURE_OPTIONS)
        return
    if own.resize_mode is not None:
        _drop(kept, *(key for key, modes in ONLY_WITH.items() if own.resize_mode not in modes))
    if own.resize is not None:
        _drop(kept, "crop_fraction")
    if own.crop_fraction is not None:
        _drop(kept, "resize")
    sides = ("resize", "crop_fraction")
    if any(getattr(own, key) is not None for key in sides):
        # what else the file's mode is with goes with it
        mode = kept.get("resize_mode")
        if own.resize_mode is None and mode is not None and mode not in ONLY_WITH["resize"]:
            _drop(kept, "resize_mode", "pad_value", "pad_anchor")
    channels = own.channels if own.input_shape is None else own.input_shape[0]
    if channels == 1 and kept.get("colour", "grey") != "grey":
        _drop(kept, "colour")
    _antialias(own, kept)


def _antialias(own: ModelOptions, kept: dict[str, Any]) -> None:
    """Whether a filter grows, which some of them and a library cannot."""
    if "antialias" not in kept or (own.resample is None and own.interpolation is None):
        return
    library = own.resample or kept.get("resample", "pillow")
    interpolation = own.interpolation or kept.get("interpolation", "bilinear")
    if not antialias_fits(kept["antialias"], library, interpolation):
        _drop(kept, "antialias")


def _classes(own: ModelOptions, kept: dict[str, Any]) -> None:
    """The number of classes, which their names and the arguments of a factory tell too."""
    if own.num_classes is not None:
        if len(kept.get("class_names", ())) != own.num_classes:
            _drop(kept, "class_names")
        arguments = kept.get("factory_args", {})
        if arguments.get("num_classes", own.num_classes) != own.num_classes:
            rest = {name: value for name, value in arguments.items() if name != "num_classes"}
            kept["factory_args"] = rest
    elif own.class_names is not None and kept.get("num_classes") != len(own.class_names):
        _drop(kept, "num_classes")
    count = kept.get("num_classes")
    if (own.factory_args or {}).get("num_classes", count) != count:
        _drop(kept, "num_classes")


def _task(own: ModelOptions, kept: dict[str, Any]) -> None:
    """What a network is for: another task takes other arguments, and decoders are of detection."""
    theirs = kept.get("task", _DETECTION if "decode" in kept else None)
    wanted = own.task or (_DETECTION if own.decode is not None else None)
    if wanted is not None and theirs is not None and wanted != theirs:
        _drop(kept, "task", "task_args", "decode")
    arguments = kept.get("task_args", {})
    if own.decode is not None and "decode" in arguments:
        kept["task_args"] = {name: arguments[name] for name in arguments if name != "decode"}
    if "decode" in (own.task_args or {}):
        _drop(kept, "decode")
