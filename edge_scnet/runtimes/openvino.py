"""OpenVINO: converts ONNX to IR, and opens sessions on its CPU plug-in."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.facts import BlobFacts
from edge_scnet.core.files import replace_file, write_atomic
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, BackendError, TargetError
from edge_scnet.graph.lint import LintFinding, lint
from edge_scnet.graph.model import load
from edge_scnet.graph.openvino_repair import repair
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.isa import (
    ARM_FLOORS,
    limited_below_avx512,
    provides_bf16,
    resolve_floor,
)
from edge_scnet.runtimes.base import (
    BaseRuntime,
    Built,
    EngineInput,
    OpenOptions,
    no_progress,
)
from edge_scnet.runtimes.openvino_blob import facts_here, load_blob, write_blob
from edge_scnet.runtimes.openvino_session import OpenVinoSession
from edge_scnet.runtimes.openvino_shapes import declared_input, first_lines, reshaped

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec

# Rules of lint whose findings have another form that OpenVINO computes rightly.
_MISCOMPILED = ("signed-codes", "padded-pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVino(BaseRuntime):
    """OpenVINO on the CPU."""

    name: str = "openvino"
    title: str = "OpenVINO"
    artifact_kind: str = "openvino-ir"
    suffix: str = ".xml"
    extra: str = "cpu"
    convolutions: frozenset[str] = frozenset({"Convolution", "Deconvolution"})
    linear_layers: frozenset[str] = frozenset({"FullyConnected", "MatMul"})
    int8_precisions: frozenset[str] = frozenset({"u8", "i8"})
    modules: tuple[str, ...] = ("openvino",)
    rounds_averages: bool = True

    def preload(self) -> None:
        """Imports OpenVINO and loads its CPU plug-in.

        The plug-in is a library of its own, found only when a device is asked for.

        Raises:
            MissingRuntimeError: OpenVINO is not installed.
            BackendError: there is no CPU plug-in.
        """
        ov = require("openvino", extra=self.extra)
        try:
            ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot load its CPU plug-in: {first_lines(error)}",
                hint="edge-scnet doctor",
            ) from error

    def check_target(self, target: TargetSpec) -> None:
        if target.device != "CPU":
            raise TargetError(
                f"{target.name}: device {target.device!r} is not supported by this backend;"
                " allowed: CPU"
            )
        if target.isa != "none" and resolve_floor(target.isa) in ARM_FLOORS:
            raise TargetError(
                f"{target.name}: engines of OpenVINO are for x86-64 processors; on Arm ONNX Runtime"
                " runs them",
                hint="edge-scnet build --target arm64",
            )
        if target.rest == "bf16":
            _check_bf16(f'{target.name}: rest = "bf16"')

    def rewrites(self, source: Path) -> tuple[LintFinding, ...]:
        """What `build` writes in another form, because OpenVINO would miscompile it."""
        model = load(source)
        findings = lint(model, "openvino") if is_quantized(model) else ()
        return tuple(finding for finding in findings if finding.rule in _MISCOMPILED)

    def build(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        progress: Callable[[float], None] = no_progress,
    ) -> Built:
        """Converts an ONNX file to IR: `out` (.xml) and its weights (.bin) beside it.

        Float32 is kept as it is. Where OpenVINO would miscompile its Q/DQ, they are written in a
        form that means the same; `rewrites` says where and why.

        Raises:
            BackendError: OpenVINO cannot read the graph; its own message is in the error. Or it
                would miscompile a place that has no other form.
            StorageError: the folder cannot be written.
        """
        ov = require("openvino", extra=self.extra)
        started = time.perf_counter()
        try:
            core = ov.Core()
            model = core.read_model(source)
            if self.rewrites(source):
                model = core.read_model(_repaired(source))
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot read {source.name}: {first_lines(error)}",
                hint=(
                    "export it again: edge-scnet export; the installed versions: edge-scnet doctor"
                ),
            ) from error
        weights = out.with_suffix(".bin")
        # the IR finds its weights by its own name, so both are written under one temporary name
        # and renamed weights first
        with write_atomic(out) as temporary:
            temporary_weights = temporary.with_suffix(".bin")
            try:
                ov.save_model(model, temporary, compress_to_fp16=False)
                replace_file(temporary_weights, weights)
            except RuntimeError as error:
                raise OSError(None, first_lines(error)) from error
            finally:
                temporary_weights.unlink(missing_ok=True)
        return self._built((out, weights), started)

    def check_graph(self, graph: Path) -> None:
        ov = require("openvino", extra=self.extra)
        try:
            ov.Core().read_model(graph)
        except RuntimeError as error:
            raise ArtifactError(
                f"OpenVINO does not know all of the graph: {first_lines(error)}",
                hint="export the model without that operator or form of it, or pass the part in"
                " front of it: onnx.utils.extract_model",
            ) from error

    def inputs_of(self, artifact: Path) -> tuple[EngineInput, ...]:
        ov = require("openvino", extra=self.extra)
        try:
            model = ov.Core().read_model(artifact)
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot read {artifact}: {first_lines(error)}",
                hint="is it a whole IR, its weights (.bin) beside it?",
            ) from error
        return tuple(declared_input(port) for port in model.inputs)

    def blob_facts(self, engine: str, options: OpenOptions) -> BlobFacts:
        return facts_here(require("openvino", extra=self.extra), engine, options)

    def save_blob(self, artifact: Path, options: OpenOptions, out: Path) -> None:
        ov = require("openvino", extra=self.extra)
        try:
            write_blob(_compiler(ov.Core(), artifact, options)(_settings(options)), out)
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot write {artifact.name} down as it compiles it:"
                f" {first_lines(error)}",
                hint="in the target file: compiled_blob = false",
            ) from error

    @contextlib.contextmanager
    def open(self, artifact: Path, options: OpenOptions) -> Iterator[OpenVinoSession]:
        """Compiles an IR or ONNX file for the CPU, or loads its compiled blob.

        Raises:
            BackendError: OpenVINO's own message.
            TargetError: `options.batch` is another than the file's, and the graph cannot be
                reshaped to it; or the precision is BF16 and this processor has none.
        """
        if options.precision == "bf16":
            _check_bf16(artifact.name)
        ov = require("openvino", extra=self.extra)
        settings = _settings(options)
        try:
            compile_with = _compiler(ov.Core(), artifact, options)
            compiled = compile_with(settings)
            used = compiled.get_property("INFERENCE_PRECISION_HINT")
            if options.precision == "bf16" and used != ov.Type.bf16:
                # it takes the hint, and computes in what it has
                raise _no_bf16(artifact.name)
            session = OpenVinoSession(ov, compiled)
            # counting takes time at every layer: only layer_times asks for it, of an engine of its
            # own
            session.counting = lambda: compile_with({**settings, "PERF_COUNT": True})
        except RuntimeError as error:
            raise _not_opened(artifact, options, error) from error
        try:
            yield session
        finally:
            session.close()


def _check_bf16(what: str) -> None:
    """Refuses BF16 where OpenVINO would compute in FP32 and say nothing.

    Raises:
        TargetError: this processor has no BF16.
    """
    if not provides_bf16():
        raise _no_bf16(what)


def _not_opened(artifact: Path, options: OpenOptions, error: RuntimeError) -> BackendError:
    if options.loads_blob:
        assert options.blob is not None
        return BackendError(
            f"OpenVINO cannot load {options.blob.name}: {first_lines(error)}",
            hint=f"without it {artifact.name} is compiled: rm {shlex.quote(str(options.blob))}",
        )
    return BackendError(
        f"OpenVINO cannot compile {artifact.name}: {first_lines(error)}",
        hint="build again: edge-scnet build; the installed versions: edge-scnet doctor",
    )


def _settings(options: OpenOptions) -> dict[str, Any]:
    """What the plug-in is told."""
    hint = "THROUGHPUT" if options.mode == "throughput" else "LATENCY"
    settings: dict[str, Any] = {"PERFORMANCE_HINT": hint}
    if options.mode == "shared":
        # pinned, the threads of all processes would take turns on the first cores
        settings["ENABLE_CPU_PINNING"] = False
    if options.precision == "f32" or limited_below_avx512():
        # not stored in the IR: loaded plainly, CPUs with AVX512-BF16 run the rest in BF16.
        # OpenVINO looks at the processor for that and not at oneDNN's limit: with
        # ONEDNN_MAX_CPU_ISA=AVX2 there it finds no kernel for a pool ("Supported primitive
        # descriptors list is empty", 2026.4.1), where the machine that is acted would take f32
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    elif options.precision == "bf16":
        settings["INFERENCE_PRECISION_HINT"] = "bf16"
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    return settings


def _compiler(
    core: Any, artifact: Path, options: OpenOptions
) -> Callable[[Mapping[str, Any]], Any]:
    """Returns what compiles an engine with settings, or loads its blob."""
    if options.loads_blob:
        assert options.blob is not None
        blob = options.blob
        return lambda settings: load_blob(core, blob, settings)
    model: Any = artifact
    if options.shapes:
        model = core.read_model(artifact)
        model.reshape(_with_batch(options))
    elif options.batch:
        model = reshaped(core, artifact, options.batch)
    return lambda settings: core.compile_model(model, "CPU", dict(settings))


def _no_bf16(what: str) -> TargetError:
    return TargetError(
        f"{what}: layers in BF16 need a processor with AVX512-BF16 or AMX; this one has neither,"
        " or ONEDNN_MAX_CPU_ISA leaves them out",
        hint='in the target file: rest = "fp32"; then build again with the same command',
    )


def _with_batch(options: OpenOptions) -> dict[str, list[int]]:
    """The shapes by input, with another batch where it is asked for."""
    own = options.shapes[0][1][:1]
    return {
        name: [options.batch, *shape[1:]] if options.batch and shape[:1] == own else list(shape)
        for name, shape in options.shapes
    }


def _repaired(source: Path) -> bytes:
    """Returns the ONNX file with what OpenVINO would miscompile in another form.

    Raises:
        BackendError: a place has no other form.
    """
    ir = require("onnx_ir", extra="quantize")
    model = load(source)
    ir.external_data.load_to_model(model)  # the copy has no folder to find them in
    model = repair(model)
    for finding in lint(model, "openvino"):
        if finding.rule in _MISCOMPILED:
            raise BackendError(
                f"{source.name}: {finding.node}: {finding.problem}", hint=finding.fix
            )
    content: bytes = ir.serde.serialize_model(model).SerializeToString()
    return content


OPENVINO = OpenVino()
