"""The process that parses and builds: TensorRT's parser can crash the process it runs in, and the
first logger of one wins.

Reads a job as JSON from stdin, tells its progress on stderr and writes its answer to the file that
the job names. One code for `tensorrt` 8.6 to 11 and TensorRT-RTX: what a version lacks is looked up
with getattr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_SEVERE = ("INTERNAL_ERROR", "ERROR")


class _Failed(Exception):
    """The native side gave up; the message is its own."""


def _logger(trt: Any, messages: list[tuple[str, str]]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            messages.append((str(severity).rpartition(".")[2], message))

    return Logger()


def _monitor(trt: Any) -> Any:
    """TensorRT 10's progress as lines on stderr: "progress 0.25"."""
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


def build(job: dict[str, Any]) -> dict[str, Any]:
    """Builds a plan.

    The job: modules (names to import, the first that is there), source, out, workspace_bytes,
    dla_core, timing_cache (a path or None), strongly_typed, precisions (flags of weakly typed
    versions: "int8", "fp16"), batches (minimum, optimum and maximum of a dynamic one).
    """
    trt = _import(job["modules"])
    version = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
    messages: list[tuple[str, str]] = []
    started = time.perf_counter()
    logger = _logger(trt, messages)
    builder = _given(trt.Builder(logger), "no builder", messages)
    flags = 0
    if "rtx" not in trt.__name__:
        wanted = (
            "EXPLICIT_BATCH"
            if version[0] < 10
            else "STRONGLY_TYPED"
            if job["strongly_typed"]
            else ""
        )
        flag = getattr(trt.NetworkDefinitionCreationFlag, wanted, None) if wanted else None
        flags |= 0 if flag is None else 1 << int(flag)
    network = _given(builder.create_network(flags), "no network", messages)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(job["source"]):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        raise _Failed(_parser_words(errors) or _worst(messages))
    config = builder.create_builder_config()
    _configure(trt, builder, network, config, job)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise _Failed(_worst(messages))
    Path(job["out"]).write_bytes(memoryview(serialized))
    if job["timing_cache"] and (cache := config.get_timing_cache()) is not None:
        temporary = f"{job['timing_cache']}.{os.getpid()}.part"
        Path(temporary).write_bytes(memoryview(cache.serialize()))
        Path(temporary).replace(job["timing_cache"])
    listed = [
        text for severity, text in messages if severity == "VERBOSE" and "LayerType: " in text
    ]
    warnings = list(dict.fromkeys(text for severity, text in messages if severity == "WARNING"))
    return {
        "version": str(trt.__version__),
        "seconds": time.perf_counter() - started,
        "layers": listed,
        "inspector": _inspect(trt, logger, serialized),
        "warnings": warnings[:50],
    }


def _import(names: list[str]) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise _Failed(f"none of {', '.join(names)} is installed")


def _configure(trt: Any, builder: Any, network: Any, config: Any, job: dict[str, Any]) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job["workspace_bytes"])
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for name in job["precisions"]:
        if (flag := getattr(trt.BuilderFlag, name.upper(), None)) is not None:
            config.set_flag(flag)
    if job["dla_core"] is not None:
        config.default_device_type, config.DLA_core = trt.DeviceType.DLA, job["dla_core"]
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    if job["timing_cache"]:
        known = Path(job["timing_cache"])
        cache = config.create_timing_cache(known.read_bytes() if known.is_file() else b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    if (monitor := _monitor(trt)) is not None and hasattr(config, "progress_monitor"):
        config.progress_monitor = monitor
    dynamic = [t for t in map(network.get_input, range(network.num_inputs)) if -1 in tuple(t.shape)]
    if not dynamic:
        return
    if not job["batches"]:
        tensor = dynamic[0]
        raise _Failed(
            f"input {tensor.name!r} has the dynamic shape {tuple(tensor.shape)} and no optimization"
            " profile is defined"
        )
    profile = builder.create_optimization_profile()
    for tensor in dynamic:
        if -1 in tuple(tensor.shape)[1:]:
            raise _Failed(
                f"input {tensor.name!r} has the shape {tuple(tensor.shape)}: only the batch may be"
                " dynamic"
            )
        profile.set_shape(
            tensor.name, *((batch, *tuple(tensor.shape)[1:]) for batch in job["batches"])
        )
    config.add_optimization_profile(profile)


def _given(value: Any, words: str, messages: list[tuple[str, str]]) -> Any:
    """The value; TensorRT's constructors answer None instead of raising."""
    if value is None:
        raise _Failed(_worst(messages) or words)
    return value


def _parser_words(errors: list[Any]) -> str:
    """Every error of the parser, with the node where it knows one."""
    words = []
    for error in errors:
        node = error.node_name() if hasattr(error, "node_name") else ""
        kind = f" ({error.node_operator()})" if node and hasattr(error, "node_operator") else ""
        words.append(f"{node}{kind}: {error.desc()}" if node else error.desc())
    return "\n".join(dict.fromkeys(words))


def _worst(messages: list[tuple[str, str]]) -> str:
    """The errors of the log, or its last warning."""
    errors = [text for severity, text in messages if severity in _SEVERE]
    warnings = [text for severity, text in messages if severity == "WARNING"]
    return "\n".join(dict.fromkeys(errors)) or (
        warnings[-1] if warnings else "no message from TensorRT"
    )


def _inspect(trt: Any, logger: Any, serialized: Any) -> str | None:
    """The inspector's JSON, where there is a GPU to load the plan on."""
    if "rtx" in trt.__name__:
        return None  # its log says the same, and without a GPU it cannot be loaded
    engine = trt.Runtime(logger).deserialize_cuda_engine(serialized)
    if engine is None:
        return None
    text: str = engine.create_engine_inspector().get_engine_information(
        trt.LayerInformationFormat.JSON
    )
    return text


def main() -> None:
    answer: dict[str, Any]
    job = json.load(sys.stdin)
    try:
        answer = {"ok": build(job)}
    except _Failed as error:
        answer = {"error": str(error)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)


if __name__ == "__main__":
    main()
