"""The model card: a page about an engine for those who decide whether to use it.

Its front matter is that of the Hugging Face Hub (huggingface/hub-docs, modelcard.md); every figure
is the report's, and what a report cannot know is left to be filled in, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_scnet.__about__ import __version__
from edge_scnet.core.preprocessing_words import input_words
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.yaml_text import lines as yaml_lines
from edge_scnet.report import notes
from edge_scnet.report.markdown import escaped, in_code
from edge_scnet.report.run_report import EngineReport, RunReport
from edge_scnet.report.summary import summary_rows

CARD = "card.md"
_FILL_IN = "fill in"
_MOST_CLASSES = 100
# Names of the Hub for our tasks on pictures; it has none for the others.
_PIPELINES = {
    "classification": "image-classification",
    "binary": "image-classification",
    "multilabel": "image-classification",
    "detection": "object-detection",
    "segmentation": "image-segmentation",
    "keypoints": "keypoint-detection",
    "embedding": "image-feature-extraction",
    "features": "image-feature-extraction",
}
# Whose rules a placement of Q/DQ follows.
_PLACED_FOR = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT"}


def model_card(facts: PackageFacts) -> str:
    """Returns the card: YAML between lines of dashes, then Markdown."""
    return "\n".join(["---", *_front_matter(facts), "---", "", *_body(facts)]) + "\n"


def _front_matter(facts: PackageFacts) -> Iterator[str]:
    yield "# what edge-scnet cannot know is empty and marked: fill in"
    yield f"license: other  # {_FILL_IN}: an id of the Hub, or other with its name and a link"
    yield f'license_name: ""  # {_FILL_IN}'
    yield f'license_link: ""  # {_FILL_IN}'
    yield f"datasets: []  # {_FILL_IN}: the ids of the data that the network was trained on"
    fields: dict[str, Any] = {"library_name": facts.runtime}
    pipeline = _pipeline(facts)
    if pipeline is not None:
        fields["pipeline_tag"] = pipeline
    fields["tags"] = ["edge-scnet", facts.precision, facts.runtime, "quantized"]
    if facts.precision != "int8":
        fields["tags"].remove("quantized")
    metrics = list(_metrics(facts.row))
    if metrics:
        fields["metrics"] = [metric["type"] for metric in metrics]
    yield from yaml_lines(fields)
    index = _index(facts, pipeline, metrics)
    if index is not None:
        yield from yaml_lines({"model-index": [index]})


def _pipeline(facts: PackageFacts) -> str | None:
    if facts.task is None or not facts.model.takes_pictures:
        return None
    return _PIPELINES.get(facts.task.kind)


def _metrics(row: EngineReport | None) -> Iterator[dict[str, Any]]:
    """Yields figures against the ground truth, in percent where they are shares."""
    accuracy = None if row is None else row.accuracy
    if accuracy is None:
        return
    if accuracy.labels is not None:
        labels = accuracy.labels
        yield {"type": "accuracy", "value": _rounded(labels.top1_percent), "name": "top-1, %"}
        if labels.top5_percent is not None:
            value = _rounded(labels.top5_percent)
            yield {"type": "top_5_accuracy", "value": value, "name": "top-5, %"}
    if accuracy.task is not None and accuracy.task.truth is not None:
        for metric in accuracy.task.metrics:
            if metric.reference is not None:
                name = f"{metric.name}{metric.unit and ', ' + metric.unit}"
                yield {"type": metric.name, "value": _rounded(metric.value), "name": name}


def _rounded(value: float) -> float:
    """As tables show it: four digits behind the point at most."""
    return round(value, 4)


def _index(
    facts: PackageFacts, pipeline: str | None, metrics: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The Hub's `model-index`; None: nothing was measured against ground truth."""
    images = None if facts.report is None else facts.report.evaluation
    if images is None or not metrics:
        return None
    kind = facts.task.kind if facts.task is not None else "other"
    task = {"type": pipeline or kind}
    data = {"type": images.name, "name": f"{images.name}, {images.images} samples"}
    result = {"task": task, "dataset": data, "metrics": list(metrics)}
    return {"name": facts.model.name, "results": [result]}


def _body(facts: PackageFacts) -> Iterator[str]:
    yield f"# {escaped(facts.model.name)}"
    yield ""
    version = f" {escaped(facts.runtime_version)}" if facts.runtime_version else ""
    yield (
        f"{facts.precision.upper()} engine of `{in_code(facts.model.arch)}` for the target"
        f" {escaped(facts.target.name)} ({escaped(facts.target.title)}); {facts.runtime_title}"
        f"{version}. Written by edge-scnet {__version__} from the build's manifest and report."
    )
    if facts.held_back is not None:
        yield ""
        yield f"**This engine did not ship:** {escaped(facts.held_back)}"
    for title, section in (
        ("Use", _use(facts)),
        ("Figures", _figures(facts)),
        ("Machine", _machine(facts.report)),
        ("Data", _data(facts)),
        ("Quantization", _quantization(facts)),
        ("Limits", _limits(facts)),
        ("Licence", _licence()),
    ):
        yield from ("", f"## {title}", "", *section)


def _use(facts: PackageFacts) -> Iterator[str]:
    yield f"- Input: {escaped(input_words(facts.model))}."
    inside = ": the pixels as they are, the preprocessing is in it" if facts.input.is_bytes else ""
    sizes = " x ".join(map(str, facts.input_sizes))
    yield f"- The engine takes {facts.input.dtype} {sizes}{inside}."
    kind = "not told" if facts.task is None else facts.task.kind
    yield f"- Task: {escaped(kind)}."
    classes = facts.model.classes
    if classes:
        shown = ", ".join(escaped(name) or "(no name)" for name in classes[:_MOST_CLASSES])
        more = len(classes) - _MOST_CLASSES
        end = f", and {more:,} more" if more > 0 else ""
        yield f"- {len(classes):,} classes: {shown}{end}."
    yield f"- Intended use, and who should not use it: {_FILL_IN}."


def _figures(facts: PackageFacts) -> Iterator[str]:
    """The report's own table, of the engine and what it is held against."""
    report, row = facts.report, facts.row
    if report is None or row is None:
        yield "This engine was not measured: there are no figures."
        return
    heads, rows = summary_rows(report)
    shown = [i for i, each in enumerate(report.engines) if each in (row, facts.reference)]
    yield f"| | {' | '.join(escaped(heads[i]) for i in shown)} |"
    yield f"|---|{'---:|' * len(shown)}"
    for title, cells in rows:
        if any(cells[i] != "-" for i in shown):
            yield f"| {escaped(title)} | {' | '.join(escaped(cells[i]) for i in shown)} |"
    yield ""
    yield f"Verdict: {escaped(report.verdict)}"


def _machine(report: RunReport | None) -> Iterator[str]:
    if report is None:
        yield "Nothing was measured."
        return
    yield f"- {escaped(notes.machine_words(report))}; {escaped(report.created_utc)}."
    yield f"- Batch {report.batch}. Command: `{in_code(report.command)}`."
    packages = report.environment.get("packages")
    if isinstance(packages, dict) and packages:
        named = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        yield f"- {escaped(named)}."
    if report.load is not None:
        yield (
            f"- Other work kept {report.load.others_cores:.2f} of {report.load.cores} cores busy"
            " while it was timed."
        )
    yield from (f"- {escaped(doubt)}." for doubt in notes.doubts(report))


def _data(facts: PackageFacts) -> Iterator[str]:
    images = None if facts.report is None else facts.report.evaluation
    if images is None:
        yield "- Accuracy was not measured on samples."
    else:
        labels = "no labels" if images.labels is None else images.labels
        skipped = f", {images.skipped:,} skipped" if images.skipped else ""
        yield (
            f"- Evaluated on {images.images:,} samples of {escaped(images.name)}{skipped};"
            f" {escaped(labels)}; SHA-256 {images.sha256[:16]}..."
        )
    calibration = facts.calibration
    if calibration is not None:
        yield f"- Calibrated with {calibration.images:,} samples of {escaped(calibration.set)}."
    yield f"- Training data, its origin and its licence: {_FILL_IN}."


def _quantization(facts: PackageFacts) -> Iterator[str]:
    if facts.precision != "int8":
        yield f"None: the engine is {facts.precision.upper()}."
        return
    quant = facts.target.quant
    made = None if facts.report is None else facts.report.provenance
    if made is not None and made.made_elsewhere:
        yield f"- Another quantizer made the quantized graph; {made.weight_bits}-bit weights."
    else:
        bits = "" if made is None else f"{made.weight_bits}-bit weights, "
        yield (
            f"- Post-training, static: {bits}scales of weights by channel, thresholds by"
            f" {quant.thresholds}, {quant.rounding} rounding,"
            f" {'with' if quant.bias_correction else 'without'} bias correction; Q/DQ where"
            f" {_PLACED_FOR[quant.placement]} wants them."
        )
    recovery = None if facts.report is None else facts.report.recovery
    if recovery is not None:
        yield f"- {escaped(notes.recovery_words(recovery))}."
    row = facts.row
    if row is not None and row.convolutions:
        counted = ", ".join(f"{count} in {name}" for name, count in row.convolutions.items())
        yield f"- Convolutions as executed: {escaped(counted)}."
    if row is not None and row.not_int8:
        yield f"- Not in INT8 though they should be: {escaped(', '.join(row.not_int8[:20]))}."


def _limits(facts: PackageFacts) -> Iterator[str]:
    if facts.is_wrong_below_floor:
        yield f"- On a CPU below {escaped(facts.floor)} its sums are wrong, and nothing says so."
    if facts.board is not None:
        yield f"- It runs on {escaped(facts.board)}, with exactly the TensorRT that built it."
    if facts.opened_in != "default":
        yield f"- What is not INT8 was judged in {facts.opened_in}; the file does not carry that."
    yield (
        "- Accuracy holds for samples like those it was evaluated on; times for the machine above,"
        " and no other."
    )
    yield f"- Biases and groups that it was not evaluated on: {_FILL_IN}."


def _licence() -> Iterator[str]:
    yield f"Of the network, its weights and its training data: {_FILL_IN}."
