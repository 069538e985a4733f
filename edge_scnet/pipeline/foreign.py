"""Engines that no manifest describes: found, their inputs read, and made ready to be measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.compile.script_plans import with_script_plans
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import EngineSpec, TensorSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.linux import quota_threads, usable_cores
from edge_scnet.models.defaults import task_of
from edge_scnet.models.pictures import Defaults, preprocessing_of
from edge_scnet.profiler.process import EngineFile
from edge_scnet.runtimes import RUNTIMES, usable_runtime
from edge_scnet.runtimes.base import EngineInput, OpenOptions, Runtime
from edge_scnet.runtimes.shared import files_of
from edge_scnet.stats.figures import EngineRole

# Other people's names of TensorRT's plans.
_OTHER_SUFFIXES = {".engine": ".plan", ".trt": ".plan"}
_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignEngine:
    """An engine without a manifest, and what it takes."""

    file: EngineFile
    spec: EngineSpec
    batch: int
    # its batch is open, and was chosen here
    has_open_batch: bool
    # it lies in a build folder whose manifest does not list it
    beside_manifest: bool


def is_foreign(path: Path) -> bool:
    """Whether a path is an engine's file that no manifest beside it lists.

    Raises:
        ArtifactError: there is a manifest that cannot be read.
    """
    if not path.is_file() or path.suffix.lower() not in suffixes():
        return False
    if not (path.parent / MANIFEST).is_file():
        return True
    folder = with_script_plans(BuildFolder.open(path.parent))
    return path.name not in folder.manifest.artifacts


def open_foreign(
    path: Path,
    options: ModelOptions,
    *,
    name: str,
    role: EngineRole,
    batch: int | None = None,
) -> ForeignEngine:
    """Reads what an engine takes.

    Args:
        options: the sizes that it leaves open, and the preprocessing of pictures.
        name: of its row.
        batch: what its batch is where it is open; None: 1.

    Raises:
        MissingRuntimeError: its runtime is not installed, or cannot run here.
        BackendError: the runtime refuses it.
        ArtifactError: sizes that it leaves open and no option gives, or types that cannot be fed.
    """
    runtime = _runtime_of(path)
    declared = runtime.inputs_of(path)
    if not declared:
        raise ArtifactError(f"{path} has no input", hint="pass an engine that is fed with samples")
    inputs = [
        _fixed(item, path, options, batch or 1, first=i == 0) for i, item in enumerate(declared)
    ]
    first, *others = inputs
    shapes = tuple(
        (item.name, _sizes(item))
        for item, was in zip(inputs, declared, strict=True)
        if None in was.shape
    )
    return ForeignEngine(
        file=EngineFile(
            name=name,
            role=role,
            runtime=runtime.name,
            path=path,
            options=OpenOptions(
                precision="default", shapes=shapes, threads=quota_threads(usable_cores())
            ),
            size_bytes=sum(file.stat().st_size for file in files_of(path)),
            sha256=sha256_file(path),
        ),
        spec=_spec(path, first, others, options),
        batch=_sizes(first)[0],
        has_open_batch=declared[0].shape[0] is None,
        beside_manifest=(path.parent / MANIFEST).is_file(),
    )


def runtimes_of(paths: Sequence[Path]) -> dict[Path, str]:
    """The name of the first runtime that opens each engine's file, installed or not."""
    return {
        path: next(name for name, runtime in RUNTIMES.items() if runtime.suffix == _suffix(path))
        for path in paths
    }


def suffixes() -> tuple[str, ...]:
    """The suffixes of engines' files."""
    own = dict.fromkeys(runtime.suffix for runtime in RUNTIMES.values())
    return (*own, *_OTHER_SUFFIXES)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return _OTHER_SUFFIXES.get(suffix, suffix)


def _runtime_of(path: Path) -> Runtime:
    """The first runtime that opens such files and is installed, else the first that opens them.

    Raises:
        MissingRuntimeError: it is not installed.
    """
    able = [runtime for runtime in RUNTIMES.values() if runtime.suffix == _suffix(path)]
    here = [runtime for runtime in able if runtime.unavailable() is None]
    return usable_runtime((here or able)[0].name)


def _fixed(
    item: EngineInput, path: Path, options: ModelOptions, batch: int, *, first: bool
) -> EngineInput:
    """An input with no size left open.

    Raises:
        ArtifactError: one that no option gives, or that contradicts an option; a type or rank that
            cannot be fed.
    """
    try:
        np.dtype(item.dtype)
    except TypeError:
        raise ArtifactError(
            f"{path}: input {item.name!r} is {item.dtype}, which NumPy has no type for: it cannot"
            " be fed",
            hint="convert the model's inputs to FP32, or to whole numbers",
        ) from None
    if not item.shape:
        if first:
            raise ArtifactError(
                f"{path}: the first input, {item.name!r}, is a single number",
                hint="pass an engine whose first input holds samples along its first axis",
            )
        return item
    sizes = [batch if item.shape[0] is None else item.shape[0], *item.shape[1:]]
    if first and options.input_shape is not None:
        asked = _in_layout(options.input_shape, item)
        fits = len(asked) == len(sizes) - 1 and all(
            size in (None, wanted) for size, wanted in zip(sizes[1:], asked, strict=True)
        )
        if not fits:
            raise ArtifactError(
                f"{path}: {item.name} is {_words(item.shape)}, --input-shape says"
                f" {_words(options.input_shape)}",
                hint="leave --input-shape out, or give the sizes behind the batch",
            )
        sizes[1:] = asked
    if None in sizes:
        wanted = (
            f"pass --input-shape with {len(sizes) - 1} sizes, all but the batch, as 3x240x320"
            if first
            else "save the model with fixed sizes"
        )
        raise ArtifactError(
            f"{path}: the sizes of {item.name} are open: {_words(item.shape)}", hint=wanted
        )
    return EngineInput(name=item.name, shape=tuple(sizes), dtype=item.dtype)


def _in_layout(asked: tuple[int, ...], item: EngineInput) -> tuple[int, ...]:
    """The sizes as the engine has them: of N x H x W x C, C x H x W is understood too."""
    if _is_channels_last(item.shape) and asked[0] in _CHANNELS and asked[-1] not in _CHANNELS:
        return (*asked[1:], asked[0])
    return asked


def _is_channels_last(shape: Sequence[int | None]) -> bool:
    return len(shape) == 4 and shape[3] in _CHANNELS and shape[1] not in _CHANNELS


def _spec(
    path: Path, first: EngineInput, others: Sequence[EngineInput], options: ModelOptions
) -> EngineSpec:
    """What the engine takes, and the preprocessing of pictures by the options.

    Raises:
        ArtifactError: inputs that do not have the batch of the first, or numbers that an input of
            bytes does not take.
    """
    batch, *shape = _sizes(first)
    last = _is_channels_last(first.shape)
    preprocessing = _preprocessing_of(shape, options, channels_last=last, dtype=first.dtype)
    if first.dtype == "uint8" and not _is_pixels(preprocessing):
        raise ArtifactError(
            f"{path}: input {first.name!r} takes uint8, pixels from 0 to 255 as they are; --mean,"
            " --std and --pixel-max make other numbers of them",
            hint="leave them out: what normalises pixels is inside such an engine",
        )
    return EngineSpec(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._") or "engine",
        arch="engine",
        input_shape=tuple(shape),
        preprocessing=preprocessing,
        classes=options.class_names or (),
        num_classes=options.num_classes or len(options.class_names or ()) or None,
        task=task_of(options),
        input_name=first.name if others else None,
        more_inputs=tuple(_other(item, batch, path) for item in others),
        channels_last=last,
        dtype=first.dtype,
    )


def _preprocessing_of(
    shape: Sequence[int], options: ModelOptions, *, channels_last: bool, dtype: str
) -> Preprocessing:
    """The preprocessing of pictures; of inputs that take none nothing is done.

    Raises:
        ArtifactError: as `preprocessing_of`.
    """
    if len(shape) != 3:
        return Preprocessing(mean=(), std=())
    ordered = (shape[-1], *shape[:-1]) if channels_last else tuple(shape)
    # bytes are pixels; of other types the options must say it
    deviation = 1 / 255 if dtype == "uint8" else 1.0
    channels = ordered[0]
    defaults = Defaults(mean=(0.0,) * channels, std=(deviation,) * channels, repeats=True)
    return preprocessing_of(options, ordered, defaults)


def _is_pixels(preprocessing: Preprocessing) -> bool:
    """Whether the numbers are the codes from 0 to 255, as far as float32 tells."""
    largest = [preprocessing.pixel_max / std for std in preprocessing.std]
    return not any(preprocessing.mean) and all(abs(code - 255) < 0.01 for code in largest)


def _other(item: EngineInput, batch: int, path: Path) -> TensorSpec:
    """An input behind the first: of one sample, or all of it where it has no batch axis.

    Raises:
        ArtifactError: it has no batch axis, and the engine takes several samples at once.
    """
    sizes = _sizes(item)
    if sizes[:1] == (batch,):
        return TensorSpec(name=item.name, shape=sizes[1:], dtype=item.dtype)
    if batch == 1:
        return TensorSpec(name=item.name, shape=sizes, dtype=item.dtype)
    raise ArtifactError(
        f"{path}: input {item.name!r} is {_words(sizes)}, and the first one's batch is {batch}",
        hint="profile it at batch 1",
    )


def _sizes(item: EngineInput) -> tuple[int, ...]:
    return tuple(size for size in item.shape if size is not None)


def _words(shape: Sequence[int | None]) -> str:
    return " x ".join("?" if size is None else str(size) for size in shape)
