"""Rows of a report: what an engine, or a graph in simulation, was measured to be."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from edge_scnet.compile.executed import WantedLayers, executed_in_int8
from edge_scnet.core.manifest import PLAN_FILES, Artifact
from edge_scnet.core.packing import pack_classes
from edge_scnet.core.preprocessing_units import unit_doubt
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError, DataError
from edge_scnet.pipeline.context import canonical_order
from edge_scnet.pipeline.layers import summary_of_layers
from edge_scnet.profiler.board_results import TimedBoard
from edge_scnet.profiler.measure import Measurement
from edge_scnet.profiler.outputs import Outputs
from edge_scnet.profiler.process import EngineFile
from edge_scnet.report.run_report import EngineReport
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.stats.accuracy import accuracy_stats, output_rows, output_stats
from edge_scnet.stats.figures import AccuracyStats, EngineRole, OutputStats, WarmStart
from edge_scnet.stats.timing import latency_stats, paired_ratio, rate_ratio
from edge_scnet.tasks.base import Evaluator
from edge_scnet.tasks.metrics import refuse_unfinite

SIMULATED_NAMES: dict[EngineRole, str] = {
    "reference": "fp32",
    "int8": "int8 simulated",
    "fp16": "fp16 simulated",
}


def role_of(precision: str) -> EngineRole:
    """The role of the engine that a target of this precision is judged by."""
    return "fp16" if precision == "fp16" else "int8"


def packed_first_classes(outputs: Outputs | None, samples: SampleSet | None) -> str | None:
    """What an engine takes each image for, in canonical order; None for outputs without classes."""
    if outputs is None or samples is None or outputs.logits is None:
        return None
    return pack_classes(outputs.logits.argmax(axis=1)[canonical_order(samples)].tolist())


def row_of_engine(
    engine: EngineFile,
    measured: Measurement,
    reference: Measurement,
    samples: SampleSet | None,
    evaluator: Evaluator | None = None,
) -> EngineReport:
    """The row of an engine that was measured in a process of its own.

    Args:
        evaluator: that its outputs were kept by.

    Raises:
        BackendError: its outputs are not finite. DataError: the labels do not fit them.
    """
    accuracy = None
    if samples is not None and measured.outputs is not None and reference.outputs is not None:
        check_finite(engine.name, engine.path.name, measured.outputs)
        accuracy = stats_of(measured.outputs, reference.outputs, samples, evaluator)
    layers = summary_of_layers(
        measured.layers,
        runtime_named(engine.runtime),
        int8=engine.role == "int8",
        times_ms=measured.layer_times_ms,
        nodes=engine.convolutions,
        not_int8=engine.not_int8,
    )
    return EngineReport(
        name=engine.name,
        role=engine.role,
        runtime=engine.runtime,
        file=engine.path.name,
        sha256=engine.sha256,
        size_bytes=engine.size_bytes,
        precision_hint=engine.options.precision,
        load_seconds=measured.load_seconds,
        warm_up_seconds=measured.warm_up.seconds,
        warm_up_runs=measured.warm_up.runs,
        warm_up_stable=measured.warm_up.stable,
        settings=measured.settings,
        cuda_graph=measured.graph,
        latency=measured.latency,
        speedup=measured.ratio,
        throughput_per_second=measured.throughput_per_second,
        throughput_ratio=measured.throughput_ratio,
        throughput_windows=measured.windows,
        end_to_end=measured.end_to_end,
        input=engine.input,
        memory=measured.memory,
        accuracy=accuracy,
        first_classes=packed_first_classes(measured.outputs, samples),
        outputs=rows_of_outputs(measured.outputs),
        convolutions=layers.convolutions,
        other_layers=layers.other_layers,
        copies=layers.copies,
        float_convolutions=layers.float_convolutions,
        not_int8=engine.not_int8,
        layer_times=layers.layer_times,
        costly=layers.costly,
        warm_start=_warm_start(engine, measured),
    )


def _warm_start(engine: EngineFile, measured: Measurement) -> WarmStart | None:
    """How the engine was loaded, where that was from its compiled blob."""
    blob = engine.options.blob
    if blob is None or measured.compiled_seconds is None:
        return None
    return WarmStart(
        file=blob.name,
        size_bytes=blob.stat().st_size,
        compiled_seconds=measured.compiled_seconds,
    )


def rows_of_outputs(outputs: Outputs | None) -> tuple[OutputStats, ...]:
    """What each output is worth against the reference's; nothing where they are not finite."""
    if outputs is None or not outputs.finite:
        return ()
    rows = output_rows(
        outputs.names,
        outputs.signal_power,
        outputs.own_power,
        outputs.noise_power,
        outputs.hidden_db,
    )
    return tuple(rows[i] for i in outputs.sized)


def check_finite(name: str, file: str, outputs: Outputs) -> None:
    """Refuses outputs that are not finite.

    Raises:
        BackendError: names the engine.
    """
    if not outputs.finite:
        raise BackendError(f"{name}: {file} gives NaN or infinity on the evaluation images")


def stats_of(
    outputs: Outputs,
    reference: Outputs,
    samples: SampleSet,
    evaluator: Evaluator | None = None,
) -> AccuracyStats:
    """What outputs are worth against the reference's.

    Args:
        evaluator: that they were kept by.

    Raises:
        DataError: the labels do not fit them.
    """
    stats = _stats(outputs, reference, samples, evaluator)
    if evaluator is None:
        stats = replace(stats, doubts=(*stats.doubts, *_unjudged(reference)))
    if reference.varies:
        return stats
    doubt = (
        f"FP32 gives the same for all {len(samples):,} samples: are the inputs constant, as by a"
        " mean and std in other units?"
    )
    return replace(stats, doubts=(doubt, *stats.doubts))


def doubted_inputs(row: EngineReport, spec: ModelSpec, samples: SampleSet | None) -> EngineReport:
    """The row, which proves nothing where nothing shows that pictures are prepared rightly.

    A mean and a std of other units may be a network's own. What is right on labelled pictures shows
    it; agreement with FP32 on unlabelled ones that all look alike to it does not.
    """
    stats = row.accuracy
    if samples is None or stats is None or samples.arrays is not None or not spec.takes_pictures:
        return row
    has_truth = stats.labels is not None or (
        stats.task is not None and stats.task.truth is not None
    )
    doubt = None if has_truth else unit_doubt(spec.preprocessing)
    if doubt is None:
        return row
    words = f"without ground truth nothing shows that FP32 is right on these inputs: {doubt}"
    return replace(row, accuracy=replace(stats, doubts=(*stats.doubts, words)))


def _stats(
    outputs: Outputs, reference: Outputs, samples: SampleSet, evaluator: Evaluator | None
) -> AccuracyStats:
    if evaluator is not None and outputs.kept is not None and reference.kept is not None:
        task = evaluator.compare(outputs.kept, reference.kept)
        refuse_unfinite(task)
        return replace(_stats_of_maps(outputs, len(samples)), task=task)
    if outputs.logits is None or reference.logits is None:
        if samples.labels is not None:
            raise DataError(
                "the evaluation set has labels, but the model is not a classifier: its first output"
                " is not images x classes",
                hint="pass --ignore-labels",
            )
        return _stats_of_maps(outputs, len(samples))
    classes = outputs.logits.shape[1]
    if samples.labels is not None and (
        max(samples.labels) >= classes or len(samples.class_names or range(classes)) != classes
    ):
        labelled = max(max(samples.labels) + 1, len(samples.class_names or ()))
        raise DataError(
            f"the evaluation set has {labelled} classes, the model has {classes}",
            hint=(
                f"--num-classes {classes}, with folders named by class index or --class-names FILE;"
                " or --ignore-labels"
            ),
        )
    return accuracy_stats(outputs.logits, reference.logits, samples.labels)


def _unjudged(outputs: Outputs) -> tuple[str, ...]:
    """Says that outputs whose size depends on the data are not classes."""
    return tuple(
        f"output {name!r} is judged by nothing: its size depends on the data: --task detection"
        " --decode package.module:function judges it"
        for name, is_counted in zip(outputs.names, outputs.counted, strict=True)
        if is_counted
    )


def _stats_of_maps(outputs: Outputs, images: int) -> AccuracyStats:
    """What outputs that are no classes are worth: of whole numbers a ratio to noise says little.

    They count where there is nothing else.
    """
    sized, whole = outputs.sized, outputs.whole
    taken = [i for i in sized if not (whole and whole[i])] or sized
    stats = output_stats(
        images,
        signal_power=[outputs.signal_power[i] for i in taken],
        noise_power=[outputs.noise_power[i] for i in taken],
        hidden_db=outputs.hidden_db,
    )
    return replace(stats, has_sqnr=bool(taken))


def row_of_graph(
    entry: Artifact, role: EngineRole, accuracy: AccuracyStats, outputs: Outputs, samples: SampleSet
) -> EngineReport:
    """The row of a graph in simulation, which tells of its accuracy alone."""
    return EngineReport(
        name=SIMULATED_NAMES[role],
        role=role,
        runtime="onnxruntime",
        file=entry.file,
        sha256=entry.sha256,
        size_bytes=entry.size_bytes,
        precision_hint="f32",
        convolutions={},
        other_layers={},
        load_seconds=None,
        warm_up_seconds=None,
        latency=None,
        speedup=None,
        throughput_per_second=None,
        memory=None,
        accuracy=accuracy,
        first_classes=packed_first_classes(outputs, samples),
        outputs=rows_of_outputs(outputs),
    )


def row_of_plan(
    precision: str, timed: TimedBoard, batch: int, wanted: WantedLayers
) -> EngineReport:
    """The row of a plan that trtexec timed.

    Args:
        batch: images per inference.
        wanted: what of the INT8 plan should execute in INT8.
    """
    is_reference = precision == timed.precisions[0]
    plan = timed.reference if is_reference else timed.judged
    times = plan.times
    rates = tuple(rate * batch for rate in times.rates_per_second)
    executed = trt_layers.executed(times.layers)
    in_float = (
        executed_in_int8(TENSORRT, executed, wanted).in_float
        if precision == "int8" and executed
        else {}
    )
    layers = summary_of_layers(
        executed,
        TENSORRT,
        int8=precision == "int8",
        times_ms=times.layer_times_ms,
        nodes=wanted.convolutions,
        not_int8=tuple(in_float),
    )
    return EngineReport(
        name=precision,
        role="reference" if is_reference else role_of(precision),
        runtime=TENSORRT.name,
        file=PLAN_FILES[precision],
        sha256=plan.sha256,
        size_bytes=plan.size_bytes,
        precision_hint="f32",
        load_seconds=None,
        warm_up_seconds=None,
        latency=latency_stats(times.rounds_ns),
        cuda_graph=times.graph,
        speedup=(
            None if is_reference else paired_ratio(timed.reference.times.rounds_ns, times.rounds_ns)
        ),
        throughput_per_second=median(rates),
        throughput_ratio=(
            None
            if is_reference
            else rate_ratio(times.rates_per_second, timed.reference.times.rates_per_second)
        ),
        throughput_windows=rates,
        memory=None,
        accuracy=None,
        convolutions=layers.convolutions,
        other_layers=layers.other_layers,
        copies=layers.copies,
        float_convolutions=layers.float_convolutions,
        not_int8=tuple(in_float),
        layer_times=layers.layer_times,
        costly=layers.costly,
    )
