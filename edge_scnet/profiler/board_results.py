"""trtexec's figures of both plans as a report of the same schema as a profile's: from a board's
results.tar.gz, or made here.

The archive may come over any wire: everything in it is read by its field names, and what is missing
is named. Accuracy is the simulated one of the build; trtexec measures none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_scnet.core.archive import DAMAGED, archive_files
from edge_scnet.core.manifest import INT8_FORM, Manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.board import BoardState
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.trtexec import check_round, parse_log, parse_profile, parse_times

_MAX_BYTES = 64 << 20
RUN_AGAIN = "run build.sh again: it packs all or nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTimes:
    """One plan's figures."""

    rounds_ns: tuple[tuple[int, ...], ...]  # GPU compute times of single queries, by round
    queries_per_second: float  # the median over the rounds
    layers: tuple[trt_layers.PlanLayer, ...]
    layer_times_ms: dict[str, float]
    tensorrt: str | None  # as trtexec says


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBoard:
    """What was timed and on what: `facts` goes into the report as its environment."""

    facts: dict[str, Any]  # tensorrt, board, timing, and per plan "int8_bytes", "int8_sha256"
    state: BoardState | None


def read_archive(path: Path) -> dict[str, str]:
    """The texts in a results.tar.gz, by file name.

    Raises:
        ArtifactError: it is no such archive, is damaged, or holds what build.sh does not write.
    """
    try:
        return {
            name: source.read().decode("utf-8", errors="replace")
            for name, source in archive_files(
                path,
                _name_in_results,
                most_bytes=_MAX_BYTES,
                refusal="which no results of build.sh hold",
            )
        }
    except DAMAGED as error:
        raise ArtifactError(
            f"{path} is no archive of results, or is damaged: {error}", hint="copy it again"
        ) from error


def _name_in_results(member: str) -> str | None:
    name = member.removeprefix("./")
    return None if "/" in name else name


def read_board(files: dict[str, str], path: Path, manifest: Manifest) -> dict[str, Any]:
    board = _json(files, path, "board.json")
    form = manifest.artifacts.get(INT8_FORM)
    if not isinstance(board, dict) or form is None or board.get("engine_sha256") != form.sha256:
        raise ArtifactError(
            f"{path} is not of the {INT8_FORM} in {path.parent}",
            hint="run build.sh of this build's bundle, or build again",
        )
    return board


def _json(files: dict[str, str], path: Path, name: str) -> Any:
    if name not in files:
        raise ArtifactError(f"{path} lacks {name}", hint=RUN_AGAIN)
    try:
        return json.loads(files[name])
    except ValueError as error:
        raise ArtifactError(f"{path}: {name} is no JSON: {error}", hint=RUN_AGAIN) from error


def plan_times(files: Mapping[str, str], where: Path, stem: str, hint: str) -> PlanTimes:
    rounds = sorted(
        name for name in files if re.fullmatch(rf"{re.escape(stem)}\.\d+\.times\.json", name)
    )
    if not rounds:
        raise ArtifactError(f"{where} lacks {stem}.1.times.json", hint=hint)
    logs = [parse_log(files.get(name.replace(".times.json", ".log"), "")) for name in rounds]
    try:
        times = tuple(parse_times(files[name]) for name in rounds)
        rates = [check_round(log, block) for log, block in zip(logs, times, strict=True)]
        profile = parse_profile(files.get(f"{stem}.profile.json", "[]"))
        return PlanTimes(
            rounds_ns=times,
            queries_per_second=sorted(rates)[len(rates) // 2],
            layers=trt_layers.from_inspector(files.get(f"{stem}.layers.json", "")),
            layer_times_ms={layer.name: layer.median_ms for layer in profile},
            tensorrt=logs[0].version,
        )
    except ValueError as error:
        raise ArtifactError(f"{where}: the figures of {stem}: {error}", hint=hint) from error
