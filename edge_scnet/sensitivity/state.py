"""sensitivity.json: what was measured, and what the last search came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge_scnet.core.files import write_text
from edge_scnet.core.foreign import reason
from edge_scnet.core.json_records import convert, encode_pretty, read_json
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES, Manifest, stage_key
from edge_scnet.core.schema_number import check_schema
from edge_scnet.errors import ArtifactError
from edge_scnet.quantizer.recipe import Prepared
from edge_scnet.sensitivity import noise
from edge_scnet.sensitivity.noise import Sensitivities
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult

# 1 was called `format`; up to 2 every engine was timed.
SCHEMA: Final = 3
_READS = (1, 2, SCHEMA)
STATE = "sensitivity.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The fields that say whether the rest of the file can be used."""

    schema: Literal[3]
    # hash of the inputs and settings that it was measured with
    key: str
    # hash of the graph, the ranges and the scheme that the noise is of; None in files of older
    # versions
    of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(_Head):
    """The file before a search has ended."""

    sensitivities: Sensitivities | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched(Measured):
    """The file after a search, with its result for a reader; a later search does not need it."""

    limit: Limit
    chosen: Candidate | None
    seconds: float
    pareto: tuple[Candidate, ...]
    finished: bool


class State:
    """What was measured, in a file that is whole after every engine.

    A file of other inputs is not used, and is replaced by the first write. Engines count that were
    measured on as many images as `images` says; those measured on others stay in the file.
    """

    def __init__(self, path: Path, key: str, *, of: str | None = None) -> None:
        """Reads the file where there is one.

        Args:
            key: hash of the inputs and settings to measure with.
            of: hash of what the modules' noise is of, for `sensitivities_in`.

        Raises:
            ArtifactError: the file cannot be read, or is of a newer version.
        """
        self._path, self._key, self._of = path, key, of
        self.sensitivities: Sensitivities | None = None
        self.images: int | None = None
        self._measured: list[Candidate] = []
        if path.exists():
            self._read()

    @property
    def candidates(self) -> list[Candidate]:
        """The engines measured on these images, in the order of measuring."""
        return [candidate for candidate in self._measured if candidate.images == self.images]

    def find(self, names: Iterable[str]) -> Candidate | None:
        """The engine with these nodes in float, where it was measured."""
        wanted = tuple(sorted(names))
        return next(
            (candidate for candidate in self.candidates if candidate.keep_float == wanted), None
        )

    def add(self, candidate: Candidate) -> Candidate:
        """Adds an engine to the file; returns it with the number of images that it is of.

        Raises:
            StorageError: the file cannot be written.
        """
        kept = replace(candidate, images=self.images)
        self._measured.append(kept)
        self._write()
        return kept

    def add_sensitivities(self, sensitivities: Sensitivities) -> None:
        """Adds the modules' parts in the noise to the file.

        Raises:
            StorageError: the file cannot be written.
        """
        self.sensitivities = sensitivities
        self._write()

    def add_result(self, result: SearchResult, limit: Limit) -> None:
        """Adds what a search came to, and its limit, to the file.

        Raises:
            StorageError: the file cannot be written.
        """
        searched = Searched(
            schema=SCHEMA,
            key=self._key,
            of=self._of,
            sensitivities=self.sensitivities,
            candidates=tuple(self._measured),
            limit=limit,
            chosen=result.chosen,
            seconds=result.seconds,
            pareto=result.pareto,
            finished=result.finished,
        )
        write_text(self._path, encode_pretty(searched))

    def _write(self) -> None:
        measured = Measured(
            schema=SCHEMA,
            key=self._key,
            of=self._of,
            sensitivities=self.sensitivities,
            candidates=tuple(self._measured),
        )
        write_text(self._path, encode_pretty(measured))

    def _read(self) -> None:
        try:
            body = read_json(self._path)
            head = convert(dict, body)
            found = head.pop("format", head.get("schema"))
            check_schema(self._path, found, _READS, hint=f"rm {self._path}")
            body = {**head, "schema": SCHEMA}
            if convert(_Head, body).key != self._key:
                return
            measured = convert(Measured, body)
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"{self._path} cannot be read: {reason(error)}", hint=f"rm {self._path}"
            ) from error
        self.sensitivities, self._measured = measured.sensitivities, list(measured.candidates)


def sensitivities_of(
    prepared: Prepared,
    images: np.ndarray,
    state: State,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Sensitivities:
    """The modules' parts in the noise, from the state where they are known."""
    if state.sensitivities is None:
        state.add_sensitivities(noise.measure(prepared, images, progress=progress))
    assert state.sensitivities is not None
    return state.sensitivities


def sensitivities_in(path: Path, of: str) -> Sensitivities | None:
    """The modules' parts in the noise that a file holds, where they are of this graph.

    None: there is no such file, it is of another graph, of another version, or damaged. It is only
    looked at here: who measures again is told of the fault.

    Args:
        of: as `State` was given it.
    """
    try:
        measured = convert(Measured, read_json(path))
    except (OSError, ValueError):
        return None
    return measured.sensitivities if measured.of == of else None


def made_of(manifest: Manifest) -> str | None:
    """A hash of what the modules' noise is of; None: there is no graph yet.

    It is the float graph, the ranges and how they become codes. Which modules stay in float does
    not matter: the noise is that of each module in INT8.
    """
    entries = {name: manifest.artifacts.get(name) for name in (FLOAT_ONNX, RANGES)}
    hashes = {name: entry.sha256 for name, entry in entries.items() if entry is not None}
    quant = manifest.target.get("quant")
    if not isinstance(quant, dict) or len(hashes) < len(entries):
        return None
    settings = {key: value for key, value in quant.items() if key != "keep_float"}
    return stage_key("noise", hashes, {"quant": settings, "floor": manifest.floor})
