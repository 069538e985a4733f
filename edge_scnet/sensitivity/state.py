"""Sensitivity.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.errors import ArtifactError
from edge_scnet.quantize.recipe import Prepared
from edge_scnet.sensitivity import noise as sensitivity
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate

FORMAT = 1


class State:
    """What was measured, in a file that is whole after every engine; of other inputs it is begun
    anew.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self.sensitivities: Sensitivities | None = None
        self.candidates: list[Candidate] = []
        if path.exists():
            self._read()

    def find(self, names: Iterable[str]) -> Candidate | None:
        wanted = tuple(sorted(names))
        return next(
            (candidate for candidate in self.candidates if candidate.keep_float == wanted), None
        )

    def add(self, candidate: Candidate) -> None:
        self.candidates.append(candidate)
        self.write()

    def write(self, **result: Any) -> None:
        body = {
            "format": FORMAT,
            "key": self._key,
            "sensitivities": asdict(self.sensitivities) if self.sensitivities else None,
            "candidates": [asdict(candidate) for candidate in self.candidates],
            **result,
        }
        with write_atomic(self._path) as temporary:
            temporary.write_text(json.dumps(body, indent=1), encoding="utf-8")

    def _read(self) -> None:
        try:
            body = json.loads(self._path.read_text(encoding="utf-8"))
            if (body["format"], body["key"]) != (FORMAT, self._key):
                return
            if (known := body["sensitivities"]) is not None:
                modules = tuple(ModuleNoise(**module) for module in known.pop("modules"))
                self.sensitivities = Sensitivities(modules=modules, **known)
            self.candidates = [
                Candidate(**{**entry, "keep_float": tuple(entry["keep_float"])})
                for entry in body["candidates"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{self._path} cannot be read: {error}", hint=f"rm {self._path}"
            ) from error


def sensitivities_of(
    prepared: Prepared,
    images: np.ndarray,
    state: State,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Sensitivities:
    """The modules' parts in the noise, from the state where they are known."""
    if state.sensitivities is None:
        state.sensitivities = sensitivity.measure(prepared, images, progress=progress)
        state.write()
    return state.sensitivities
