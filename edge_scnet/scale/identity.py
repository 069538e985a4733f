"""What a worker computes with: versions and instruction sets, which must be the same for all."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_scnet.__about__ import __version__
from edge_scnet.core.files import sha256_bytes, sha256_file
from edge_scnet.machine import environment

_PACKAGE = Path(__file__).parents[1]
_LIBRARIES = ("numpy", "onnx-ir", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What decides the bits of a result besides its inputs."""

    # (name, version): this package, Python, and the libraries that compute
    versions: tuple[tuple[str, str], ...]
    # sha256 of this package's source: two checkouts of one version may differ
    code: str
    architecture: str
    # instruction sets that change which kernels run
    features: tuple[str, ...]

    def differences(self, other: Identity) -> list[str]:
        """What differs, as in "numpy 2.3.1, not 2.2.0"; empty: nothing does.

        Args:
            other: what is expected.
        """
        own, wanted = dict(self.versions), dict(other.versions)
        words = [
            f"{name} {own.get(name, 'is not installed')}, not {wanted.get(name, 'installed')}"
            for name in dict.fromkeys([*own, *wanted])
            if own.get(name) != wanted.get(name)
        ]
        if not words and self.code != other.code:
            words = [f"another source of edge-scnet: {self.code[:12]}, not {other.code[:12]}"]
        return words + self.unlike(other)

    def unlike(self, other: Identity) -> list[str]:
        """How the processors differ in what they compute with; empty: they do not."""
        if (self.architecture, self.features) == (other.architecture, other.features):
            return []
        return [
            f"instruction sets {self.architecture} {' '.join(self.features) or 'none'},"
            f" not {other.architecture} {' '.join(other.features) or 'none'}"
        ]


@cache
def identity() -> Identity:
    """That of this process."""
    found = environment.collect()
    return Identity(
        versions=(
            ("edge-scnet", __version__),
            ("python", platform.python_version()),
            *environment.package_versions(_LIBRARIES),
        ),
        code=_code_hash(),
        architecture=found.architecture,
        features=found.features,
    )


def worker_name() -> str:
    """This process, as progress and errors name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _code_hash() -> str:
    files = sorted(_PACKAGE.rglob("*.py"))
    lines = (f"{file.relative_to(_PACKAGE).as_posix()} {sha256_file(file)}" for file in files)
    return sha256_bytes("\n".join(lines).encode())
