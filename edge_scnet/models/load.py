"""Loads PyTorch modules: of checkpoints, bundled or not, and of users' factories."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge_scnet.core.files import sha256_file
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.models.architectures import create
from edge_scnet.models.checkpoint import load_strictly, read_checkpoint
from edge_scnet.models.zoo import WEIGHTS, ModelSource

if TYPE_CHECKING:
    from torch import nn


def load_torch(source: ModelSource) -> nn.Module:
    """Returns the PyTorch module of a checkpoint or a factory, in eval mode.

    Raises:
        ArtifactError: a checkpoint that does not fit, or is no state dict; a factory that cannot be
            called; weights that are NaN or infinite.
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
        load_strictly(module, state, arch=source.spec.arch, location=source.location)
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
