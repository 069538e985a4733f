"""trtexec's figures of both plans as a report of the same schema as a profile's: from a board's results.tar.gz, or made here.

The archive may come over any wire: everything in it is read by its field names, and what is missing is named. Accuracy is the
simulated one of the build; trtexec measures none.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet.compile.plans import INT8_FORM
from edge_scnet.config.target import TargetSpec, from_dict
from edge_scnet.core import manifest as artifact
from edge_scnet.core.manifest import REPORT, Manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.board import BoardState, board_state, parse_tegrastats
from edge_scnet.pipeline.assemble import BuildResult, judge, new_report, save_run, with_max_drop
from edge_scnet.pipeline.layers import explained, row_facts
from edge_scnet.report import verdict as gate
from edge_scnet.report.run_report import EngineReport, load_report
from edge_scnet.runtimes import get_backend
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.trtexec import check_round, parse_log, parse_profile, parse_times
from edge_scnet.stats.accuracy import latency_stats, paired_ratio

_MAX_BYTES = 64 << 20
STEMS = {"fp16": "engine-fp16", "int8": "engine"}
_AGAIN = "run build.sh again: it packs all or nothing"


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


def profile_results(path: Path, *, max_drop_pp: float | None = None) -> BuildResult:
    """Judges the INT8 plan by a board's figures, and renews the report of the build folder that the archive lies in.

    Raises:
        ArtifactError: no results of this build, damaged, or a figure is missing.
    """
    folder = path.parent
    manifest = artifact.load_manifest(folder)
    files = _read(path)
    state = board_state(
        parse_tegrastats(files.get("tegrastats.log", "")), nvpmodel=files.get("nvpmodel.txt", ""),
        jetson_clocks=files.get("jetson_clocks.txt", ""),
    )  # fmt: skip
    board = TimedBoard(facts=_board(files, path, manifest), state=state)
    return report_times(folder, manifest, files, board, where=path, hint=_AGAIN, max_drop_pp=max_drop_pp)


def report_times(
    folder: Path, manifest: Manifest, files: Mapping[str, str], board: TimedBoard, *, where: Path, hint: str,
    max_drop_pp: float | None, save: bool = True,
) -> BuildResult:  # fmt: skip
    """The report and the verdict of trtexec's texts, by file name as build.sh names them.

    Args:
        where: what messages name; hint: how to come by other texts.

    Raises:
        ArtifactError: a figure is missing or none.
    """
    plans = {precision: _plan(files, where, stem, hint) for precision, stem in STEMS.items()}
    target = with_max_drop(from_dict(manifest.target), max_drop_pp)
    known = load_report(folder / REPORT) if (folder / REPORT).is_file() else None
    simulated = [row for row in known.engines if row.latency is None] if known else []
    rows = [_row(precision, plans, board.facts, target) for precision in STEMS]
    findings = judge(simulated, target)
    speeds = [
        gate.Speed(name=row.name, speedup=row.speedup, throughput_per_second=row.throughput_per_second or 0.0) for row in rows
    ]
    speed = gate.judge_speed(speeds[1], speeds[:1], batch=target.batch, reference="FP16")
    findings.append(explained(speed, copies=rows[1].copies, float_convolutions=rows[1].float_convolutions))
    report, code = new_report(manifest, [*simulated, *rows], None, findings, target=target, stage_seconds={})
    facts = {**board.facts, "tensorrt": plans["int8"].tensorrt or board.facts.get("tensorrt")}
    # two boards of a kind are one machine to a gate, as in `environment.Environment`
    facts.setdefault("fingerprint", artifact.sha256_bytes(str(board.facts.get("board")).encode()))
    report = replace(report, environment=facts, board=board.state)
    if known is not None:
        report = replace(report, evaluation=known.evaluation, flips=known.flips)
    if save:
        save_run(report, folder)
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
        raise ArtifactError(f"{path} lacks {name}", hint=_AGAIN)
    try:
        return json.loads(files[name])
    except ValueError as error:
        raise ArtifactError(f"{path}: {name} is no JSON: {error}", hint=_AGAIN) from error


def _plan(files: Mapping[str, str], where: Path, stem: str, hint: str) -> PlanTimes:
    rounds = sorted(name for name in files if re.fullmatch(rf"{re.escape(stem)}\.\d+\.times\.json", name))
    if not rounds:
        raise ArtifactError(f"{where} lacks {stem}.1.times.json", hint=hint)
    logs = [parse_log(files.get(name.replace(".times.json", ".log"), "")) for name in rounds]
    try:
        times = tuple(parse_times(files[name]) for name in rounds)
        rates = [check_round(log, block) for log, block in zip(logs, times, strict=True)]
        profile = parse_profile(files.get(f"{stem}.profile.json", "[]"))
        return PlanTimes(
            rounds_ns=times, queries_per_second=sorted(rates)[len(rates) // 2],
            layers=trt_layers.from_inspector(files.get(f"{stem}.layers.json", "")),
            layer_times_ms={layer.name: layer.median_ms for layer in profile}, tensorrt=logs[0].version,
        )  # fmt: skip
    except ValueError as error:
        raise ArtifactError(f"{where}: the figures of {stem}: {error}", hint=hint) from error


def _row(precision: str, plans: dict[str, PlanTimes], board: Mapping[str, Any], target: TargetSpec) -> EngineReport:
    plan = plans[precision]
    layers = trt_layers.executed(plan.layers)
    facts = row_facts(layers, get_backend("tensorrt"), int8=precision == "int8", times_ms=plan.layer_times_ms)
    return EngineReport(
        name=precision, runtime="tensorrt", file=f"{STEMS[precision]}.plan", sha256=str(board.get(f"{precision}_sha256", "")),
        size_bytes=int(board.get(f"{precision}_bytes", 0)), precision_hint="f32",
        load_seconds=None, warm_up_seconds=None, latency=latency_stats(plan.rounds_ns),
        speedup=None if precision == "fp16" else paired_ratio(plans["fp16"].rounds_ns, plan.rounds_ns),
        throughput_per_second=plan.queries_per_second * target.batch, memory=None, accuracy=None, **facts,
    )  # fmt: skip
