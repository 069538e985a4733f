"""trtexec's figures of both plans and of their board.

They come from a board's results.tar.gz, or from what trtexec exported here. The archive may come
over any wire: everything in it is read by its field names, and what is missing is named. trtexec
measures no accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_scnet.core.archive import DAMAGED, Limits, archive_files, content
from edge_scnet.core.files import sha256_bytes
from edge_scnet.core.foreign import reason
from edge_scnet.core.manifest import (
    BOARD,
    FP16_FORM,
    INT8_FORM,
    PLAN_FILES,
    TIMED_PLANS,
    Manifest,
)
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.board import BoardState, board_state, parse_tegrastats
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.board_json import BoardJson, decode_board
from edge_scnet.runtimes.tensorrt.trtexec import check_round, parse_log, parse_profile, parse_times
from edge_scnet.stats.figures import GraphTimes
from edge_scnet.stats.timing import graph_times

_RUN_AGAIN = "run build.sh again: it packs all or nothing"
# an engine of 0.1 ms has 20 times longer lists of times than one of 2 ms: 6 MB each, of 24
_LIMITS = Limits(file_bytes=24 << 20, all_bytes=192 << 20, hint=_RUN_AGAIN)
_NO_CAPTURE = "it contains operations that are not permitted under CUDA graph capture mode"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.(json|log|txt)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What trtexec wrote, and how to speak of it."""

    # by file name, as build.sh names them
    texts: Mapping[str, str]
    # what messages name
    where: Path
    # how to come by others
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTimes:
    """One plan's figures."""

    # GPU compute times of single queries, by round
    rounds_ns: tuple[tuple[int, ...], ...]
    # queries per second, by round
    rates_per_second: tuple[float, ...]
    layers: tuple[trt_layers.PlanLayer, ...]
    layer_times_ms: dict[str, float]
    # version, as trtexec says
    tensorrt: str | None
    # where it was timed with and without a CUDA graph: the figures above are of the faster
    graph: GraphTimes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPlan:
    """A plan's file and its figures."""

    size_bytes: int
    sha256: str
    times: PlanTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBoard:
    """Both plans as trtexec timed them, and the board."""

    # INT8's and its FP16 twin's; of a board without INT8 FP16's and FP32's
    judged: TimedPlan
    reference: TimedPlan
    # of both, the reference's first
    precisions: tuple[str, str]
    # what a report says of the board and the timing
    environment: dict[str, Any]
    # what the board did meanwhile
    state: BoardState | None


def read_results(path: Path, manifest: Manifest) -> TimedBoard:
    """The figures of a board's results.tar.gz.

    Args:
        manifest: of the build that the board's bundle came from.

    Raises:
        ArtifactError: no results of this build, damaged, or a figure is missing.
    """
    exports = Exports(texts=_read_archive(path), where=path, hint=_RUN_AGAIN)
    board = _read_board(exports)
    precisions = TIMED_PLANS["int8" if INT8_FORM in manifest.artifacts else "fp16"]
    name = INT8_FORM if precisions[1] == "int8" else FP16_FORM
    form = manifest.artifacts.get(name)
    if form is None or board.engine_sha256 != form.sha256:
        raise ArtifactError(
            f"{path} is not of the {name} in {path.parent}",
            hint="run build.sh of this build's bundle, or build again",
        )
    state = board_state(
        parse_tegrastats(exports.texts.get("tegrastats.log", "")),
        nvpmodel=exports.texts.get("nvpmodel.txt", ""),
        jetson_clocks=exports.texts.get("jetson_clocks.txt", ""),
    )
    try:
        files = [board.plan_file(precision) for precision in precisions]
    except ValueError as error:
        raise ArtifactError(f"{path}: {BOARD}: {error}", hint=_RUN_AGAIN) from error
    reference, judged = (
        timed_plan(exports, precision, *file)
        for precision, file in zip(precisions, files, strict=True)
    )
    rounds = len(judged.times.rounds_ns), len(reference.times.rounds_ns)
    if rounds[0] != rounds[1]:
        raise ArtifactError(
            f"{path} has {rounds[0]} rounds of the {precisions[1].upper()} plan and {rounds[1]} of"
            f" the {precisions[0].upper()} plan; each round times both",
            hint=_RUN_AGAIN,
        )
    return TimedBoard(
        judged=judged,
        reference=reference,
        precisions=precisions,
        environment={
            **{key: value for key, value in asdict(board).items() if value is not None},
            "tensorrt": judged.times.tensorrt or board.tensorrt,
            # two boards of a kind are one machine to a gate, as in `environment.Environment`
            "fingerprint": sha256_bytes(board.board.encode()),
        },
        state=state,
    )


def timed_plan(exports: Exports, precision: str, size_bytes: int, sha256: str) -> TimedPlan:
    """A plan with its figures out of trtexec's exports.

    Args:
        precision: "fp32", "fp16" or "int8".

    Raises:
        ArtifactError: a figure is missing or none.
    """
    times = _plan_times(exports, Path(PLAN_FILES[precision]).stem)
    return TimedPlan(size_bytes=size_bytes, sha256=sha256, times=times)


def _read_archive(path: Path) -> dict[str, str]:
    """The texts in a results.tar.gz, by file name."""
    try:
        return {
            name: content(source).decode("utf-8", errors="replace")
            for name, source in archive_files(
                path,
                _name_in_results,
                limits=_LIMITS,
                refusal="which no results of build.sh hold",
            )
        }
    except DAMAGED as error:
        raise ArtifactError(
            f"{path} is not an archive of results, or is damaged: {reason(error)}",
            hint="copy it again",
        ) from error


def _name_in_results(member: str) -> str | None:
    name = member.removeprefix("./")
    return name if _NAME.fullmatch(name) else None


def _read_board(exports: Exports) -> BoardJson:
    if BOARD not in exports.texts:
        raise ArtifactError(f"{exports.where} lacks {BOARD}", hint=exports.hint)
    try:
        where = f"{exports.where}: {BOARD}"
        return decode_board(exports.texts[BOARD], where=where, hint=exports.hint)
    except ValueError as error:
        raise ArtifactError(f"{exports.where}: {BOARD}: {error}", hint=exports.hint) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rounds:
    """The rounds in which a plan was timed in one way."""

    times_ns: tuple[tuple[int, ...], ...]
    rates_per_second: tuple[float, ...]
    tensorrt: str | None
    # trtexec recorded no CUDA graph in one of them
    without_graph: bool


def _rounds(texts: Mapping[str, str], stem: str, way: str = "") -> _Rounds | None:
    """A plan's rounds; None where there are none.

    Args:
        way: between the number of a round and what its files are.

    Raises:
        ValueError: figures are missing, or none.
    """
    ending = rf"{re.escape(way)}\.times\.json"
    names = sorted(name for name in texts if re.fullmatch(rf"{re.escape(stem)}\.\d+{ending}", name))
    if not names:
        return None
    logs = [parse_log(texts.get(name.replace(".times.json", ".log"), "")) for name in names]
    times = tuple(parse_times(texts[name]) for name in names)
    return _Rounds(
        times_ns=times,
        rates_per_second=tuple(map(check_round, logs, times)),
        tensorrt=logs[0].version,
        without_graph=any(log.without_graph for log in logs),
    )


def _graph_times(told: _Rounds, plain: _Rounds | None) -> GraphTimes | None:
    """What a CUDA graph makes of a plan's time.

    Args:
        told: timed with a graph where `plain` was timed without.

    Raises:
        ValueError: the rounds do not come in pairs.
    """
    if told.without_graph:
        return graph_times((plain or told).times_ns, (), _NO_CAPTURE)
    return None if plain is None else graph_times(plain.times_ns, told.times_ns)


def _plan_times(exports: Exports, stem: str) -> PlanTimes:
    texts, where, hint = exports.texts, exports.where, exports.hint
    try:
        told, plain = _rounds(texts, stem), _rounds(texts, stem, ".plain")
        if told is None:
            raise ArtifactError(f"{where} lacks {stem}.1.times.json", hint=hint)
        graph = _graph_times(told, plain)
        rounds = told if plain is None or (graph is not None and graph.used) else plain
        profile = parse_profile(texts.get(f"{stem}.profile.json", "[]"))
        return PlanTimes(
            graph=graph,
            rounds_ns=rounds.times_ns,
            rates_per_second=rounds.rates_per_second,
            layers=trt_layers.from_inspector(texts.get(f"{stem}.layers.json", "")),
            layer_times_ms={layer.name: layer.median_ms for layer in profile},
            tensorrt=rounds.tensorrt,
        )
    except ValueError as error:
        raise ArtifactError(f"{where}: the figures of {stem}: {error}", hint=hint) from error
