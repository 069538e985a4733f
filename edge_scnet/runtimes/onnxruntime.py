"""ONNX Runtime on the CPU: builds engines for x86-64 and Arm, and opens any ONNX file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.optional import require
from edge_scnet.errors import BackendError, TargetError, first_line
from edge_scnet.graph.model import load, save
from edge_scnet.graph.onnxruntime_form import onnxruntime_form
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.isa import ARM_FLOORS, resolve_floor
from edge_scnet.runtimes.base import (
    BaseRuntime,
    Built,
    EngineInput,
    OpenOptions,
    no_progress,
)
from edge_scnet.runtimes.fixed_batch import fixed_batch
from edge_scnet.runtimes.onnxruntime_loading import load_session
from edge_scnet.runtimes.onnxruntime_session import OnnxRuntimeSession

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntime(BaseRuntime):
    """ONNX Runtime, with its default optimisations.

    With its optimisations off it is what the other runtimes are compared with (`graph/run.py`).
    """

    name: str = "onnxruntime"
    title: str = "ONNX Runtime"
    artifact_kind: str = "onnx"
    suffix: str = ".onnx"
    # model.onnx is the float graph
    engine_stem: str = "model-int8"
    extra: str = "quantize"
    convolutions: frozenset[str] = frozenset({"Conv", "FusedConv", "NhwcFusedConv", "QLinearConv"})
    linear_layers: frozenset[str] = frozenset(
        {
            "FusedGemm",
            "FusedMatMul",
            "Gemm",
            "MatMul",
            "MatMulIntegerToFloat",
            "QGemm",
            "QLinearMatMul",
        }
    )
    int8_precisions: frozenset[str] = frozenset({"uint8", "int8"})
    modules: tuple[str, ...] = ("onnxruntime",)
    # its precision by default is float32, on every processor
    has_other_default: bool = False
    # of RFB-320 with two threads instead of one (1.32.0)
    sums_by_threads: bool = True

    def preload(self) -> None:
        require("onnxruntime", extra=self.extra)

    def check_target(self, target: TargetSpec) -> None:
        if target.device != "CPU":
            raise TargetError(
                f"{target.name}: device {target.device!r} is not supported by this backend;"
                " allowed: CPU"
            )
        if target.quant.placement != "onnxruntime":
            raise TargetError(
                f'{target.name}: quant.placement is "{target.quant.placement}"; ONNX Runtime needs'
                ' "onnxruntime": with another some convolutions run in float'
            )
        if target.rest != "fp32":
            raise TargetError(
                f'{target.name}: rest is "{target.rest}"; ONNX Runtime computes what is not INT8 in'
                ' "fp32"'
            )
        if target.isa == "none":
            raise TargetError(
                f'{target.name}: isa is "none"; a CPU computes: "native", or a floor of'
                " edge-scnet targets"
            )

    def build(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        progress: Callable[[float], None] = no_progress,
    ) -> Built:
        """Writes an ONNX file in the form that ONNX Runtime makes integer operators of.

        The file is good for every machine of the target's kind; ONNX Runtime optimises it for the
        processor each time that it is loaded. A float graph is written as it is.

        Raises:
            BackendError: ONNX Runtime cannot load the graph; its own message is in the error.
            StorageError: the folder cannot be written.
        """
        started = time.perf_counter()
        self._check_loads(source)
        model = load(source)
        if is_quantized(model):
            model = onnxruntime_form(model, signed=_runs_on_arm(target))
        save(model, out)
        return self._built((out,), started)

    def _check_loads(self, source: Path) -> None:
        """Raises BackendError where ONNX Runtime cannot load a file."""
        try:
            load_session(source, _plain_options)
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime cannot load {source.name}: {first_line(error)}",
                hint=(
                    "export it again: edge-scnet export; the installed versions: edge-scnet doctor"
                ),
            ) from error

    def inputs_of(self, artifact: Path) -> tuple[EngineInput, ...]:
        try:
            session = load_session(artifact, _plain_options)
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime cannot load {artifact}: {first_line(error)}",
                hint="is it a whole ONNX file, its external data beside it?",
            ) from error
        return tuple(
            EngineInput(
                name=item.name,
                shape=tuple(d if isinstance(d, int) and d > 0 else None for d in item.shape),
                dtype=_type_of(item.type),
            )
            for item in session.get_inputs()
        )

    @contextlib.contextmanager
    def open(self, artifact: Path, options: OpenOptions) -> Iterator[OnnxRuntimeSession]:
        """Loads an ONNX file with ONNX Runtime's default optimisations.

        Sizes that the file leaves open are 1 where `options.shapes` does not give them.

        Raises:
            BackendError: ONNX Runtime's own message.
            TargetError: `options.batch` is another than the file's.
        """
        try:
            session = OnnxRuntimeSession(artifact, options)
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime cannot load {artifact.name}: {first_line(error)}",
                hint="build again: edge-scnet build; the installed versions: edge-scnet doctor",
            ) from error
        if options.batch not in (0, session.input_shape[0]):
            raise fixed_batch(artifact, session.input_shape[0], options.batch)
        try:
            yield session
        finally:
            session.close()


def _plain_options(settings: Any) -> None:
    """Leaves the graph as it is: it is only to be read."""
    level = type(settings.graph_optimization_level)
    settings.graph_optimization_level = level.ORT_DISABLE_ALL


def _runs_on_arm(target: TargetSpec) -> bool:
    return target.isa != "none" and resolve_floor(target.isa) in ARM_FLOORS


def _type_of(name: str) -> str:
    """NumPy's name of a type of ONNX Runtime, as "tensor(float)"; its own where there is none."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


ONNX_RUNTIME = OnnxRuntime()
