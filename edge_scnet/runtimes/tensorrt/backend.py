"""TensorRT, 8.6 to 11, and TensorRT-RTX: builds plans in a child process, runs them on the GPU.

Two runtimes of one class, for the APIs are one: what a version lacks is looked up. Building needs
no GPU with TensorRT-RTX; running needs one always.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from edge_scnet.core.child_process import cause_of_end, start_python
from edge_scnet.core.facts import Facts, PlanFacts
from edge_scnet.core.files import write_atomic
from edge_scnet.core.json_records import decode, encode_pretty
from edge_scnet.core.optional import install_hint, installed
from edge_scnet.errors import BackendError, MissingRuntimeError, TargetError
from edge_scnet.machine import environment
from edge_scnet.machine.jetson import UNKNOWN_MODEL
from edge_scnet.runtimes.base import (
    BaseRuntime,
    Built,
    EngineInput,
    OpenOptions,
    Session,
    no_progress,
)
from edge_scnet.runtimes.fixed_batch import fixed_batch
from edge_scnet.runtimes.tensorrt import cuda
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.job import BuilderOutput, PlanAnswer, PlanJob
from edge_scnet.runtimes.tensorrt.session import NO_START, opened
from edge_scnet.runtimes.tensorrt.trtexec import find_trtexec

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec

_BUILDER = "edge_scnet.runtimes.tensorrt.builder:main"
# Noise that every build of TensorRT-RTX prints without a GPU.
_NOISE = (
    "Thread context has not been set",
    "getHardwareCompatibilityLevel",
    "Converting conv ",
    # tensors are bound in the types that the plan has
    "has Int64 binding",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRt(BaseRuntime):
    """One of the two packages: TensorRT, or TensorRT-RTX."""

    suffix: str = ".plan"
    convolutions: frozenset[str] = trt_layers.CONVOLUTIONS
    linear_layers: frozenset[str] = trt_layers.LINEAR_LAYERS
    int8_precisions: frozenset[str] = frozenset({"int8"})
    takes_cuda_graph: bool = True
    # The builder's first pass on a board takes minutes: a cache beside the plan makes the next ones
    # short.
    keeps_timing_cache: bool = False

    def unavailable_to_run(self) -> str | None:
        return self.unavailable() or cuda.unavailable()

    def builds_here(self) -> bool:
        if self.unavailable() is not None:
            return False
        # a PC with TensorRT would make a plan that runs on no board
        return not self.packs_bundle or environment.collect().jetson_model is not None

    def timing_program(self) -> Path | None:
        return find_trtexec() if self.packs_bundle and self.unavailable_to_run() else None

    def install_hint(self) -> str:
        if not self.packs_bundle:
            return f"{install_hint(self.extra)} (Linux x86-64)"
        return (
            "sudo apt install python3-venv python3-libnvinfer && python3 -m venv"
            f" --system-site-packages .venv && .venv/bin/{install_hint(self.extra)}; trtexec is"
            " enough for profile: sudo apt install libnvinfer-bin, or TRTEXEC=PATH"
        )

    def versions(self) -> dict[str, str]:
        for module in filter(installed, self.modules):
            told = _told_beside(module)
            if len(told) == 1:
                return {self.title: told.pop()}
            # linked or copied into a virtual environment, without what pip writes beside it; or two
            # wheels wrote into one folder, and the last of them is there
            with contextlib.suppress(ImportError, OSError, AttributeError):
                return {self.title: str(importlib.import_module(module).__version__)}
        return {}

    def preload(self) -> None:
        self._module()

    def check_target(self, target: TargetSpec) -> None:
        if target.device != "GPU":
            raise TargetError(
                f"{target.name}: device {target.device!r} is not supported by this backend;"
                " allowed: GPU"
            )
        if target.board is None:
            raise TargetError(f"{target.name}: the table [board] is missing")
        if target.quant.placement != "tensorrt":
            raise TargetError(
                f'{target.name}: quant.placement is "{target.quant.placement}"; TensorRT needs'
                ' "tensorrt"'
            )
        if target.isa != "none":
            raise TargetError(f'{target.name}: isa is "{target.isa}"; a GPU target has "none"')

    def check_built(self, facts: Facts, rebuild: str, *, here: str | None = None) -> None:
        """Checks that a plan was built by this TensorRT and on this board.

        Args:
            facts: the plan's, of its manifest.
            rebuild: the command that builds it again.
            here: the version that is to load the plan, where that is not the Python package's.

        Raises:
            TargetError: it was built by another, or elsewhere.
        """
        built_with = facts.tensorrt if isinstance(facts, PlanFacts) else ""
        here = here or self.versions().get(self.title)
        if here is not None and not _same_version(built_with, here):
            raise TargetError(
                f"the plan was built with {self.title} {built_with}, {here} is installed here",
                hint=rebuild,
            )
        board = facts.board if isinstance(facts, PlanFacts) else None
        machine = environment.collect().jetson_model
        if board is not None and board != machine and UNKNOWN_MODEL not in (board, machine):
            raise TargetError(
                f"the plan was built on {board}, this machine is {machine or 'no Jetson'}",
                hint=rebuild,
            )

    def build(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        progress: Callable[[float], None] = no_progress,
    ) -> Built:
        """Builds the plan of an ONNX file for a target.

        Raises:
            MissingRuntimeError: the package is not installed.
            BackendError: the parser or builder refused it: all its messages.
            StorageError: `out` cannot be written.
        """
        self._check_installed()
        assert target.board is not None
        timing_cache = out.with_name(self._cache_name()) if self.keeps_timing_cache else None
        with write_atomic(out) as temporary, tempfile.TemporaryDirectory() as folder:
            job = PlanJob(
                modules=self.modules,
                source=str(source),
                out=str(temporary),
                answer=str(Path(folder, "answer.json")),
                workspace_bytes=target.board.workspace_mib << 20,
                strongly_typed=target.board.strongly_typed,
                precisions=() if target.board.strongly_typed else ("int8", "fp16"),
                timing_cache=str(timing_cache) if timing_cache else None,
            )
            made = _in_child(job, self.title, progress)
        layers = (
            trt_layers.from_inspector(made.inspector)
            if made.inspector
            else trt_layers.from_log(made.layers)
        )
        warnings = tuple(
            text for text in made.warnings if not any(noise in text for noise in _NOISE)
        )
        return Built(
            files=(out,),
            version=made.version,
            seconds=made.seconds,
            layers=trt_layers.executed(layers),
            warnings=warnings,
        )

    @contextlib.contextmanager
    def open(self, artifact: Path, options: OpenOptions) -> Iterator[Session]:
        """Loads a plan on the GPU.

        Raises:
            MissingRuntimeError: no TensorRT, or no GPU driver.
            BackendError: TensorRT refuses the plan, with its own words.
            TargetError: `options.batch` is another than the plan's.
        """
        if reason := self.unavailable_to_run():
            hint = None if self.unavailable() else cuda.state().hint
            raise MissingRuntimeError(
                f"{artifact.name} cannot run here: {reason}",
                hint=hint or "run it on its board: edge-scnet doctor",
            )
        with opened(self._module(), artifact, cuda_graph=options.cuda_graph is True) as session:
            if options.batch not in (0, session.input_shape[0]):
                raise fixed_batch(artifact, session.input_shape[0], options.batch)
            yield session

    def inputs_of(self, artifact: Path) -> tuple[EngineInput, ...]:
        self._check_installed()
        if reason := self.unavailable_to_run():
            raise MissingRuntimeError(reason, hint=cuda.state().hint)
        with opened(self._module(), artifact) as session:
            return session.inputs

    def _cache_name(self) -> str:
        """The timing cache's file name; it is valid for one GPU and TensorRT only."""
        board = environment.collect().jetson_model or "gpu"
        words = "-".join([board, *self.versions().values()])
        return "timing-" + "".join(c if c.isalnum() or c in ".-" else "_" for c in words) + ".cache"

    def _check_installed(self) -> None:
        if reason := self.unavailable():
            raise MissingRuntimeError(reason, hint=self.install_hint())

    def _module(self) -> Any:
        self._check_installed()
        name = next(name for name in self.modules if installed(name))
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:  # a library of it is missing
            raise MissingRuntimeError(
                f"the package {name!r} cannot be loaded: {error}", hint=self.install_hint()
            ) from error


def _told_beside(module: str) -> set[str]:
    """The versions that the metadata beside a package's folder tells.

    Metadata of the board's own package may be on the path behind a wheel in a virtual environment,
    or the other way round: what does not lie beside the package that is imported is another's.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return set()
    place = Path(spec.origin).parents[1]
    name = module.removesuffix("_bindings")
    wheels = (f"{name}_{cuda}{of}" for cuda in ("cu12", "cu13") for of in ("_bindings", ""))
    found = {
        distribution.version
        for wanted in (module, *wheels)
        for distribution in importlib.metadata.distributions(name=wanted, path=[str(place)])
    }
    return {version for version in found if version}


def _in_child(job: PlanJob, title: str, progress: Callable[[float], None]) -> BuilderOutput:
    """Builds a plan in a process of its own.

    Raises:
        BackendError: the builder crashed, or refused the file.
    """
    exit_code, last_line = _run_builder(job, progress)
    source = Path(job.source).name
    try:
        answer = decode(PlanAnswer, Path(job.answer).read_bytes())
    except (FileNotFoundError, ValueError) as error:
        said = f": {last_line}" if last_line else ""
        raise BackendError(
            f"{title} crashed on {source} ({cause_of_end(exit_code)}){said}",
            hint=(
                "the file may hold what its parser cannot read: edge-scnet inspect FILE --target"
                " TARGET; memory: free -h"
            ),
        ) from error
    if answer.made is None and answer.at_start:
        raise BackendError(
            f"{title} cannot start here:\n{_indented(answer.error or '')}", hint=NO_START
        )
    if answer.made is None:
        raise BackendError(
            f"{title} refuses {source}:\n{_indented(answer.error or '')}",
            hint="edge-scnet inspect FILE --target TARGET names the node and the fix",
        )
    return answer.made


def _run_builder(job: PlanJob, progress: Callable[[float], None]) -> tuple[int, str]:
    """Returns the builder's exit code, and the last line that it printed."""
    process = start_python(_BUILDER, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    last_line = ""
    with process:
        try:
            assert process.stdin is not None and process.stderr is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once: its exit code tells
                process.stdin.write(encode_pretty(job).encode())
                process.stdin.close()
            for line in process.stderr:
                text = line.decode(errors="replace").strip()
                if text.startswith("progress "):
                    progress(float(text.split()[1]))
                elif text:
                    last_line = text
        except BaseException:
            process.kill()
            raise
    return process.returncode, last_line


def _same_version(one: str, other: str) -> bool:
    """Compares major, minor and patch: a wheel's version has a build number behind them."""
    try:
        versions = Version(one), Version(other)
    except InvalidVersion:
        return one == other
    parts = [(version.major, version.minor, version.micro) for version in versions]
    return parts[0] == parts[1]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[:20])


TENSORRT = TensorRt(
    name="tensorrt",
    title="TensorRT",
    artifact_kind="tensorrt-plan",
    extra="jetson",
    modules=("tensorrt",),
    packs_bundle=True,
    keeps_timing_cache=True,
)
RTX = TensorRt(
    name="tensorrt_rtx",
    title="TensorRT-RTX",
    artifact_kind="tensorrt-rtx-plan",
    extra="rtx",
    modules=("tensorrt_rtx_bindings", "tensorrt_rtx"),
)
