"""Ready names of preprocessing, and what timm and torchvision say of their networks' pictures.

A ready name is a set of options: single options of the user win over it. Libraries are asked for
their own records; nothing is downloaded.
"""

from __future__ import annotations

import difflib
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from edge_scnet.core.optional import install_hint, require
from edge_scnet.errors import ArtifactError, MissingRuntimeError, first_line

_TORCHVISION_MODELS = "torchvision.models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """How pictures are prepared, as far as a ready name or a library says."""

    # values by the names of `ModelOptions`; `mean` and `std` of three channels
    options: Mapping[str, Any] = field(default_factory=dict)
    # one for all channels, where there are as many as the network takes
    plain: bool = False
    # of the network, a square
    input_size: int | None = None
    # the short side before the crop, of an input of `input_size`
    short_side: int | None = None
    classes: tuple[str, ...] | None = None
    # what is done otherwise here, in words
    differences: tuple[str, ...] = ()


_PIXELS = Ready(plain=True, options={"pixel_max": 255.0})
_YOLO = Ready(
    plain=True,
    options={
        "pixel_max": 1.0,
        "resize_mode": "letterbox",
        "resample": "opencv",
        "interpolation": "bilinear",
        "pad_value": (114,),
        "pad_anchor": "center",
    },
)
# What holds without a name is ImageNet's.
READY: dict[str, Ready] = {"imagenet": Ready(), "pixels": _PIXELS, "yolo": _YOLO}


def ready(name: str) -> Ready:
    """What a ready name stands for.

    Args:
        name: one of `READY`, timm:NAME of a network, torchvision:NAME of a network or of weights.

    Raises:
        ArtifactError: no such name.
        MissingRuntimeError: the library is not installed, or does not fit this torch.
    """
    if name in READY:
        return READY[name]
    library, _, rest = name.partition(":")
    if rest and library == "timm":
        return _named_by_timm(rest)
    if rest and library == "torchvision":
        return _named_by_torchvision(rest)
    near = difflib.get_close_matches(name, READY, n=1)
    raise ArtifactError(
        f"--preprocess {name} is no ready name" + (f"; did you mean {near[0]}?" if near else ""),
        hint=f"allowed: {', '.join(READY)}, timm:NAME, torchvision:NAME, as timm:resnet50.a1_in1k"
        " or torchvision:ResNet50_Weights.IMAGENET1K_V2",
    )


def imported(name: str) -> ModuleType:
    """A library of networks.

    Raises:
        MissingRuntimeError: it is not installed, or does not fit this torch.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return require(name, extra="zoo")
    except MissingRuntimeError:
        raise
    except Exception as error:  # a torchvision of another torch fails in many ways
        failed = _failed_in(error, name)
        raise MissingRuntimeError(
            f"{failed} is installed and cannot be imported: {first_line(error)}",
            hint=_other_torchvision() if failed == "torchvision" else install_hint("zoo"),
        ) from error


def _failed_in(error: Exception, name: str) -> str:
    """The library that an import failed in: timm imports torchvision."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    packages = {str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames}
    return "torchvision" if "torchvision" in packages else name


def _other_torchvision() -> str:
    """How to come by the torchvision of this torch: each takes one version of torch alone."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch = version("torch").partition("+")[0]
    except PackageNotFoundError:
        return install_hint("zoo")
    return f"the torchvision of this torch: pip install --upgrade torchvision torch=={torch}"


def check_known(library: str, name: str, names: Iterable[str]) -> None:
    """Raises ArtifactError, with the nearest name, where a library has no such network."""
    known = list(names)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    raise ArtifactError(
        f"{library} has no network {name!r}"
        + (f"; did you mean {' or '.join(near)}?" if near else ""),
        hint=f"all of them: python -c 'from {library}"
        f"{'.models' * (library == 'torchvision')} import list_models; print(list_models())'",
    )


def _named_by_timm(name: str) -> Ready:
    timm = imported("timm")
    check_known("timm", name.partition(".")[0], timm.list_models(include_tags=False))
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None:
        raise ArtifactError(
            f"timm has no record of {name!r}",
            hint=f"the networks that it has one of: timm.list_pretrained('{name.split('.')[0]}*')",
        )
    require("timm.data", extra="zoo")
    return of_timm(timm.data.resolve_data_config(pretrained_cfg=config.to_dict()))


def _named_by_torchvision(name: str) -> Ready:
    imported("torchvision")
    models = require(_TORCHVISION_MODELS, extra="zoo")
    network, dot, _ = name.partition(".")
    if dot or "_Weights" in network:
        try:
            return of_torchvision(models.get_weight(name))
        except ValueError as error:
            raise ArtifactError(
                f"torchvision has no weights {name!r}: {first_line(error)}",
                hint="as torchvision:ResNet50_Weights.IMAGENET1K_V2, or the network's name alone",
            ) from error
    check_known("torchvision", name, models.list_models())
    weights = models.get_model_weights(name)
    if not list(weights):
        raise ArtifactError(
            f"torchvision has no weights of {name}, and so says nothing of its pictures",
            hint=f"say it with --mean, --std, --resize, ...; ready names: {', '.join(READY)}",
        )
    return of_torchvision(weights.DEFAULT)


def of_timm(config: Mapping[str, Any]) -> Ready:
    """timm's record of how it evaluates a network."""
    _, height, width = config["input_size"]
    interpolation, differences = _interpolation("timm", config["interpolation"])
    options = {"mean": tuple(config["mean"]), "std": tuple(config["std"]), **interpolation}
    mode, fraction = config.get("crop_mode", "center"), config["crop_pct"]
    if mode == "squash":
        options["resize_mode"] = "stretch"
    elif mode != "center":
        differences += (f"timm prepares pictures by {mode!r}, here the centre is cut out",)
    return Ready(
        input_size=height if height == width else None,
        options={**options, "crop_fraction": fraction},
        differences=differences,
    )


def of_torchvision(entry: Any, differences: tuple[str, ...] = ()) -> Ready:
    """What torchvision's weights say of the pictures that they were evaluated on.

    Args:
        entry: one of a network's weights; None: it has none.
        differences: what is doubtful already.
    """
    if entry is None:
        return Ready(differences=differences)
    transforms = entry.transforms()
    crop, resize = getattr(transforms, "crop_size", None), getattr(transforms, "resize_size", None)
    options: dict[str, Any] = {}
    interpolation = getattr(transforms, "interpolation", None)
    if interpolation is not None:
        options, other = _interpolation("torchvision", str(interpolation.value))
        differences += other
    if crop is None and resize is not None:
        differences += (
            f"torchvision scales pictures to {_first(resize)} pixels and cuts nothing off, here"
            " they are scaled to cover the input",
        )
    if crop is None and resize is None:
        differences += (
            "torchvision does not resize pictures, here they are scaled to cover the input",
        )
    # without them pixels stay 0 to 1
    for name, plain in (("mean", 0.0), ("std", 1.0)):
        values = getattr(transforms, name, None)
        options[name] = (plain,) * 3 if values is None else tuple(values)
    return Ready(
        input_size=_first(crop),
        short_side=_first(resize) if crop is not None else None,
        options=options,
        classes=tuple(entry.meta.get("categories") or ()) or None,
        differences=differences,
    )


def _first(sizes: Any) -> int | None:
    if sizes is None:
        return None
    return int(sizes[0] if isinstance(sizes, (list, tuple)) else sizes)


def _interpolation(library: str, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The option of a library's filter, and what is done otherwise where there is none."""
    if name in ("bilinear", "bicubic", "nearest", "lanczos"):
        return {"interpolation": name}, ()
    if name == "box":
        return {"interpolation": "area"}, ()
    return {}, (f"{library} resizes pictures {name}, here they are resized bilinear",)
