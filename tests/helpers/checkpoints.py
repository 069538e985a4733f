"""Checkpoints that tests write and load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError
from edge_scnet.models import zoo
from edge_scnet.models.zoo import ModelSource, resolve

State = dict[str, Tensor]
needs_bundled = pytest.mark.skipif(not zoo.MODELS, reason="edge_scnet/weights holds no model")


def checkpoint(path: Path, arch: str = "scnet20", **options: Any) -> ModelSource:
    return resolve(str(path), ModelOptions(arch=arch, **options))


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refused(call: Any, *arguments: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        call(*arguments)
    assert "\n" not in caught.value.message and "\x1b" not in caught.value.message
    return caught.value
