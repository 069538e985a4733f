"""What the page tells of a run beside its figures: input, target, images, and all facts as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from edge_scnet.core.preprocessing_words import words_of_facts
from edge_scnet.report import notes
from edge_scnet.report.mixed import mixed_words
from edge_scnet.report.page_head import limit_words
from edge_scnet.report.run_report import RunReport

_RUNTIMES = {
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "tensorrt": "TensorRT",
    "tensorrt-rtx": "TensorRT-RTX",
}


def context(report: RunReport) -> Iterator[tuple[str, str]]:
    """Yields names and words of what decides what all figures are worth."""
    if report.provenance is not None:
        yield "Input", words_of_facts(report.provenance.preprocessing)
    yield "Target", target_words(report)
    if report.evaluation is not None:
        images = report.evaluation
        skipped = f", {images.skipped:,} skipped" if images.skipped else ""
        yield (
            "Images",
            f"{images.images:,} of {images.name}, {images.labels or 'no labels'}{skipped}",
        )
    if report.task is not None:
        yield "Judged by", report.task


def target_words(report: RunReport) -> str:
    """Returns the target in words: its name, runtime, board or processor, and the limit."""
    settings = {} if report.provenance is None else report.provenance.settings
    parts = [*_runtime(report, settings), *_hardware(report, settings)]
    if report.provenance is not None and settings.get("precision") == "int8":
        parts.append(f"{report.provenance.weight_bits}-bit weights")
    parts.append(f"batch {report.batch}")
    judged = next((finding for finding in report.findings if finding.kind == "accuracy"), None)
    limit = limit_words(judged)
    end = "" if judged is None or limit is None else f"; limit of the {judged.metric}: {limit}"
    return f"{report.target}: {', '.join(parts)}{end}"


def runtime_words(report: RunReport) -> str:
    """Returns the runtime with its version, where it is told."""
    settings = {} if report.provenance is None else report.provenance.settings
    return ", ".join(_runtime(report, settings))


def _runtime(report: RunReport, settings: Mapping[str, Any]) -> Iterator[str]:
    name = settings.get("runtime")
    if not isinstance(name, str):
        names = dict.fromkeys(row.runtime for row in report.engines if not row.simulated)
        yield from (_RUNTIMES.get(name, name) for name in names)
        return
    packages = report.environment.get("packages")
    board = settings.get("board")
    version = board.get("tensorrt") if isinstance(board, dict) else None
    if version is None and isinstance(packages, dict):
        version = packages.get(name)
    yield _RUNTIMES.get(name, name) + (f" {version}" if isinstance(version, str) else "")


def _hardware(report: RunReport, settings: Mapping[str, Any]) -> Iterator[str]:
    board = settings.get("board")
    if isinstance(board, dict):
        if isinstance(board.get("jetpack"), str):
            yield f"JetPack {board['jetpack']}"
        if isinstance(board.get("compute_capability"), str):
            yield f"compute capability {board['compute_capability']}"
        return
    isa = settings.get("isa")
    if isa == "native":
        yield "the instruction set of the machine that built it"
    elif isinstance(isa, str) and isa != "none":
        yield f"{isa.upper().replace('_', '-')} or better"


def when(created: str) -> str:
    """Returns a report's time as people write it; as it is where it is no such time."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = " UTC" if time.utcoffset() is not None and not time.utcoffset() else ""
    return f"{time.day} {time:%B %Y, %H:%M}{zone}"


def made_by(report: RunReport) -> str:
    """Returns the tool, with the version that measured."""
    version = report.environment.get("edge_scnet")
    return f"edge-scnet {version}" if isinstance(version, str) else "edge-scnet"


def details(report: RunReport) -> Iterator[tuple[str, str]]:
    """Yields names and values of everything that the page does not show elsewhere."""
    yield "time", report.created_utc
    for key, value in report.environment.items():
        yield from flat(key, value)
    for stage, seconds in report.stage_seconds.items():
        yield f"{stage}, s", f"{seconds:g}"
    for row in report.engines:
        yield row.name, f"{row.file}, sha256 {row.sha256[:16]}"
    if (load := report.load) is not None:
        yield (
            "other load",
            f"{load.others_cores:.2f} of {load.cores} cores, {load.stolen_percent:.1f} % stolen",
        )
    if (images := report.evaluation) is not None:
        yield "evaluation images", f"{images.name}, sha256 {images.sha256}"
    if (inputs := report.provenance) is not None:
        yield "checkpoint", ", ".join(inputs.weights)
        yield "calibration images", inputs.calibration_images or "-"
        yield from flat("settings", inputs.settings)


def flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yields a value of JSON as text, a table's values by their path; None is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(f"{name}, {key}", inner)
    elif value is not None:
        yield name, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 100_000 else str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, Sequence):
        return ", ".join(map(_plain, value)) or "none"
    return "none" if value is None else str(value)


def running(report: RunReport) -> tuple[str, ...]:
    """Returns how the engines ran, and where their time goes: `notes.facts` without what the page
    shows elsewhere.
    """
    return notes.facts(replace(report, task=None, mixed=None))


def advice(report: RunReport) -> tuple[str, ...]:
    """Returns what to do about an engine that misses its limit."""
    return () if report.mixed is None else tuple(mixed_words(report.mixed))
