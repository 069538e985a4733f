"""Targets, and the strict reading of target files: `targets/*.toml`, or a user's own.

The records below are the schema: a field added there is read, checked, suggested and listed with no
further edit. Neither numpy nor rich is imported.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta
from packaging.version import InvalidVersion, Version

from edge_scnet.config.gates import Gates as Gates  # from here it is imported
from edge_scnet.config.schema import Filled, VersionText, check_values, read_table, read_toml
from edge_scnet.core.resources import bundled
from edge_scnet.errors import TargetError

# Boards whose GPU has no INT8: compute capability 5.3 and 6.2.
WITHOUT_INT8 = ("jetson nano", "jetson tx1", "jetson tx2")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantScheme:
    """How a graph is quantized: where Q/DQ go, and how ranges become scales."""

    placement: Annotated[
        Literal["openvino", "tensorrt", "onnxruntime"],
        Meta(description="the rules of Q/DQ placement, and with them the type of the codes"),
    ]
    variant: Annotated[
        Literal["fast", "accurate"],
        Meta(
            description=(
                "of placement openvino: fast also quantizes the inputs of residual Adds and the"
                " convolutions of SCNet's gates; of onnxruntime: sums, products and sigmoids too"
            )
        ),
    ] = "fast"
    thresholds: Annotated[
        Literal["minmax", "percentile", "entropy", "mse", "auto"],
        Meta(
            description=(
                "how the range of an activation is chosen; auto: of the others the one with the"
                " least expected error, tensor by tensor"
            )
        ),
    ] = "percentile"
    percentile: Annotated[
        float, Meta(gt=0, le=100, description="percent of an activation's values inside its range")
    ] = 99.999
    equalization: Annotated[
        float, Meta(ge=0, le=1, description="strength of cross-layer equalisation; 0: none")
    ] = 0.75
    rounding: Annotated[
        Literal["nearest", "compensated"],
        Meta(
            description=(
                "of weights; compensated: the errors of a layer cancel in its output as far as"
                " they can"
            )
        ),
    ] = "compensated"
    rounding_gflop: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="work that compensated rounding may take, the cheapest layers first",
        ),
    ] = 300.0
    bias_correction: Annotated[
        bool, Meta(description="whether a layer's bias takes out the mean of its error")
    ] = True
    samples: Annotated[
        int, Meta(ge=100, le=1_000_000, description="calibration images used at most")
    ] = 1024
    keep_float: Annotated[
        tuple[Filled, ...],
        Meta(description="patterns of module names that stay in float: fc, layer4.*"),
    ] = ()

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What a TensorRT target is built for.

    The versions whose parser must read the files, and the device.
    """

    jetpack: Annotated[
        Filled, Meta(description="releases with such a TensorRT, in words; none: a PC")
    ]
    tensorrt: Annotated[VersionText, Meta(description="the oldest TensorRT that reads the files")]
    below: Annotated[VersionText, Meta(description="the first TensorRT that may not")]
    strongly_typed: Annotated[
        bool,
        Meta(
            description=(
                "whether the file says all types, as from TensorRT 10 on; before it, flags of the"
                " builder do, and weights are float in front of Q"
            )
        ),
    ]
    max_opset: Annotated[
        int, Meta(ge=13, le=23, description="the newest ONNX opset that its parser reads")
    ]
    compute_capability: Annotated[VersionText, Meta(description="of the GPU")]
    memory_gib: Annotated[float, Meta(gt=0, le=1024, description="of the smallest module")]
    workspace_mib: Annotated[
        int, Meta(ge=16, le=1_000_000, description="what the builder's tactics may take")
    ]
    models: Annotated[
        tuple[Filled, ...],
        Meta(description="parts of /proc/device-tree/model, in any case; none: any board"),
    ] = ()

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def build_memory_mib(self) -> int:
        """What a build may take: the workspace, and TensorRT itself, the graph and the plan."""
        return self.workspace_mib + 512

    def takes(self, version: str) -> bool:
        """Whether a TensorRT version lies in the range; one that is no version does not."""
        try:
            release = Version(Version(version).base_version)
        except InvalidVersion:
            return False
        return Version(self.tensorrt) <= release < Version(self.below)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What the engines of a target are fed with."""

    type: Annotated[
        Literal["uint8", "float"] | None,
        Meta(
            description=(
                "uint8: pixels as they are, N x H x W x C, normalised inside the engine; float:"
                " normalised, N x C x H x W; without it uint8 where the samples are 8-bit pictures"
            )
        ),
    ] = None
    colour: Annotated[
        Literal["RGB", "BGR"] | None,
        Meta(description="the order of the channels of uint8; without it the network's own"),
    ] = None

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One target: a runtime, a device, and how to quantize and judge for it.

    Raises:
        TargetError: a value has the wrong type or is not allowed.
    """

    name: Annotated[Filled, Meta(description="the file's name without .toml; no key of the file")]
    title: Annotated[Filled, Meta(description="what the target is, in a line")]
    why: Annotated[Filled, Meta(description="why these settings; edge-scnet targets shows it")]
    runtime: Annotated[
        Literal["openvino", "tensorrt", "tensorrt_rtx", "onnxruntime"],
        Meta(description="what runs the engines"),
    ]
    device: Annotated[Literal["CPU", "GPU"], Meta(description="where they run")]
    precision: Annotated[
        Literal["int8", "fp16"],
        Meta(description="fp16: for boards whose GPU has no INT8; nothing is quantized"),
    ]
    isa: Annotated[
        Literal["native", "avx2", "avx2_vnni", "avx512_vnni", "asimd", "asimddp", "i8mm", "none"],
        Meta(
            description=(
                "the least instruction set of the CPU that runs the engine; native: the highest"
                " floor of the one that builds; none: no CPU computes"
            )
        ),
    ]
    opset: Annotated[
        int, Meta(ge=13, le=23, description="of the exported ONNX; Q/DQ per channel exist from 13")
    ]
    batch: Annotated[
        int, Meta(ge=1, le=1024, description="samples that an engine takes at once; it is static")
    ] = 1
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="of the CPU; 0: the runtime's own choice")
    ] = 0
    rest: Annotated[
        Literal["fp32", "fp16", "bf16"],
        Meta(
            description=(
                "precision of what is not INT8; bf16: with OpenVINO, on CPUs with AVX512-BF16 or"
                " AMX"
            )
        ),
    ] = "fp32"
    require_int8: Annotated[
        bool,
        Meta(
            description=(
                "whether a layer that should execute in INT8 and does not is an error; otherwise"
                " it is a warning"
            )
        ),
    ] = False
    compiled_blob: Annotated[
        bool,
        Meta(
            description=(
                "with OpenVINO, whether the engine as it is compiled here is put beside it, from"
                " which it loads faster on the same kind of machine"
            )
        ),
    ] = False
    quant: QuantScheme
    board: Board | None = None
    input: InputSettings | None = None
    gates: Gates = field(default_factory=Gates)

    def __post_init__(self) -> None:
        check_values(self)
        is_old = self.board is not None and not self.board.strongly_typed
        if self.precision == "fp16" and not (self.runtime == "tensorrt" and is_old):
            raise TargetError(
                'precision is "fp16", which is for boards without INT8: runtime = "tensorrt" and'
                " board.strongly_typed = false; other TensorRT targets build an FP16 twin anyway"
            )
        if self.compiled_blob and self.runtime != "openvino":
            raise TargetError(
                f'compiled_blob is true, which is for runtime = "openvino"; with {self.runtime}'
                " leave it out"
            )
        if self.rest == "bf16" and self.runtime != "openvino":
            raise TargetError(
                f'rest is "bf16", which is for runtime = "openvino"; {self.runtime} takes "fp32" or'
                ' "fp16"'
            )

    @property
    def opened_in(self) -> Literal["f32", "bf16"]:
        """The precision that an INT8 engine is opened with: that of its layers in float."""
        return "bf16" if self.rest == "bf16" else "f32"


def check_own_name(path: Path) -> None:
    """Refuses a target file that is called like a shipped one and is another.

    Its builds would lie in the shipped target's folder, and be judged by other limits under the
    same name.

    Raises:
        TargetError: it is.
    """
    shipped = _bundled_names().get(path.stem)
    if shipped is not None and path.exists() and not shipped.samefile(path):
        raise TargetError(
            f"{path}: a shipped target is called {path.stem}", hint=f"mv {path} my-{path.name}"
        )


def load_target(name_or_path: str) -> TargetSpec:
    """A bundled target by name, or a target file by its path, which ends in `.toml`.

    Raises:
        TargetError: no such target; a file that cannot be read, with a key that is unknown or
            missing, or a value that is not allowed. The message names the file and the key.
    """
    return read_target(target_file(name_or_path))


def target_file(name_or_path: str) -> Path:
    """The file of a target: a bundled one's, which can be copied, or the one that is named.

    Raises:
        TargetError: no such target, or a file that is called like a bundled one.
    """
    if name_or_path.endswith(".toml"):
        # os.path's test says False where Path's raises: a name too long, a folder that may not be
        # entered.
        if os.path.isfile(name_or_path):  # noqa: PTH113
            path = Path(name_or_path)
            check_own_name(path)
            return path
    elif name_or_path in (names := _bundled_names()):
        return names[name_or_path]
    raise _unknown(name_or_path)


def list_targets() -> list[TargetSpec]:
    """The bundled targets, sorted by name."""
    return [read_target(path) for _, path in sorted(_bundled_names().items())]


def from_dict(table: dict[str, Any]) -> TargetSpec:
    """The target that a manifest recorded (`dataclasses.asdict` of one).

    Raises:
        TargetError: keys or values this version does not know.
    """
    try:
        return read_table(TargetSpec, _without_unset_dla(table))
    except TargetError as error:
        raise TargetError(
            f"it was built by another version of edge-scnet: its target: {error.message}",
            hint="build it again: edge-scnet build",
        ) from error


def _without_unset_dla(table: dict[str, Any]) -> dict[str, Any]:
    """The record of a target without `board.dla_core`, which earlier versions wrote as null."""
    board = table.get("board")
    if not isinstance(board, dict) or board.get("dla_core", 0) is not None:
        return table
    return {**table, "board": {key: board[key] for key in board if key != "dla_core"}}


def _bundled_names() -> dict[str, Path]:
    return {path.stem: path for path in bundled("targets").glob("*.toml")}


def _unknown(name: str) -> TargetError:
    names = sorted(_bundled_names())
    message = f"unknown target {json.dumps(name)}"
    if name.lower().replace("-", " ") in WITHOUT_INT8:
        raise TargetError(
            f"{name}: that GPU computes no INT8 (it is older than compute capability 7.2)",
            hint="its target is FP16 alone: edge-scnet build --target jetson-fp16",
        )
    if name.endswith(".toml"):
        message = f"no target file at {name}"
    elif close := difflib.get_close_matches(name.lower(), names, n=1):
        message += f"; did you mean {close[0]}?"
    return TargetError(
        f"{message}\ntargets: {', '.join(names)}, or the path of a .toml file",
        hint="edge-scnet targets",
    )


def read_target(path: Path) -> TargetSpec:
    """The target of a target file.

    Raises:
        TargetError: as `load_target`; or the file's name cannot be a target's.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", path.stem):
        # The name becomes a folder of the build.
        raise TargetError(
            f"{path}: the file's name is the target's name: letters, digits, '-', '_' and '.' only"
        )
    table = read_toml(path)
    if "name" in table:
        raise TargetError(
            f"{path}: name: not a key; the file's name without .toml is the target's name"
        )
    if isinstance(table.get("board"), dict) and "dla_core" in table["board"]:
        raise TargetError(
            f"{path}: board.dla_core: no key any more: the accelerator takes no Q/DQ, which is how"
            " INT8 is written here, and TensorRT 10.8 to 11.3 lack it",
            hint=f"the GPU runs everything: sed -i '/^ *dla_core/d' {shlex.quote(str(path))}",
        )
    try:
        return read_table(TargetSpec, {"name": path.stem, **table})
    except TargetError as error:
        raise TargetError(f"{path}: {error.message}", hint=error.hint) from error.__cause__


def with_max_drop(target: TargetSpec, max_drop_pp: float | None) -> TargetSpec:
    """The target with another limit for the drop of top-1, in percentage points; None: the same."""
    if max_drop_pp is None:
        return target
    return replace(target, gates=replace(target.gates, max_drop_pp=max_drop_pp))
