"""Loads PyTorch modules: of checkpoints, of factories, of timm and torchvision, and the caller's.

Every module comes out in eval mode, on the CPU, in float32.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.files import sha256_file
from edge_scnet.core.optional import require
from edge_scnet.core.user_code import user_code
from edge_scnet.errors import ArtifactError
from edge_scnet.models.architectures import create
from edge_scnet.models.checkpoint import check_plain, load_strictly, read_checkpoint
from edge_scnet.models.factory import call_factory, parse_factory
from edge_scnet.models.library import load_library_model
from edge_scnet.models.ready import Ready
from edge_scnet.models.zoo import WEIGHTS, ModelSource

if TYPE_CHECKING:
    from torch import nn


# The packages of layers that compute in INT8.
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torchao.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A module that is ready to be exported, and what was found out about it."""

    module: nn.Module
    # of a library's network: how its pictures are prepared
    pictures: Ready | None = None
    # what was done to it, in words
    notes: tuple[str, ...] = ()


def load_torch(source: ModelSource) -> nn.Module:
    """Returns the PyTorch module of a source, as `load`."""
    return load(source).module


def load(source: ModelSource) -> Loaded:
    """Returns the PyTorch module of a source, in eval mode, on the CPU and in float32.

    Raises:
        ArtifactError: a checkpoint that does not fit, or is no state dict; a factory that cannot be
            called; a module of TorchScript; weights that are no plain, finite numbers.
    """
    pictures: Ready | None = None
    notes: tuple[str, ...] = ()
    if source.kind == "factory":
        made = call_factory(
            parse_factory(source.location),
            source.options.factory_args,
            num_classes=source.options.num_classes,
        )
        module = made.module
        if source.options.num_classes is not None and not made.takes_classes:
            notes = (f"{source.location} takes no num_classes: it is compared with the outputs",)
    elif source.kind == "library":
        model = load_library_model(source.location, source.options)
        module, pictures = model.module, model.pictures
    elif source.kind == "module":
        module = _own_copy(source.module)
    else:
        module = create(source.spec)
        path = Path(source.location)
        if path.parent == WEIGHTS:
            _check_card(path)
        state = read_checkpoint(path)
        load_strictly(module, state, arch=source.spec.arch, location=source.location)
    module = _unwrapped(module)
    _check_kind(module, source.location)
    check_plain(module.state_dict(), source.location)
    if raised := _other_types(module):
        notes += (f"weights are {', '.join(raised)}, here float32",)
        module = module.float()
    return Loaded(module=module.cpu().eval(), pictures=pictures, notes=notes)


def _own_copy(module: Any) -> nn.Module:
    """A copy of the caller's module: eval mode and float32 must not reach the caller's own."""
    _check_kind(_unwrapped(module), type(module).__name__)
    torch = require("torch", extra="export")
    inner = _unwrapped(module)
    # what modules compute and keep, as weight_norm does, cannot be copied with its history
    computed = [
        value
        for part in inner.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    ]
    copies = {id(value): value.detach().clone() for value in computed}
    hint = "pass a function that makes it: package.module:factory"
    with user_code(f"{type(inner).__name__} cannot be copied", hint=hint):
        copied: nn.Module = copy.deepcopy(inner, copies)
    return copied


def _unwrapped(module: Any) -> Any:
    """The module itself, out of torch.compile and DataParallel."""
    nn = require("torch.nn", extra="export")
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        else:
            return module


def _check_kind(module: Any, location: str) -> None:
    """Refuses TorchScript, and what is no module.

    Raises:
        ArtifactError: says what is needed.
    """
    torch = require("torch", extra="export")
    if isinstance(module, torch.jit.ScriptModule):
        raise ArtifactError(
            f"{location} is TorchScript ({type(module).__name__}), which cannot be exported",
            hint="pass the torch.nn.Module that it was made from",
        )
    if not isinstance(module, torch.nn.Module):
        raise ArtifactError(
            f"a torch.nn.Module is needed, found an object of type {type(module).__name__}",
            hint="or an ONNX file, a zoo name, or package.module:factory",
        )
    quantized = [part for part in module.modules() if type(part).__module__.startswith(_QUANTIZED)]
    if quantized:
        raise ArtifactError(
            f"{location} is quantized already: it has {type(quantized[0]).__name__}",
            hint="pass the float model",
        )


def _other_types(module: nn.Module) -> list[str]:
    """The floating-point types of a module's tensors other than float32."""
    torch = require("torch", extra="export")
    types = {
        tensor.dtype
        for tensor in module.state_dict().values()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
    }
    return sorted(str(dtype).removeprefix("torch.") for dtype in types - {torch.float32})


def _check_card(path: Path) -> None:
    """Raises ArtifactError when bundled weights are not those that their card describes."""
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    digest = sha256_file(path)
    if digest != expected:
        raise ArtifactError(
            f"{path} is not what its card says: sha256 {digest[:12]}..., expected"
            f" {expected[:12]}...",
            hint="install the package again: the file was changed or cut short",
        )


def state_hash(module: nn.Module) -> str:
    """Returns the hex sha256 of a module's weights and structure.

    It stands for what a factory made, of which there is no file.
    """
    torch = require("torch", extra="export")
    digest = hashlib.sha256(repr(module).encode())
    for key, tensor in module.state_dict().items():
        digest.update(key.encode())
        if not isinstance(tensor, torch.Tensor):
            digest.update(repr(tensor).encode())
            continue
        # as bytes: NumPy has no bfloat16
        digest.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
