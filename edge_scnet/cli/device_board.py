"""Bundles on boards that have no edge-scnet: build.sh runs there, and is judged here.

A board whose table in devices.toml names a Python, or that gets a wheel, runs the commands itself.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_scnet.cli.device_asked import Asked, is_said
from edge_scnet.cli.device_own_tool import built_there, failed
from edge_scnet.cli.printer import say
from edge_scnet.core.manifest import BUNDLE, INT8_PLAN, MANIFEST, load_manifest
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_scnet.devices.device import Device
    from edge_scnet.pipeline.result import BuildResult

    Measured = Callable[[BuildResult], BuildResult]

# How a build for a board goes on once its bundle is there.
_goes_on: ContextVar[Measured | None] = ContextVar("goes_on", default=None)


def on_its_board(result: BuildResult) -> BuildResult:
    """The result of a build, with the plans built and timed on the board of `--device`."""
    goes_on = _goes_on.get()
    return result if goes_on is None else goes_on(result)


def bundle_of(device: Device, asked: Asked) -> Path | None:
    """The bundle whose build.sh a command is on a board; None: it runs edge-scnet there."""
    if device.python is not None or asked.wheel is not None:
        return None
    if asked.command == "compile":
        model = asked.values.get("model") or ""
        return Path(model) if model.endswith((".tar.gz", ".tgz")) else None
    if asked.command == "profile":
        paths = asked.values.get("paths") or ()
        for folder in map(Path, paths[:1] if len(paths) == 1 else ()):
            if folder.is_dir() and _is_of_a_board(folder):
                return folder / BUNDLE
    return None


def is_judged_here(device: Device, asked: Asked) -> bool:
    """Whether `check` is of reports of a board without edge-scnet, which are judged here."""
    if asked.command != "check" or asked.values.get("build"):
        return False
    if device.python is not None or asked.wheel is not None:
        return False
    reports = [Path(path) for path in asked.values.get("reports") or ()]
    return bool(reports) and all(map(_is_of_a_board, reports))


def _is_of_a_board(report: Path) -> bool:
    folder = report if report.is_dir() else report.parent
    return (folder / MANIFEST).is_file() and bool(load_manifest(folder).target.get("board"))


def run_bundle(device: Device, bundle: Path, asked: Asked) -> None:
    """Builds and times the plans of a bundle on a board; judges them where its build folder is.

    Raises:
        ArtifactError: there is no such bundle. DeviceError: build.sh failed, with its exit code.
    """
    if not bundle.is_file():
        raise ArtifactError(f"no such file: {bundle}", hint="edge-scnet build --target jetson")
    refuse_unused(asked)
    results = _ran(device, bundle, asked)
    if asked.command == "profile":
        from edge_scnet.cli.show import show_result

        show_result(_judged(results, asked), as_json=asked.as_json, saved=True)
        return
    if not asked.as_json:
        say(str(bundle.parent / INT8_PLAN), f"next: edge-scnet profile {results}")


def build_for(device: Device, asked: Asked, command: Callable[..., None]) -> bool:
    """Builds for a board: the bundle here, its plans there, by its own edge-scnet where it has one;
    False: it is for another target.

    The command's own result is then that of the board.
    """
    values = dict(asked.values)
    if asked.command != "build" or values.get("project") is not None:
        return False
    from edge_scnet.config.target import load_target

    if device.target is not None and not is_said(asked, "target"):
        values["target"] = device.target
    if load_target(values["target"]).board is None:
        return False

    def goes_on(result: BuildResult) -> BuildResult:
        if device.python is not None or asked.wheel is not None:
            return built_there(device, result.folder, asked)
        return _judged(_ran(device, result.folder / BUNDLE, asked), asked)

    token = _goes_on.set(goes_on)
    try:
        command(**values)
    finally:
        _goes_on.reset(token)
    return True


def refuse_unused(asked: Asked) -> None:
    """Refuses what build.sh does not take.

    Raises:
        typer.BadParameter: it was given.
    """
    for name in ("search_seconds", "batches", "threads", "cuda_graph", "evaluation", "expect"):
        if name in asked.values and is_said(asked, name):
            option = {"evaluation": "eval", "search_seconds": "search", "batches": "batch"}
            raise typer.BadParameter(
                f"build.sh takes no --{option.get(name, name).replace('_', '-')}: for a board with"
                " edge-scnet name its Python in devices.toml, or push a wheel: --wheel FILE"
            )


def _ran(device: Device, bundle: Path, asked: Asked) -> Path:
    """Runs build.sh on a board; returns its results.

    Raises:
        DeviceError: it failed.
    """
    from edge_scnet.cli.device_shown import run_shown
    from edge_scnet.devices.bundles import RESULTS, bundle_job

    job = bundle_job(bundle, builds=asked.values.get("builds") or 1)
    # what it prints is no result of the command's
    done = run_shown(
        device, job, replace(asked, values={**asked.values, "as_json": False}, quiet=True)
    )
    if done.exit_code == 130:
        raise KeyboardInterrupt
    if done.exit_code:
        raise failed(device, "build.sh", done.exit_code)
    return bundle.parent / RESULTS


def _judged(results: Path, asked: Asked) -> BuildResult:
    from edge_scnet.cli import console
    from edge_scnet.cli.options import command_line
    from edge_scnet.pipeline.board import profile_results

    with console.events() as events:
        return profile_results(
            results,
            max_drop_pp=asked.values.get("max_drop"),
            wait=asked.settings.wait,
            events=events,
            command=command_line(),
        )
