"""Files and factories, strictly."""

from __future__ import annotations

import hashlib
import importlib
import json
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge_scnet.core.optional import require
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.models.zoo import WEIGHTS, ModelSource, architectures

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


def create(spec: ModelSpec) -> nn.Module:
    """The network of a spec, untrained."""
    require("torch", extra="export")
    from edge_scnet.scnet import ARCHITECTURES

    return ARCHITECTURES[spec.arch](spec.num_classes or 1000, spec.channels)


def load_torch(source: ModelSource) -> nn.Module:
    """The PyTorch module of a checkpoint or a factory, in eval mode, weights checked to be finite.

    Raises:
        ArtifactError: a checkpoint that does not fit, holds NaN, or is no state dict; a factory
            that cannot be called.
    """
    torch = require("torch", extra="export")
    if source.kind == "factory":
        module = _call_factory(source.location)
        state = module.state_dict()
    else:
        module = create(source.spec)
        path = Path(source.location)
        if path.parent == WEIGHTS:
            _check_card(path)
        state = read_checkpoint(path)
        load_strictly(module, state, source=source)
    for key, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ArtifactError(
                f"{source.location}: {key!r} holds {bad} NaN or infinite values of"
                f" {tensor.numel()}",
                hint="the checkpoint is damaged or its training diverged: use an earlier one",
            )
    return module.eval()


def _check_card(path: Path) -> None:
    """Raises ArtifactError when bundled weights are not those that their card describes."""
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ArtifactError(
            f"{path} is not what its card says: sha256 {found[:12]}..., expected"
            f" {expected[:12]}...",
            hint="install the package again: the file was changed or cut short",
        )


def state_hash(module: nn.Module) -> str:
    """Hex sha256 of a module's weights and structure: what a factory made, which no file's hash can
    tell.
    """
    torch = require("torch", extra="export")
    digest = hashlib.sha256(repr(module).encode())
    for key, tensor in module.state_dict().items():
        digest.update(key.encode())
        # as bytes: NumPy has no bfloat16
        digest.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _call_factory(location: str) -> nn.Module:
    torch = require("torch", extra="export")
    module_name, _, attribute = location.partition(":")
    # a console script does not have the working directory on sys.path, and that is where the user's
    # module is
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
        module = factory()
    except Exception as error:
        raise ArtifactError(
            f"{location} cannot be called: {type(error).__name__}: {error}",
            hint=(
                "it is called without arguments and must return a torch.nn.Module; is it on"
                " PYTHONPATH?"
            ),
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ArtifactError(
            f"{location} returned {type(module).__name__}, a torch.nn.Module is needed",
            hint="the factory is called without arguments and returns the model itself",
        )
    return cast("nn.Module", module)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, unwrapped: `state_dict`, `model` and EMA wrappers,
    `module.` prefixes.

    A checkpoint that holds both plain weights and their moving average (EMA) gives the average, as
    timm does: it is what training frameworks evaluate and publish.

    Raises:
        ArtifactError: unreadable, not a state dict, or a pickle that would run code
            (`weights_only=True` refuses it).
    """
    torch = require("torch", extra="export")
    try:
        if path.suffix.lower() == ".safetensors":
            loaded: Any = require("safetensors.torch", extra="export").load_file(path)
        else:
            with warnings.catch_warnings():
                # of pickle protocols that torch reads all the same; what it cannot read, it raises
                warnings.simplefilter("ignore")
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} is not a checkpoint of plain weights: {_why_unreadable(error)}",
            hint=(
                "save it with torch.save(model.state_dict(), path), or copy it again if it was cut"
                " short"
            ),
        ) from error
    for _ in range(3):
        key = next(
            (k for k in _WRAPPERS if isinstance(loaded, dict) and isinstance(loaded.get(k), dict)),
            None,
        )
        if key is None:
            break
        loaded = loaded[key]
    tensors = isinstance(loaded, dict) and {
        k: v for k, v in loaded.items() if isinstance(v, torch.Tensor)
    }
    if not tensors:
        found = (
            ", ".join(map(str, list(loaded)[:5]))
            if isinstance(loaded, dict)
            else type(loaded).__name__
        )
        raise ArtifactError(
            f"{path} is not a state dict: found {found or 'nothing'}",
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
        if plain != "n_averaged":  # the counter of torch.optim.swa_utils.AveragedModel
            state[plain] = value
    return state


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        # torch's own words advise weights_only=False, which would run the file's code
        found = re.search(r"(?:GLOBAL|global|class) ([\w.]+\.\w+)", str(error))
        return (
            f"it holds pickled objects{f' ({found[1]})' if found else ''}; only tensors are read,"
            " objects could run code"
        )
    first = first_line(error).partition(" This is an internal")[0]
    named = str(error).strip() != ""
    return f"{type(error).__name__}: {first[:200]}" if named else type(error).__name__


def load_strictly(module: nn.Module, state: dict[str, Tensor], *, source: ModelSource) -> None:
    """Loads `state`, all of it and nothing else; `num_batches_tracked`, absent from old
    checkpoints, is not needed.

    Raises:
        ArtifactError: lists missing, unexpected and wrongly shaped keys, and says which option to
            pass.
    """
    own = module.state_dict()
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    missing = sorted(needed - state.keys())
    unexpected = sorted(
        key for key in state.keys() - own.keys() if not key.endswith("num_batches_tracked")
    )
    shapes = [
        f"{key}: {tuple(state[key].shape)}, {source.spec.arch} has {tuple(own[key].shape)}"
        for key in sorted(needed & state.keys())
        if state[key].shape != own[key].shape
    ]
    if not (missing or unexpected or shapes):
        module.load_state_dict(
            state, strict=False
        )  # strict but for num_batches_tracked, as checked above
        return
    parts = [
        f"{len(keys)} {title}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for title, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("wrongly shaped", shapes),
        )
        if keys
    ]
    options = []
    if not (missing or unexpected):
        stem = "conv1.weight" if "conv1.weight" in own else "conv1.0.weight"
        classes, channels = state["fc.weight"].shape[0], state[stem].shape[1]
        if classes != own["fc.weight"].shape[0]:
            options.append(f"{classes} classes: pass --num-classes {classes}")
        if channels != own[stem].shape[1]:
            options.append(f"{channels} input channels: pass --channels {channels}")
    explained = {"fc.weight", "fc.bias", "conv1.weight", "conv1.0.weight"}
    if options and all(shape.partition(":")[0] in explained for shape in shapes):
        hint = "the checkpoint has " + ", and ".join(options)
    else:
        hint = f"another --arch? known: {', '.join(architectures())}"
    raise ArtifactError(
        f"{source.location} does not fit {source.spec.arch}: " + "; ".join(parts), hint=hint
    )
