"""What build.sh measured on a board, read back: trtexec's exports as a report of the same schema as a profile's.

The archive may come over any wire, and trtexec's formats differ by version: everything is read by its field names, and what is
missing is named. Accuracy is the simulated one of the build; trtexec measures none.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet import artifact, gate
from edge_scnet.artifact import Manifest
from edge_scnet.backends import trt_layers
from edge_scnet.engines import REPORT, BuildResult, judge, new_report, with_max_drop
from edge_scnet.errors import ArtifactError
from edge_scnet.metrics import latency_stats, paired_ratio
from edge_scnet.plans import INT8_FORM
from edge_scnet.report import EngineReport, load_report, save_report
from edge_scnet.target import from_dict

_MAX_BYTES = 64 << 20
_STEMS = {"fp16": "engine-fp16", "int8": "engine"}
_THROUGHPUT = re.compile(r"Throughput: ([0-9.]+) qps")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTimes:
    """One plan's figures."""

    rounds_ns: tuple[tuple[int, ...], ...]  # GPU compute times of single queries, by round
    queries_per_second: float  # the median over the rounds
    layers: tuple[trt_layers.PlanLayer, ...]


def profile_results(path: Path, *, max_drop_pp: float | None = None) -> BuildResult:
    """Judges the INT8 plan by a board's figures, and renews the report of the build folder that the archive lies in.

    Raises:
        ArtifactError: no results of this build, damaged, or a figure is missing.
    """
    folder = path.parent
    manifest = artifact.load_manifest(folder)
    files = _read(path)
    board = _board(files, path, manifest)
    plans = {precision: _plan(files, path, stem) for precision, stem in _STEMS.items()}
    target = with_max_drop(from_dict(manifest.target), max_drop_pp)
    known = load_report(folder / REPORT) if (folder / REPORT).is_file() else None
    simulated = [row for row in known.engines if row.latency is None] if known else []
    rows = [_row(precision, plans, board, target.batch) for precision in _STEMS]
    findings = judge(simulated, target)
    speeds = [
        gate.Speed(name=row.name, speedup=row.speedup, throughput_per_second=row.throughput_per_second or 0.0) for row in rows
    ]
    findings.append(gate.judge_speed(speeds[1], speeds[:1], batch=target.batch, reference="FP16"))
    report, code = new_report(manifest, [*simulated, *rows], None, findings, target=target, stage_seconds={})
    report = replace(report, environment=board, evaluation=known.evaluation if known else None)
    save_report(report, folder / REPORT)
    return BuildResult(folder=folder, manifest=manifest, report=report, exit_code=code)


def _read(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if not member.isreg() or "/" in name or member.size > _MAX_BYTES:
                    raise ArtifactError(f"{path} holds {member.name!r}, which no results of build.sh hold")
                source = archive.extractfile(member)
                assert source is not None
                found[name] = source.read().decode("utf-8", errors="replace")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactError(f"{path} is no archive of results, or is damaged: {error}", hint="copy it again") from error
    return found


def _board(files: dict[str, str], path: Path, manifest: Manifest) -> dict[str, Any]:
    board = _json(files, path, "board.json")
    form = manifest.artifacts.get(INT8_FORM)
    if not isinstance(board, dict) or form is None or board.get("engine_sha256") != form.sha256:
        raise ArtifactError(
            f"{path} is not of the {INT8_FORM} in {path.parent}", hint="run build.sh of this build's bundle, or build again"
        )
    return board


def _json(files: dict[str, str], path: Path, name: str) -> Any:
    if name not in files:
        raise ArtifactError(f"{path} lacks {name}", hint="run build.sh again: it packs all or nothing")
    try:
        return json.loads(files[name])
    except ValueError as error:
        raise ArtifactError(f"{path}: {name} is no JSON: {error}", hint="run build.sh again") from error


def _plan(files: dict[str, str], path: Path, stem: str) -> PlanTimes:
    rounds = sorted(name for name in files if re.fullmatch(rf"{re.escape(stem)}\.\d+\.times\.json", name))
    if not rounds:
        raise ArtifactError(f"{path} lacks {stem}.1.times.json", hint="run build.sh again: it packs all or nothing")
    rates = [parse_throughput(files.get(name.replace(".times.json", ".log"), "")) for name in rounds]
    try:
        return PlanTimes(
            rounds_ns=tuple(parse_times(files[name]) for name in rounds),
            queries_per_second=sorted(rates)[len(rates) // 2],
            layers=trt_layers.from_inspector(files.get(f"{stem}.layers.json", "")),
        )
    except ValueError as error:
        raise ArtifactError(f"{path}: the figures of {stem}: {error}", hint="run build.sh again") from error


def parse_times(text: str) -> tuple[int, ...]:
    """GPU compute times in ns, of trtexec's --exportTimes.

    Raises:
        ValueError: no such JSON, or no times in it.
    """
    try:
        times = tuple(round(float(row["computeMs"]) * 1e6) for row in json.loads(text))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no computeMs: {error}") from error
    if not times:
        raise ValueError("no queries were timed")
    return times


def parse_throughput(text: str) -> float:
    """Queries per second that trtexec printed.

    Raises:
        ArtifactError: it printed none.
    """
    if (match := _THROUGHPUT.search(text)) is None:
        raise ArtifactError("a log of trtexec has no line 'Throughput: ... qps'", hint="run build.sh again")
    return float(match[1])


def _row(precision: str, plans: dict[str, PlanTimes], board: dict[str, Any], batch: int) -> EngineReport:
    plan = plans[precision]
    kernels = [layer for layer in plan.layers if layer.kind in trt_layers.CONVOLUTIONS and layer.reads]
    others = [layer for layer in plan.layers if layer.kind not in trt_layers.CONVOLUTIONS and layer.reads]
    return EngineReport(
        name=precision, runtime="tensorrt", file=f"{_STEMS[precision]}.plan", sha256="",
        size_bytes=int(board.get(f"{precision}_bytes", 0)), precision_hint="f32",
        convolutions=dict(Counter(layer.reads[0] for layer in kernels)), other_layers=dict(Counter(x.reads[0] for x in others)),
        load_seconds=None, warm_up_seconds=None, latency=latency_stats([ns for block in plan.rounds_ns for ns in block]),
        speedup=None if precision == "fp16" else paired_ratio(plans["fp16"].rounds_ns, plan.rounds_ns),
        throughput_per_second=plan.queries_per_second * batch, memory=None, accuracy=None,
    )  # fmt: skip
