"""`--project`: what a project file says fills in what the command line does not.

Decorators for the commands that take MODEL, and for those that take PATH. How values are merged is
in `config/project.py`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from edge_scnet.cli.command_help import HelpfulCommand
from edge_scnet.cli.options import ENGINE_OPTIONS
from edge_scnet.cli.printer import say
from edge_scnet.config import project as projects
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.project import Located, Merged
from edge_scnet.core.foreign import exists
from edge_scnet.errors import ArtifactError, EdgeError, ExitCode

ProjectFile = Annotated[
    Path | None,
    typer.Option(
        "--project",
        metavar="[FILE]",
        help=f"Take from a project file what is not said here. Default FILE: {projects.FILE}.",
    ),
]
# Endings of files that a PATH may name; what else stands there is an image of `predict`.
_ENGINES = (".xml", ".onnx", ".plan")
_MOST_NAMED = 6
# The parameters that the command line of the running command says.
_given: ContextVar[frozenset[str]] = ContextVar("given", default=frozenset())


class ProjectCommand(HelpfulCommand):
    """A command whose `--project` may stand without a file, and which knows what was given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the command line."""
        rest: list[str] = super().parse_args(ctx, _with_file(args))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
        said = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
        token = _given.set(frozenset(said))
        try:
            return super().invoke(ctx)
        finally:
            _given.reset(token)


def _with_file(args: Sequence[str]) -> list[str]:
    """Arguments with the default file behind a `--project` that no project file follows.

    The word behind it may be MODEL, PATH or an image as well: it is the file's where it ends in
    .toml, or is a folder that holds one. Any other is named by `--project=FILE`.
    """
    whole = list(args)
    end = whole.index("--") if "--" in whole else len(whole)
    for at in range(end):
        if whole[at] == "--project" and not any(map(_is_project, whole[at + 1 : end][:1])):
            whole[at] = f"--project={projects.FILE}"
    return whole


def _is_project(word: str) -> bool:
    return word.endswith(".toml") or exists(Path(word) / projects.FILE)


def with_project(command: Callable[..., None]) -> Callable[..., None]:
    """Adds `--project` to a command that takes MODEL; it is run for each of the file's targets.

    A command may take `taken` besides: what the project file gave, by its keys, and the file.
    """
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        file, given = values.pop("project"), _given.get()
        if file is None:
            command(**values, **_told(signature, given, None, {}))
            return
        located = projects.load(projects.file_of(file))
        targets = (None,) if "target" in given else located.project.targets
        if "target" not in signature.parameters:  # the same for all of them
            targets = targets[:1]
        runs = [projects.merged(located, values, given=given, target=target) for target in targets]
        runs = [
            replace(run, values={**run.values, **_told(signature, given, located, run.taken)})
            for run in runs
        ]
        _run_all(command, runs, located)

    _add_option(wrapped, signature)
    return wrapped


def with_project_path(
    command: Callable[..., None], *, path: str, images: str | None = None
) -> Callable[..., None]:
    """Adds `--project` to a command that takes PATH, which may be left out beside it.

    Then PATH is the project's build, of each of its targets.

    Args:
        path: the argument PATH.
        images: the argument behind it, of which the first may stand in PATH's place.
    """
    signature = inspect.signature(command, eval_str=True)
    takes_several = get_origin(get_args(signature.parameters[path].annotation)[0]) is list
    signature = signature.replace(
        parameters=[
            _optional(item) if item.name in (path, images) else item
            for item in signature.parameters.values()
        ]
    )

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        file = values.pop("project")
        if file is None:
            if not values[path]:
                raise typer.BadParameter("PATH is missing, or --project to take what it builds")
            command(**values)
            return
        located = projects.load(projects.file_of(file))
        if images is not None:
            _move_image(values, path, images)
        if values[path]:
            runs = [_for_path(located, values, path)]
        else:
            targets = (values["target"],) if values.get("target") else located.project.targets
            runs = [_for_build(located, values, path, target) for target in targets]
            if takes_several:
                runs = [
                    replace(run, values={**run.values, path: [run.values[path]]}) for run in runs
                ]
        _run_all(command, runs, located)

    _add_option(wrapped, signature)
    return wrapped


def _add_option(wrapped: Callable[..., None], signature: inspect.Signature) -> None:
    """Gives a command its signature with `--project`, in front of what is by keyword only."""
    option = inspect.Parameter(
        "project", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=ProjectFile
    )
    own = [item for item in signature.parameters.values() if item.name != "taken"]
    last = inspect.Parameter.KEYWORD_ONLY
    wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            *(item for item in own if item.kind is not last),
            option,
            *(item for item in own if item.kind is last),
        ]
    )


def _optional(item: inspect.Parameter) -> inspect.Parameter:
    """An argument that may be left out."""
    kind, *rest = get_args(item.annotation)
    parts: Any = (kind | None, *rest)
    return item.replace(default=None, annotation=Annotated.__class_getitem__(parts))  # type: ignore[attr-defined]


def _told(
    signature: inspect.Signature,
    given: frozenset[str],
    located: Located | None,
    taken: Mapping[str, Any],
) -> dict[str, Any]:
    """What a command is told of where its values come from, where it takes that.

    It is by key of a project file: "command line", or the file.
    """
    if "taken" not in signature.parameters:
        return {}
    options = {item.name for item in fields(ModelOptions)}
    said = {
        f"options.{name}" if name in options else projects.KEYS.get(name, name): "command line"
        for name in given
    }
    return {"taken": said | {key: str(located.file) for key in taken if located is not None}}


def _move_image(values: dict[str, Any], path: str, images: str) -> None:
    """Takes what stands in the place of PATH, and is none, for an image."""
    first = values[path]
    if first is not None and not first.is_dir() and first.suffix.lower() not in _ENGINES:
        values[images] = [first, *(values[images] or ())]
        values[path] = None


def _for_path(located: Located, values: Mapping[str, Any], path: str) -> Merged:
    """What a command is called with where PATH is given: a build knows its model and its target."""
    from edge_scnet.pipeline.foreign import is_foreign

    paths = values[path] if isinstance(values[path], list) else [values[path]]
    kept = {name: values[name] for name in ("expect",) if name in values}
    if not all(map(is_foreign, paths)):
        kept |= {name: values[name] for name in ("model_options",) if name in values}
    targets = located.project.targets
    if any(item.is_dir() for item in paths) or len(targets) > 1:
        kept |= {name: values[name] for name in ("target",) if name in values}
    run = projects.merged(
        located,
        {name: value for name, value in values.items() if name not in kept},
        given=_given.get(),
        target=targets[0],
        options=ENGINE_OPTIONS,
    )
    return Merged(values={**run.values, **kept}, taken=run.taken)


def _for_build(located: Located, values: Mapping[str, Any], path: str, target: str) -> Merged:
    """What a command is called with where it is for the project's build for a target."""
    folder = _build_folder(located, target)
    kept = {name: values[name] for name in ("model_options", "target") if name in values}
    run = projects.merged(
        located,
        {name: value for name, value in values.items() if name not in kept},
        given=_given.get(),
        target=target,
    )
    return Merged(values={**run.values, **kept, path: folder}, taken={**run.taken, path: folder})


def _build_folder(located: Located, target: str) -> Path:
    """Where a project's build for a target lies.

    Raises:
        ArtifactError: nothing is built for it yet.
    """
    from edge_scnet.config.target import load_target
    from edge_scnet.models.zoo import resolve

    settings = located.settings(target)
    name = load_target(settings["target"]).name
    model = resolve(settings["model"], settings["model_options"]).spec.name
    folder: Path = settings["out"] / model / name
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder} does not exist: what {located.file} names is not built for {name} yet",
            hint=f"edge-scnet build --project {located.file} --target {target}",
        )
    return folder


def _run_all(command: Callable[..., None], runs: Sequence[Merged], located: Located) -> None:
    """Runs a command for each target; the lowest exit code of a verdict among them counts.

    An error ends it.
    """
    if len(runs) > 1 and runs[0].values.get("as_json"):
        raise typer.BadParameter(
            f"--json prints one result, and {located.file} names {len(runs)} targets: name one of"
            f" them, {', '.join(located.project.targets)}, or its build folder"
        )
    codes = []
    for run in runs:
        if len(runs) > 1:
            say(*([] if run is runs[0] else [""]), f"{_title(run)}:")
        try:
            command(**run.values)
        except EdgeError as error:
            error.hint = f"{error.hint}{_origin_words(error, run, located)}"
            raise
        except typer.Exit as ended:
            if ended.exit_code == ExitCode.INTERRUPTED:
                raise
            codes.append(ended.exit_code)
    if code := min((code for code in codes if code), default=0):
        raise typer.Exit(code)


def _title(run: Merged) -> str:
    named = run.taken.get("targets") or run.values.get("path") or run.values.get("paths")
    return str(named[0] if isinstance(named, list) else named)


def _origin_words(error: EdgeError, run: Merged, located: Located) -> str:
    """Which values of the project file an error may be of: those that it names, else all."""
    text = f"{error.message} {error.hint}"
    named = [key for key, value in run.taken.items() if _is_named(key, value, text)]
    keys = named or list(run.taken)
    if not keys:
        return ""
    shown = ", ".join(keys[:_MOST_NAMED]) + (", ..." if len(keys) > _MOST_NAMED else "")
    return f"\n({shown}: from {located.file})"


def _is_named(key: str, value: object, text: str) -> bool:
    option = f"--{key.rpartition('.')[2].replace('_', '-')}"
    return option in text or (isinstance(value, str | Path) and str(value) in text)
