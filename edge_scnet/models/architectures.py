"""The networks of `edge_scnet.scnet` by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from edge_scnet.core.optional import require
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

# those of `edge_scnet.scnet.ARCHITECTURES`: a name is refused at once, and torch takes seconds
_NAMES = ("scnet50", "scnet50_v1d", "scnet101", "scnet101_v1d", "scnet20", "scnet29")


def _networks() -> Mapping[str, Callable[[int, int], nn.Module]]:
    """The networks, by name: functions of the number of classes and of input channels.

    Raises:
        MissingRuntimeError: torch is not installed.
    """
    require("torch", extra="export")
    # the module is written in torch, which takes over a second to import
    from edge_scnet.scnet import ARCHITECTURES

    return ARCHITECTURES


def architectures() -> list[str]:
    """Returns the names of the architectures that `--arch` takes, without torch."""
    return list(_NAMES)


def check_architecture(arch: str) -> None:
    """Raises ArtifactError, with the nearest name, where there is no such architecture."""
    names = architectures()
    if arch not in names:
        near = difflib.get_close_matches(arch, names, n=1)
        raise ArtifactError(
            f"unknown architecture {arch!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint=f"--arch is one of: {', '.join(names)}",
        )


def create(spec: ModelSpec) -> nn.Module:
    """Returns the network of a spec, untrained."""
    return _networks()[spec.arch](spec.num_classes or 1000, spec.channels)
