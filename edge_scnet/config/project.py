"""`edge-scnet.toml`: what `edge-scnet check --build` builds and holds to which baselines. Read as
strictly as a target file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edge_scnet.config.schema import Filled, Range, check_values, read_table, unknown_key
from edge_scnet.config.target import Gates
from edge_scnet.errors import TargetError

if TYPE_CHECKING:
    from edge_scnet.config.model_options import ModelOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "edge-scnet.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `build` is told of a model that the zoo does not know; as its options."""

    arch: str | None = None
    num_classes: Annotated[int | None, Range(1, 1_000_000)] = None
    channels: Annotated[int | None, Range(1, 4)] = None
    input_size: Annotated[int | None, Range(8, 4096)] = None
    resize: Annotated[int | None, Range(8, 8192)] = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        check_values(self)

    def for_zoo(self) -> ModelOptions:
        from edge_scnet.config.model_options import ModelOptions

        return ModelOptions(**{item.name: getattr(self, item.name) for item in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One model, its data, and the targets whose engines are held to baselines. Paths are relative
    to the file.
    """

    model: Annotated[
        str, Filled()
    ]  # as build's MODEL: a zoo name, a checkpoint, an .onnx, package.module:factory
    targets: tuple[Annotated[str, Filled()], ...]  # names, or .toml files
    baselines: Annotated[str, Filled()]  # folder: <model>-<target>.json each
    calib: str | None = None  # images; None: the zoo model's bundled ones
    eval: str | None = None
    out: str = "build"
    seconds: Annotated[float, Range(0.1, 3600)] = 3.0  # timed, per engine
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        check_values(self)
        if not self.targets:
            raise TargetError("targets is empty; it must name at least one")
        names = [
            Path(target).stem if target.endswith(".toml") else target for target in self.targets
        ]
        if twice := [name for name in names if names.count(name) > 1]:
            raise TargetError(
                f"targets names {twice[0]} twice; they would share a folder and a baseline"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A project file as read: where it lies, and the limits it sets over those of the baselines."""

    root: Path
    project: Project
    limits: dict[str, Any]

    def path(self, name: str) -> Path:
        return self.root / name

    @property
    def model(self) -> str:
        """The model, a file's path taken from the project file's folder."""
        file = self.root / self.project.model
        return str(file) if file.is_file() else self.project.model


def load(path: Path) -> Located:
    """Reads a project file.

    Raises:
        TargetError: it is missing, or has a key or value that is not allowed; names both.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TargetError(
            f"no project file at {path}",
            hint=(
                "write one with model, targets and baselines (README, Continuous integration), or"
                f" name it: --project {FILE}"
            ),
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TargetError(f"{path}: not valid TOML: {error}") from error
    limits = table.pop("limits", {})
    try:
        if not isinstance(limits, dict):
            raise TargetError("limits must be a table: [limits]")
        with_limits(Gates(), limits, prefix="limits.")
        project: Project = read_table(Project, table, prefix="")
    except TargetError as error:
        raise TargetError(
            f"{path}: {error.message}", hint="its keys: README, Continuous integration"
        ) from None
    return Located(root=path.parent, project=project, limits=limits)


def with_limits(gates: Gates, limits: dict[str, Any], *, prefix: str = "") -> Gates:
    """Gates with some of them set.

    Raises:
        TargetError: no such limit, or a value that is not allowed.
    """
    known = [item.name for item in fields(Gates)]
    for key in limits:
        if key not in known:
            raise unknown_key(key, prefix, known, root=Gates)
    try:
        return replace(gates, **limits)
    except TargetError as error:
        raise TargetError(f"{prefix}{error.message}") from None
