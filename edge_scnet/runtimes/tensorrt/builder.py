"""The process that parses an ONNX file and builds its plan.

It is a process of its own because TensorRT's parser can crash the one it runs in, and the first
logger of a process wins. It reads a `PlanJob` as JSON from stdin, tells its progress on stderr and
writes a `PlanAnswer` to the file that the job names. One code serves `tensorrt` 8.6 to 11 and
TensorRT-RTX: what a version lacks is looked up with getattr.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packaging.version import Version

from edge_scnet.core.files import write_atomic
from edge_scnet.core.json_records import decode, encode_pretty
from edge_scnet.runtimes.tensorrt.job import BuilderOutput, PlanAnswer, PlanJob

if TYPE_CHECKING:
    import tensorrt

_T = TypeVar("_T")
_SEVERE = ("INTERNAL_ERROR", "ERROR")
_NAMES_LAYER = "LayerType: "


class _Failed(Exception):
    """The native side gave up; the message is its own."""


class _NotStarted(_Failed):
    """It gave up before it read the file: the machine is the cause."""


def _logger(trt: Any, messages: list[tuple[str, str]]) -> Any:
    """Makes a logger that keeps severities and messages, of the verbose ones what names layers.

    The others are hundreds of megabytes of tactics, too much for a board of 4 GB.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            kind = str(severity).rpartition(".")[2]
            if kind != "VERBOSE" or _NAMES_LAYER in message:
                messages.append((kind, message))

    return Logger()


def _monitor(trt: Any) -> Any:
    """Makes a monitor that writes progress to stderr: "progress 0.25". Older than 10: None."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._root, self._steps = "", 1

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._root, self._steps = phase_name, max(num_steps, 1)

        def phase_finish(self, phase_name: str) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name == self._root:
                print(f"progress {(step + 1) / self._steps:.3f}", file=sys.stderr, flush=True)
            return True

    return Monitor()


def build(job: PlanJob) -> BuilderOutput:
    """Builds a plan and writes it to the file that the job names.

    Raises:
        _NotStarted: TensorRT is not installed, or cannot start here.
        _Failed: it refuses the file.
    """
    trt = _import(job.modules)
    messages: list[tuple[str, str]] = []
    started = time.perf_counter()
    logger = _logger(trt, messages)
    builder: tensorrt.Builder = _made(lambda: trt.Builder(logger), "no builder", messages)
    flags = _network_flags(trt, strongly_typed=job.strongly_typed)
    network = _made(lambda: builder.create_network(flags), "no network", messages)
    parser: tensorrt.OnnxParser = _made(
        lambda: trt.OnnxParser(network, logger), "no parser", messages
    )
    if not parser.parse_from_file(job.source):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        raise _Failed(_parser_errors(errors) or _errors_in(messages))
    _refuse_dynamic_shapes(network)
    config = _made(builder.create_builder_config, "no builder configuration", messages)
    _configure(trt, config, job, quantized=_is_quantized(trt, network))
    if job.timing_cache:
        _set_timing_cache(config, Path(job.timing_cache), messages)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise _Failed(_errors_in(messages))
    Path(job.out).write_bytes(memoryview(serialized))
    if job.timing_cache and (cache := config.get_timing_cache()) is not None:
        with write_atomic(Path(job.timing_cache)) as temporary:
            temporary.write_bytes(memoryview(cache.serialize()))
    layers = [text for severity, text in messages if severity == "VERBOSE"]
    warnings = list(dict.fromkeys(text for severity, text in messages if severity == "WARNING"))
    return BuilderOutput(
        version=str(trt.__version__),
        seconds=time.perf_counter() - started,
        layers=tuple(layers),
        inspector=_inspect(trt, logger, serialized),
        warnings=tuple(warnings[:50]),
    )


def _import(names: Sequence[str]) -> Any:
    """Imports the first of the modules that is there.

    Raises:
        _NotStarted: there is none, or a library of it is missing.
    """
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            raise _NotStarted(f"the package {name} cannot be loaded: {error}") from error
    raise _NotStarted(f"none of {', '.join(names)} is installed")


def _network_flags(trt: Any, *, strongly_typed: bool) -> int:
    """Returns the flags of `create_network`, as this version has them."""
    if "rtx" in trt.__name__:
        return 0  # strongly typed is implied
    if Version(trt.__version__).major < 10:
        wanted = "EXPLICIT_BATCH"
    elif strongly_typed:
        wanted = "STRONGLY_TYPED"
    else:
        return 0
    flag = getattr(trt.NetworkDefinitionCreationFlag, wanted, None)
    return 0 if flag is None else 1 << int(flag)


def _refuse_dynamic_shapes(network: tensorrt.INetworkDefinition) -> None:
    """Refuses an input without a fixed shape: engines have one batch.

    Raises:
        _Failed: there is one.
    """
    for tensor in map(network.get_input, range(network.num_inputs)):
        shape = tuple(int(tensor.shape[axis]) for axis in range(len(tensor.shape)))
        if -1 in shape:
            raise _Failed(
                f"input {tensor.name!r} has the dynamic shape {shape} and no"
                " optimization profile is defined"
            )


def _is_quantized(trt: Any, network: tensorrt.INetworkDefinition) -> bool:
    """Whether a network has Q/DQ."""
    layers = map(network.get_layer, range(network.num_layers))
    return any(layer.type == trt.LayerType.DEQUANTIZE for layer in layers)


def _configure(trt: Any, config: tensorrt.IBuilderConfig, job: PlanJob, *, quantized: bool) -> None:
    """Sets the builder's options for a job.

    INT8 is for a network with Q/DQ alone: of the FP16 twin TensorRT 8 would want a calibrator
    ("no scaling factors detected") and build nothing.
    """
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_bytes)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for name in job.precisions:
        if name == "int8" and not quantized:
            continue
        if (flag := getattr(trt.BuilderFlag, name.upper(), None)) is not None:
            config.set_flag(flag)
    if (monitor := _monitor(trt)) is not None and hasattr(config, "progress_monitor"):
        config.progress_monitor = monitor


def _set_timing_cache(
    config: tensorrt.IBuilderConfig, file: Path, messages: list[tuple[str, str]]
) -> None:
    """Sets the timing cache of earlier builds; an empty one where there is none to be read."""
    earlier = file.read_bytes() if file.is_file() else b""
    cache = config.create_timing_cache(earlier)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return
    if earlier:
        messages.append(("WARNING", f"{file.name} is damaged or another GPU's: made anew"))
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _made(make: Callable[[], _T | None], words: str, messages: list[tuple[str, str]]) -> _T:
    """Makes one of TensorRT's objects.

    Raises:
        _NotStarted: the native side made none. Constructors raise TypeError then ("factory function
            returned nullptr"), other functions give None; the logger has the cause.
    """
    try:
        made = make()
    except TypeError as error:
        raise _NotStarted(_errors_in(messages, f"{words}: {error}")) from error
    if made is None:
        raise _NotStarted(_errors_in(messages, words))
    return made


def _parser_errors(errors: Sequence[tensorrt.ParserError]) -> str:
    """Returns every error of the parser, with the node where it knows one."""
    lines = []
    for error in errors:
        node = error.node_name() if hasattr(error, "node_name") else ""
        kind = f" ({error.node_operator()})" if node and hasattr(error, "node_operator") else ""
        lines.append(f"{node}{kind}: {error.desc()}" if node else error.desc())
    return "\n".join(dict.fromkeys(lines))


def _errors_in(messages: list[tuple[str, str]], without: str = "no message from TensorRT") -> str:
    """Returns the errors of the log, or its last warning; without any, other words."""
    errors = [text for severity, text in messages if severity in _SEVERE]
    warnings = [text for severity, text in messages if severity == "WARNING"]
    return "\n".join(dict.fromkeys(errors)) or (warnings[-1] if warnings else without)


def _inspect(trt: Any, logger: Any, serialized: Any) -> str | None:
    """Returns the inspector's JSON, where there is a GPU to load the plan on."""
    if "rtx" in trt.__name__:
        return None  # its log says the same, and without a GPU it cannot be loaded
    try:
        runtime: tensorrt.Runtime = trt.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(serialized)
    except TypeError:  # no runtime; the log's layers do
        return None
    if engine is None:
        return None
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def main() -> None:
    """The process: reads its job, builds, and writes its answer."""
    job = decode(PlanJob, sys.stdin.read())
    try:
        answer = PlanAnswer(made=build(job))
    except _Failed as error:
        answer = PlanAnswer(error=str(error), at_start=isinstance(error, _NotStarted))
    except Exception as error:
        answer = PlanAnswer(error=f"{type(error).__name__}: {error}")
    Path(job.answer).write_text(encode_pretty(answer), encoding="utf-8")
    os._exit(0)
