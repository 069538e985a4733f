"""The weights of the examples' networks, made by `edge_scnet.examples.training`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.files import sha256_file
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent


def load_weights(name: str) -> dict[str, Tensor]:
    """The tensors of an example's network.

    Raises:
        ArtifactError: the file is not the one of its card.
    """
    path = FOLDER / f"{name}.safetensors"
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    digest = sha256_file(path)
    if digest != expected:
        raise ArtifactError(
            f"{path} is not what its card says: sha256 {digest[:12]}..., expected"
            f" {expected[:12]}...",
            hint="install edge-scnet anew",
        )
    tensors: dict[str, Tensor] = require("safetensors.torch", extra="export").load_file(path)
    return tensors
