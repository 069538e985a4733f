"""Which files a command line names: those that go to a device with it, and those that come back."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.device_page import page_here
from edge_scnet.cli.printer import results_width
from edge_scnet.config import project as projects
from edge_scnet.core.foreign import exists
from edge_scnet.core.manifest import MANIFEST, NO_PAGE, load_manifest
from edge_scnet.core.source import Source, parse_source
from edge_scnet.devices.inputs import Drawn, Input, Job, rooted
from edge_scnet.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from edge_scnet.devices.device import Device

# Options that are of `--device` itself.
HERE = ("device", "wheel", "set_power_mode")
# Variables that change what is computed or shown, and go along.
_KEPT = ("EDGE_SCNET_TRACEBACK", "ONEDNN_MAX_CPU_ISA", "COLUMNS")
_BUILDS = ("build", "compile", "sensitivity")
_LISTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".json", ".yaml", ".yml")


@dataclass(slots=True)
class Files:
    """What is found while a command line is read."""

    command: str
    # of a fleet: whose own folders a project's are
    device: str = ""
    # what is made here of what comes back
    drawn: Drawn | None = None
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def read(self, path: Path, *, writable: bool = False) -> None:
        """Has a file or folder go over, where it is there."""
        if exists(path):
            without = () if self.drawn is None else self.drawn.names
            self.inputs.append(Input(path=path, writable=writable, without=without))

    def write(self, path: Path) -> None:
        """Has a file or folder come back."""
        self.outputs.append(path)


def job_of(device: Device, asked: Asked, *, times: bool) -> Job:
    """The job that a command line is on a device.

    Raises:
        DataError, ArtifactError: it needs code, which is not sent; or a build folder is damaged.
    """
    drawn = page_here()
    found = Files(command=asked.command, device=asked.device, drawn=drawn)
    words: list[str] = []
    roles = set()
    for part in parts_of(asked):
        if part.parameter in HERE:
            continue
        roles.add(part.parameter)
        rewrite = _ROLES.get(part.parameter or "")
        value = part.value if rewrite is None else rewrite(part.value, found)
        words += [*part.option, part.front + value]
    # in front of the others, among which may be a "--"
    argv = [asked.command, *_unsaid(device, asked, roles, found), *words]
    return Job(
        argv=tuple(argv),
        words=f"edge-scnet {asked.command}",
        cwd=Path.cwd(),
        inputs=tuple(dict.fromkeys(found.inputs)),
        outputs=tuple(dict.fromkeys(found.outputs)),
        environment=environment_of(asked, drawn),
        wheel=asked.wheel,
        times=times,
        drawn=drawn,
    )


def environment_of(asked: Asked, drawn: Drawn | None) -> dict[str, str]:
    """The variables that a job gets."""
    member = {projects.DEVICE: asked.device} if asked.device else {}
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    width = {"COLUMNS": str(results_width())} if sys.stdout.isatty() else {}
    page = {NO_PAGE: "1"} if drawn is not None else {}
    return {"PYTHONUNBUFFERED": "1", **page, **member, **width, **kept}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An option with its value, a switch or an argument of a command line."""

    # None: of none that names a file
    parameter: str | None
    value: str
    # what stands in the same word, as in --out=
    front: str = ""
    # the word before it
    option: tuple[str, ...] = ()


def parts_of(asked: Asked) -> Iterator[Part]:
    """The parts of a command line, as they were given."""
    command: Any = asked.context.command
    options = {
        spelling: item
        for item in command.params
        if item.param_type_name == "option"
        for spelling in (*item.opts, *item.secondary_opts)
    }
    places = _arguments(command)
    words = iter(asked.words)
    only_places = False
    for word in words:
        if only_places or not word.startswith("-") or word == "-":
            yield Part(parameter=next(places), value=word)
            continue
        if word == "--":
            only_places = True
            yield Part(parameter=None, value=word)
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--") and word not in options:  # -tcpu
            name, equals, value = word[:2], "", word[2:]
        item = options[name]
        if item.is_flag or item.count:
            yield Part(parameter=item.name if item.name in HERE else None, value=word)
        elif equals or value:
            yield Part(parameter=item.name, value=value, front=name + equals)
        else:
            yield Part(parameter=item.name, value=next(words), option=(name,))


def _arguments(command: Any) -> Iterator[str]:
    """The names of arguments, place by place; one that takes several takes all that follow."""
    names = [
        (item.name, item.nargs) for item in command.params if item.param_type_name == "argument"
    ]
    for name, count in names:
        while True:
            yield name
            if count == 1:
                break


def _file(text: str, found: Files) -> str:
    found.read(Path(text))
    return rooted(text)


def _target(text: str, found: Files) -> str:
    return _file(text, found) if text.endswith(".toml") else text


def _written(text: str, found: Files) -> str:
    found.write(Path(text))
    return rooted(text)


def _fix(text: str, found: Files) -> str:
    name, equals, value = text.partition("=")
    return f"{name}{equals}{_file(value, found)}" if exists(Path(value)) else text


def _model(text: str, found: Files) -> str:
    """A model: a file goes over with the files that its weights are in."""
    path = Path(text)
    if path.is_file():
        for file in (path, *_beside(path)):
            found.read(file)
        return rooted(text)
    from edge_scnet.models.factory import is_factory
    from edge_scnet.models.library import is_library_model

    if is_factory(text) and not is_library_model(text):
        raise ArtifactError(
            f"{text} is code, which is not sent to a device",
            hint=f"edge-scnet export {text}; then with --device the model.onnx that it makes",
        )
    return text


def _beside(path: Path) -> list[Path]:
    """The files that hold the rest of a model or an engine."""
    if path.suffix == ".xml":
        return [path.with_suffix(".bin")]
    if path.suffix != ".onnx":
        return []
    from edge_scnet.export.onnx_file import external_files

    with contextlib.suppress(ArtifactError):  # the device says what is wrong with it
        return list(external_files(path))
    return []


def build_folder(text: str, found: Files) -> str:
    """A build folder, a file in one, or an engine of its own."""
    path = Path(text)
    if path.name == "results.tar.gz":
        raise typer.BadParameter(f"{path} is judged here: leave --device out")
    if path.is_dir():
        is_renewed = found.command == "profile"
        found.read(path, writable=is_renewed)
        if is_renewed:
            found.write(path)
    elif (path.parent / MANIFEST).is_file():
        found.read(path.parent)
    else:
        for file in (path, *_beside(path)):
            found.read(file)
    return rooted(text)


def _samples(text: str, found: Files) -> str:
    """A sample set: a folder, or a list with the folder that it lies in."""
    source = parse_source(text)
    if source.is_code:
        raise DataError(
            f"{text} is code, which is not sent to a device",
            hint="write the samples into a folder, or an .npz, and name that",
        )
    settings = dict(source.settings)
    if source.path.is_file() and source.path.suffix.lower() in _LISTS:
        found.read(source.path.parent)
    else:
        found.read(source.path)
    for name in ("images", "masks"):
        if name in settings:
            place = Path(settings[name])
            for folder in (source.path.parent / place, place):
                found.read(folder)
            settings[name] = rooted(settings[name])
    return Source(where=rooted(source.where), settings=settings).text


def _project(text: str, found: Files) -> str:
    """A project file, and all that it names."""
    located = projects.load(projects.file_of(Path(text)))
    project = projects.of_device(located.project, found.device)
    found.read(located.file)
    _model(located.model, found)
    for samples in (project.calib, project.eval):
        if samples is not None:
            _samples(located.samples(samples), found)
    options = located.options
    for file in (options.weights, *(fix.partition("=")[2] for fix in options.fix or ())):
        if file is not None:
            found.read(Path(file))
    found.read(located.path(project.baselines))
    out = located.path(project.out)
    for target in project.targets:
        _target(str(located.path(target)) if target.endswith(".toml") else target, found)
        _known_build(out, located.model, options.name, target, found)
    found.write(out)
    return rooted(text)


def _known_build(out: Path, model: str, name: str | None, target: str, found: Files) -> None:
    """Has an earlier build go over, whose stages are used again there."""
    folder = out / (name or Path(model).stem) / Path(target).stem
    if (folder / MANIFEST).is_file():
        found.read(folder, writable=True)


def _unsaid(device: Device, asked: Asked, roles: set[str | None], found: Files) -> list[str]:
    """What a command takes from its defaults here, said for the device."""
    said = []
    values = asked.values
    if device.target is not None and "target" in values and not roles & {"target", "project"}:
        said.append(f"--target={_target(device.target, found)}")
    if found.command in _BUILDS and "project" not in roles:
        out = Path(values["out"] or "build")
        found.write(out)
        from edge_scnet.models.zoo import DEFAULT_MODEL

        target = device.target if "target" not in roles and device.target else values["target"]
        model = values["model"] or DEFAULT_MODEL
        _known_build(out, model, values.get("name"), target, found)
    if found.command == "profile" and not roles & {"evaluation", "project"}:
        said += images_of_build(values, found)
    if found.command == "check" and values.get("build") and "project" not in roles:
        _project(projects.FILE, found)
    return said


def images_of_build(values: Mapping[str, Any], found: Files) -> list[str]:
    """The evaluation images of a build, which its manifest names by their place on this machine."""
    path = Path(values["paths"][0])
    folder = path if path.is_dir() else path.parent
    if not (folder / MANIFEST).is_file():
        return []
    where = load_manifest(folder).evaluation
    if where is None or parse_source(where).is_code:
        return []
    return [f"--eval={_samples(where, found)}"]


_ROLES: dict[str, Callable[[str, Files], str]] = {
    "model": _model,
    "path": build_folder,
    "paths": build_folder,
    "reports": build_folder,
    "calib": _samples,
    "evaluation": _samples,
    "images": _file,
    "baseline": _file,
    "qdq": _file,
    "class_names": _file,
    "weights": _file,
    "target": _target,
    "fix": _fix,
    "project": _project,
    "out": lambda text, found: rooted(text),
    "report": _written,
    "junit": _written,
    "markdown": _written,
    "gitlab": _written,
}
