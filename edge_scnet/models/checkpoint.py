"""Reads checkpoint files: plain weights only, and all of them into a network, or an error."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.models.architectures import architectures

if TYPE_CHECKING:
    from torch import Tensor, nn

# Where training frameworks put the weights inside a checkpoint. EMA first: it is what they evaluate
# (timm's rule).
_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
)
# torch.compile, DataParallel, EMA wrappers, in any order: DataParallel of a compiled module has two
_PREFIXES = re.compile(r"^(?:(?:_orig_mod|module|ema)\.)+")
# The counter of torch.optim.swa_utils.AveragedModel.
_COUNTER = "n_averaged"
# Absent from old checkpoints, and not needed for inference.
_NOT_NEEDED = "num_batches_tracked"


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Returns the state dict of a checkpoint file, without wrappers and prefixes.

    Wrappers are `state_dict`, `model` and those of EMA, prefixes such as `module.`. A checkpoint
    that holds both plain weights and their moving average (EMA) gives the average, as timm does: it
    is what training frameworks evaluate and publish.

    Raises:
        ArtifactError: unreadable, not a state dict, or a pickle that would run code
            (`weights_only=True` refuses it).
    """
    torch = require("torch", extra="export")
    content = _unwrapped(_read(path))
    tensors = isinstance(content, dict) and {
        key: value for key, value in content.items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        held = (
            ", ".join(map(str, list(content)[:5]))
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise ArtifactError(
            f"{path} is not a state dict: found {held or 'nothing'}",
            hint="save it with torch.save(model.state_dict(), path)",
        )
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        plain = _PREFIXES.sub("", str(key))
        if plain in state:
            raise ArtifactError(
                f"{path} holds {plain!r} twice, with and without a prefix ({key!r})",
                hint="save one of them",
            )
        if plain != _COUNTER:
            state[plain] = value
    return state


def _read(path: Path) -> Any:
    torch = require("torch", extra="export")
    try:
        if path.suffix.lower() == ".safetensors":
            return require("safetensors.torch", extra="export").load_file(path)
        with warnings.catch_warnings():
            # of pickle protocols that torch reads all the same; what it cannot read, it raises
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} is not a checkpoint of plain weights: {_why_unreadable(error)}",
            hint=(
                "save it with torch.save(model.state_dict(), path), or copy it again if it was cut"
                " short"
            ),
        ) from error


def _unwrapped(content: Any) -> Any:
    for _ in range(3):  # as deep as wrappers are nested
        key = next(
            (
                wrapper
                for wrapper in _WRAPPERS
                if isinstance(content, dict) and isinstance(content.get(wrapper), dict)
            ),
            None,
        )
        if key is None:
            break
        content = content[key]
    return content


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        # torch's own words advise weights_only=False, which would run the file's code
        named = re.search(r"(?:GLOBAL|global|class) ([\w.]+\.\w+)", str(error))
        return (
            f"it holds pickled objects{f' ({named[1]})' if named else ''}; only tensors are read,"
            " objects could run code"
        )
    if not str(error).strip():
        return type(error).__name__
    message = first_line(error).partition(" This is an internal")[0]
    return f"{type(error).__name__}: {message[:200]}"


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    arch: str,
    location: str,
    otherwise: str | None = None,
) -> None:
    """Loads `state` into a network, all of it and nothing else.

    Args:
        arch: the network's name, for messages.
        location: where the state is from, for messages.
        otherwise: the hint where no option would make the state fit; None: other architectures.

    Raises:
        ArtifactError: lists missing, unexpected and wrongly shaped keys, and says which option to
            pass; or a tensor holds no plain numbers.
    """
    own = module.state_dict()
    needed = {key for key in own if not key.endswith(_NOT_NEEDED)}
    missing = sorted(needed - state.keys())
    unexpected = sorted(key for key in state.keys() - own.keys() if not key.endswith(_NOT_NEEDED))
    both = sorted(needed & state.keys())
    different = [key for key in both if state[key].shape != own[key].shape]
    shapes = [
        f"{key}: {tuple(state[key].shape)}, {arch} has {tuple(own[key].shape)}" for key in different
    ]
    if not (missing or unexpected or different):
        check_plain({key: state[key] for key in both}, location, like=own)
        # strict but for what is not needed, as checked above
        module.load_state_dict(state, strict=False)
        return
    problems = [
        f"{len(keys)} {title}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for title, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("wrongly shaped", shapes),
        )
        if keys
    ]
    options = [] if missing or unexpected else _options_that_fit(own, state, different)
    if options:
        hint = "the checkpoint has " + ", and ".join(options)
    else:
        hint = otherwise or f"another --arch? known: {', '.join(architectures())}"
    raise ArtifactError(f"{location} does not fit {arch}: " + "; ".join(problems), hint=hint)


def _options_that_fit(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], different: Sequence[str]
) -> Sequence[str]:
    """What the checkpoint has another number of than the network, and the option to pass for it.

    None where its tensors differ in other ways than by the outputs of the classifier, or by the
    inputs of the first convolution.

    Args:
        different: the keys of other shapes.
    """
    classes, channels = set(), set()
    for key in different:
        have, want = state[key].shape, own[key].shape
        weight = f"{key.rpartition('.')[0]}.weight"
        is_layer = len(want) > 1 or (weight in different and len(own[weight].shape) > 1)
        if is_layer and have and have[1:] == want[1:]:
            classes.add((want[0], have[0]))
        elif len(want) == len(have) == 4 and (have[0], have[2:]) == (want[0], want[2:]):
            channels.add((want[1], have[1]))
        else:
            return []
    if len(classes) > 1 or len(channels) > 1:
        return []
    options = [f"{number} classes: pass --num-classes {number}" for _, number in classes]
    return options + [
        f"{number} input channels: pass --channels {number}" for _, number in channels
    ]


def check_plain(
    state: Mapping[str, Tensor], location: str, *, like: Mapping[str, Tensor] | None = None
) -> None:
    """Holds tensors to plain, finite numbers.

    Args:
        location: where they are from, for messages.
        like: the network's own: what is real there must be real here.

    Raises:
        ArtifactError: names the first that is sparse, quantized, complex, without values, of whole
            numbers where the network has real ones, or holds NaN or infinity.
    """
    torch = require("torch", extra="export")
    for key, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            continue  # a module may keep other things in its state
        if kind := _not_plain(tensor, like[key] if like else tensor):
            raise ArtifactError(
                f"{location}: {key!r} is {kind}; plain real numbers are needed",
                hint="save the float model: torch.save(model.state_dict(), path)",
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ArtifactError(
                f"{location}: {key!r} holds {bad} NaN or infinite values of {tensor.numel()}",
                hint="the checkpoint is damaged or its training diverged: use an earlier one",
            )


def _not_plain(tensor: Tensor, own: Tensor) -> str | None:
    """What a tensor is where it holds no plain numbers."""
    torch = require("torch", extra="export")
    if torch.nn.parameter.is_lazy(tensor):
        return "without values (lazy: run the module once)"
    if tensor.is_meta:
        return "without values (on the meta device)"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_complex():
        return "complex"
    if own.is_floating_point() and not tensor.is_floating_point():
        return f"of the type {str(tensor.dtype).removeprefix('torch.')}"
    return None
