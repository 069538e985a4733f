"""TensorRT, 8.6 to 11, and TensorRT-RTX: ONNX to plans in a child process, and sessions on the GPU.

Two backends of one class, for the APIs are one: what a version lacks is looked up. Building needs
no GPU with TensorRT-RTX; running needs one always.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import installed
from edge_scnet.errors import BackendError, MissingRuntimeError, TargetError
from edge_scnet.runtimes.base import OpenOptions, Session, fixed_batch
from edge_scnet.runtimes.tensorrt import layers as trt_layers

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec
    from edge_scnet.graph.lint import LintFinding

_BUILDER = (
    "import sys; sys.path[:] = {path!a}; from edge_scnet.runtimes.tensorrt.builder import main;"
    " main()"
)
# Noise that every build of TensorRT-RTX prints without a GPU.
_NOISE = ("Thread context has not been set", "getHardwareCompatibilityLevel", "Converting conv ")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlan:
    """A plan and what its builder told."""

    path: Path
    tensorrt: str  # version
    seconds: float
    layers: tuple[trt_layers.PlanLayer, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRt:
    """A backend (`base.Backend`) for one of the two packages."""

    ARTIFACT_KIND: str
    EXTRA: str
    modules: tuple[str, ...]  # names to import, the first that is there
    title: str
    SUFFIX: str = ".plan"
    CONVOLUTIONS: frozenset[str] = trt_layers.CONVOLUTIONS
    INT8_PRECISIONS: frozenset[str] = frozenset({"int8"})

    def unavailable(self) -> str | None:
        """Why it cannot build here."""
        if any(installed(name) for name in self.modules):
            return None
        return f"the package {self.modules[0]!r} is not installed"

    def unavailable_to_run(self) -> str | None:
        """Why it cannot run a plan here, though it may build one."""
        from edge_scnet.runtimes.tensorrt import cuda

        return self.unavailable() or cuda.unavailable()

    def versions(self) -> dict[str, str]:
        from importlib.metadata import PackageNotFoundError, version

        for name in self.modules:
            for distribution in (name, name.replace("_bindings", "_cu12_bindings")):
                with contextlib.suppress(PackageNotFoundError):
                    return {self.title: version(distribution)}
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

    def check_built(
        self, facts: Mapping[str, Any], rebuild: str, *, here: str | None = None
    ) -> None:
        """As `base.Backend`; `here` is the version that is to load the plan, where that is not the
        Python package's.
        """
        from edge_scnet.machine import environment

        made, here = str(facts.get("tensorrt", "")), here or self.versions().get(self.title)
        if here is not None and not _same_version(made, here):
            raise TargetError(
                f"the plan was built with {self.title} {made}, {here} is installed here",
                hint=rebuild,
            )
        board = (facts.get("machine") or {}).get("jetson_model")
        found = environment.collect().jetson_model
        if board is not None and board != found:
            raise TargetError(
                f"the plan was built on {board}, this machine is {found or 'no Jetson'}",
                hint=rebuild,
            )

    def rewrites(self, source: Path) -> tuple[LintFinding, ...]:
        return ()

    def build(self, source: Path, target: TargetSpec, out: Path) -> tuple[Path, ...]:
        return (self.build_plan(source, target, out).path,)

    def build_plan(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        timing_cache: Path | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> BuiltPlan:
        """Builds the plan of an ONNX file for a target.

        Args:
            timing_cache: read where it is there, written after the build. It is valid for one GPU
                and TensorRT only: its name should say which.

        Raises:
            MissingRuntimeError: the package is not installed.
            BackendError: the parser or builder refused it: all its messages.
            StorageError: `out` cannot be written.
        """
        self._check_installed()
        assert target.board is not None
        with write_atomic(out) as temporary:
            job = {
                "modules": self.modules,
                "source": str(source),
                "out": str(temporary),
                "workspace_bytes": target.board.workspace_mib << 20,
                "strongly_typed": target.board.strongly_typed,
                "precisions": [] if target.board.strongly_typed else ["int8", "fp16"],
                "dla_core": target.board.dla_core,
                "timing_cache": str(timing_cache) if timing_cache else None,
                "batches": None,
            }
            answer = _in_child(job, source, self.title, progress)
        layers = (
            trt_layers.from_inspector(answer["inspector"])
            if answer["inspector"]
            else trt_layers.from_log(answer["layers"])
        )
        warnings = tuple(
            text for text in answer["warnings"] if not any(noise in text for noise in _NOISE)
        )
        return BuiltPlan(
            path=out,
            tensorrt=answer["version"],
            seconds=answer["seconds"],
            layers=layers,
            warnings=warnings,
        )

    @contextlib.contextmanager
    def open(self, artifact: Path, options: OpenOptions) -> Iterator[Session]:
        """Loads a plan on the GPU.

        Raises:
            MissingRuntimeError: no TensorRT, or no GPU driver.
            BackendError: TensorRT refuses the plan, with its own words.
        """
        if reason := self.unavailable_to_run():
            raise MissingRuntimeError(
                f"{artifact.name} cannot run here: {reason}",
                hint="run it on its board: edge-scnet doctor",
            )
        from edge_scnet.runtimes.tensorrt import session as trt_session

        with trt_session.opened(self._module(), artifact, cuda_graph=options.cuda_graph) as session:
            if options.batch not in (0, session.input_shape[0]):
                raise fixed_batch(artifact, session.input_shape[0], options.batch)
            yield session

    def _check_installed(self) -> None:
        if reason := self.unavailable():
            raise MissingRuntimeError(reason, hint=self.install_hint())

    def install_hint(self) -> str:
        if self.EXTRA == "rtx":
            return "pip install 'edge-scnet[rtx]' (Linux x86-64)"
        return (
            "TensorRT comes with JetPack: python3 -m venv --system-site-packages; pip install"
            " 'edge-scnet[jetson]'; trtexec is enough for profile: sudo apt install libnvinfer-bin,"
            " or TRTEXEC=PATH"
        )

    def _module(self) -> Any:
        import importlib

        self._check_installed()
        return importlib.import_module(next(name for name in self.modules if installed(name)))


def _in_child(
    job: dict[str, Any], source: Path, title: str, progress: Callable[[float], None]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        code, last = _run_child({**job, "answer": str(answer)}, progress)
        content: dict[str, Any] | None = (
            json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None
        )
    if content is None:
        raise BackendError(
            f"{title} crashed on {source.name} ({_cause(code)}){': ' + last if last else ''}",
            hint=(
                "the file may hold what its parser cannot read: edge-scnet inspect FILE --target"
                " TARGET; memory: free -h"
            ),
        )
    if "error" in content:
        raise BackendError(
            f"{title} refuses {source.name}:\n{_indented(content['error'])}",
            hint="edge-scnet inspect FILE --target TARGET names the node and the fix",
        )
    built: dict[str, Any] = content["ok"]
    return built


def _run_child(job: dict[str, Any], progress: Callable[[float], None]) -> tuple[int, str]:
    """The builder's exit code, and the last line that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILDER.format(path=sys.path)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    last = ""
    with process:
        try:
            assert process.stdin is not None and process.stderr is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once: its exit code tells
                process.stdin.write(json.dumps(job))
                process.stdin.close()
            for line in process.stderr:
                if line.startswith("progress "):
                    progress(float(line.split()[1]))
                elif line.strip():
                    last = line.strip()
        except BaseException:
            process.kill()
            raise
    return process.returncode, last


def _same_version(one: str, other: str) -> bool:
    """By major, minor and patch: a wheel's version has a build number behind them."""
    return one.split(".")[:3] == other.split(".")[:3]


def _cause(code: int) -> str:
    import signal

    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[:20])


TENSORRT = TensorRt(
    ARTIFACT_KIND="tensorrt-plan", EXTRA="jetson", modules=("tensorrt",), title="TensorRT"
)
RTX = TensorRt(
    ARTIFACT_KIND="tensorrt-rtx-plan",
    EXTRA="rtx",
    modules=("tensorrt_rtx_bindings", "tensorrt_rtx"),
    title="TensorRT-RTX",
)
