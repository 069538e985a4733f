"""`edge-scnet.toml`: one model, its data and its targets, for every command.

`edge-scnet check --build` builds what it names; other commands take from it with `--project` what
their command line does not say. It is read as strictly as a target file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from edge_scnet.config.expectation import expectations
from edge_scnet.config.merging import merged_options
from edge_scnet.config.model_options import ModelOptions, ways_to_split
from edge_scnet.config.schema import Filled, check_values, read_table, read_toml
from edge_scnet.config.target import Gates
from edge_scnet.core.foreign import exists
from edge_scnet.core.source import parse_source
from edge_scnet.errors import TargetError

FILE = "edge-scnet.toml"
# Set by a fleet on each of its devices: the device whose own folder results and baselines lie in.
DEVICE = "EDGE_SCNET_DEVICE"
# Keys of the file whose parameters are called otherwise.
KEYS = {"evaluation": "eval", "target": "targets"}
# Options that say what another one says.
ALIASES = {"expect": "expect_top1"}

# What of a report may differ from its baseline where somebody allows it: the weights; the
# evaluation images; the calibration images; how pictures become inputs; the target's settings.
AllowedKind = Literal["checkpoint", "images", "calibration", "preprocessing", "settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What `edge-scnet check` takes from a project file."""

    allow: Annotated[
        tuple[AllowedKind, ...],
        Meta(description="what may differ from the baseline, as after training anew"),
    ] = ()

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One model, its data, and the targets whose engines are held to baselines.

    Paths are relative to the project file.
    """

    model: Annotated[
        Filled,
        Meta(
            description=(
                "as build's MODEL: a bundled model, a checkpoint, an .onnx file, timm:NAME,"
                " torchvision:NAME or package.module:factory"
            )
        ),
    ]
    targets: Annotated[
        tuple[Filled, ...], Meta(description="names of targets, or paths of target files")
    ]
    baselines: Annotated[Filled, Meta(description="the folder with a <model>-<target>.json each")]
    calib: Annotated[
        str | None,
        Meta(description="samples to calibrate with; without it a bundled model's own"),
    ] = None
    eval: Annotated[
        str | None,
        Meta(description="samples to evaluate on; without it a bundled model's own"),
    ] = None
    out: Annotated[str, Meta(description="the folder that build folders are made in")] = "build"
    seconds: Annotated[
        float, Meta(ge=0.1, le=3600, description="how long each engine is timed")
    ] = 3.0
    skip_bad: Annotated[
        bool, Meta(description="whether images that cannot be read are left out")
    ] = False
    ignore_labels: Annotated[
        bool, Meta(description="whether the labels of the samples are not used")
    ] = False
    expect: Annotated[
        tuple[str, ...],
        Meta(
            description=('figures that FP32 is known to reach, as "top1=94.1"; others are an error')
        ),
    ] = ()
    options: ModelOptions = field(default_factory=ModelOptions)
    check: CheckSettings = field(default_factory=CheckSettings)

    def __post_init__(self) -> None:
        check_values(self)
        try:
            expectations(self.expect)
        except ValueError as error:
            raise TargetError(f"expect: {error}") from None
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
    """A project file as read: where it lies, and the limits that go before those of baselines."""

    file: Path
    project: Project
    limits: dict[str, Any]

    @property
    def root(self) -> Path:
        """The folder that its paths are taken from."""
        return self.file.parent

    def path(self, name: str) -> Path:
        """A path of the project file, taken from the file's folder."""
        return self.root / name

    def samples(self, name: str) -> str:
        """A sample set; a path is taken from the file's folder, a function stays as it is."""
        return parse_source(name).below(self.root).text

    @property
    def allowed(self) -> dict[AllowedKind, str]:
        """What may differ from the baselines, and that this file says so."""
        return dict.fromkeys(self.project.check.allow, f"[check] allow of {self.file}")

    @property
    def model(self) -> str:
        """The model; the path of a model's file is taken from the project file's folder."""
        return self._located(self.project.model)

    @property
    def options(self) -> ModelOptions:
        """The model's options; files that they name are taken from the project file's folder."""
        options = self.project.options
        if options.weights is not None:
            options = replace(options, weights=self._located(options.weights))
        if options.fix is not None:
            options = replace(options, fix=tuple(map(self._located_fix, options.fix)))
        return options

    def settings(self, target: str | None) -> dict[str, Any]:
        """What commands and `pipeline.build.build` are to be called with, by their parameters.

        Args:
            target: one of the project's; None: of no target.
        """
        project = self.project
        file = target is not None and target.endswith(".toml")
        return {
            "model": self.model,
            "target": str(self.path(target)) if target and file else target,
            "calib": self.samples(project.calib) if project.calib else None,
            "evaluation": self.samples(project.eval) if project.eval else None,
            "out": self.path(project.out),
            "seconds": project.seconds,
            "skip_bad": project.skip_bad,
            "ignore_labels": project.ignore_labels,
            "expect": project.expect,
            "model_options": self.options,
        }

    def is_model(self, name: str) -> bool:
        """Whether a MODEL of the command line is the file's own."""
        if name in (self.project.model, self.model):
            return True
        own, other = Path(self.model), Path(name)
        return own.is_file() and other.is_file() and own.samefile(other)

    def _located_fix(self, fix: str) -> str:
        """A fixed input whose file is taken from the project file's folder."""
        for name, value in ways_to_split(fix):
            if (self.root / value).is_file():
                return f"{name}={self.root / value}"
        return fix

    def _located(self, name: str) -> str:
        """A file's path, taken from the project file's folder; other names as they are."""
        file = self.root / name
        return str(file) if file.is_file() else name


def load(path: Path) -> Located:
    """Reads a project file.

    Raises:
        TargetError: it is missing, or has a key or value that is not allowed; names both.
    """
    if not exists(path):
        raise TargetError(
            f"no project file at {path}",
            hint=(
                "write one: edge-scnet init MODEL --calib DIR --eval DIR; or name it: --project"
                f" FOLDER/{FILE}"
            ),
        )
    table = read_toml(path)
    limits = table.pop("limits", {})
    try:
        if not isinstance(limits, dict):
            raise TargetError("limits must be a table: [limits]")
        with_limits(Gates(), limits, prefix="limits")
        project = read_table(Project, table)
    except TargetError as error:
        raise TargetError(
            f"{path}: {error.message}",
            hint="edge-scnet init MODEL writes one with every key explained",
        ) from None
    project = of_device(project, os.environ.get(DEVICE, ""))
    return Located(file=path, project=project, limits=limits)


def of_device(project: Project, device: str) -> Project:
    """A project with the folders of one device of a fleet: `build/@orin-1`, `baselines/@orin-1`.

    Args:
        device: as a folder is named after it (`device_folder`); empty: none.
    """
    if not device:
        return project
    return replace(
        project,
        out=str(device_folder(project.out, device)),
        baselines=str(device_folder(project.baselines, device)),
    )


def device_folder(folder: Path | str, device: str) -> Path:
    """The folder of one device of a fleet, in the folder that is everybody's.

    What an address has beside letters, digits, ".", "_" and "@" becomes "-": other systems, and
    stores of a CI, take no colon in names.
    """
    return Path(folder) / f"@{re.sub(r'[^A-Za-z0-9._@-]', '-', device)}"


def file_of(path: Path) -> Path:
    """The project file that a path means: itself, or the one in a folder."""
    return path / FILE if exists(path) and path.is_dir() else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a command is called with where a project file says what the command line does not."""

    # by parameter
    values: dict[str, Any]
    # what the file gave, by its keys: "eval", "options.mean"
    taken: dict[str, Any]


def merged(
    located: Located,
    values: Mapping[str, Any],
    *,
    given: Collection[str],
    target: str | None,
    options: Collection[str] | None = None,
) -> Merged:
    """Fills a command's values from a project file; the command line wins.

    Args:
        values: by parameter; what the command does not take is not filled in.
        given: the parameters that the command line says.
        target: which of the project's targets is meant; None: none.
        options: the options of a model that the command takes; None: all.
    """
    filled, taken = dict(values), {}
    settings, own_options = located.settings(target), located.options
    if "model" in given and not located.is_model(str(values["model"])):
        # what says which model it is, and what that one was measured to be, is of no other
        settings, own_options = settings | {"expect": ()}, replace(own_options, name=None)
    for name, value in settings.items():
        if name == "model_options" or name not in values or not value:
            continue
        if name in given or ALIASES.get(name) in given:
            continue
        filled[name] = value
        taken[KEYS.get(name, name)] = value
    if "model_options" in values:
        own, given_options = merged_options(values["model_options"], own_options, only=options)
        filled["model_options"] = own
        taken |= {f"options.{name}": value for name, value in given_options.items()}
    return Merged(values=filled, taken=taken)


def allowed_kinds(names: Iterable[str], by: str) -> dict[AllowedKind, str]:
    """What may differ from a baseline, and who says so.

    Args:
        names: kinds as a user writes them.
        by: who allows them, in words: "--allow".

    Raises:
        TargetError: there is no such kind; names those that there are.
    """
    kinds: tuple[AllowedKind, ...] = get_args(AllowedKind)
    allowed: dict[AllowedKind, str] = {}
    for name in names:
        kind = next((kind for kind in kinds if kind == name), None)
        if kind is None:
            close = difflib.get_close_matches(name.lower(), kinds, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise TargetError(
                f"{by} {name}: nothing of this name may differ from a baseline{meant}\nallowed:"
                f" {', '.join(kinds)}",
                hint="what each of them means: docs/how-to/ci.md, Retrained models",
            )
        allowed[kind] = by
    return allowed


def with_limits(gates: Gates, limits: dict[str, Any], *, prefix: str = "") -> Gates:
    """Gates with some of them set.

    Args:
        prefix: the path of the limits in their file, for messages.

    Raises:
        TargetError: no such limit, or a value that is not allowed.
    """
    return read_table(Gates, {**asdict(gates), **limits}, prefix=prefix)
