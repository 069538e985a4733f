"""The commands that say what this machine can do: `targets` and `doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson
from edge_scnet.errors import EdgeError, ExitCode

if TYPE_CHECKING:
    from edge_scnet.runtimes.base import Runtime


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("targets")(guarded(targets))
    app.command("doctor")(guarded(doctor))


def targets(as_json: AsJson = False) -> None:
    """List the targets and whether each can be built here."""
    from dataclasses import asdict

    from edge_scnet.config.target import list_targets
    from edge_scnet.runtimes import RUNTIMES

    rows = [(target, _unusable(RUNTIMES[target.runtime], target.isa)) for target in list_targets()]
    if as_json:
        typer.echo(
            json.dumps(
                [{**asdict(target), "unusable": reason} for target, reason in rows], indent=1
            )
        )
        return
    for target, reason in rows:
        typer.echo(f"{target.name:<16} {target.title}")
        typer.echo(
            f"{'':<16} {target.runtime} on {target.device}, {target.precision}, isa {target.isa},"
            f" opset {target.opset}"
        )
        if (board := target.board) is not None:
            versions = f"TensorRT {board.tensorrt} up to, but not with, {board.below}"
            kit = f"compute capability {board.compute_capability}, {board.memory_gib:g} GB and more"
            typer.echo(
                f"{'':<16}"
                f" {'' if board.jetpack == 'none' else f'JetPack {board.jetpack}, '}{versions},"
                f" {kit}"
            )
        typer.echo(f"{'':<16} {target.why}")
        typer.echo(f"{'':<16} here: {reason or _usable_words(RUNTIMES[target.runtime])}")


def _unusable(runtime: Runtime, isa: str) -> str | None:
    """Why a target of this runtime cannot be built here, or None."""
    from edge_scnet.machine.isa import check_floor, resolve_floor

    if runtime.packs_bundle:
        return None
    if reason := runtime.unavailable():
        return f"{reason}; {runtime.install_hint()}"
    try:
        check_floor(resolve_floor(isa), what="it")
    except EdgeError as error:
        return error.message
    return None


def _usable_words(runtime: Runtime) -> str:
    """What a target whose build ends well here is good for."""
    if runtime.packs_bundle and runtime.unavailable():
        program = runtime.timing_program()
        way = f"; built plans can be profiled through {program}" if program else ""
        return f"can be built up to the bundle; the plan needs the board{way}"
    reason = runtime.unavailable_to_run()
    return f"can be built; not profiled: {reason}" if reason else "can be built and profiled"


def doctor(as_json: AsJson = False) -> None:
    """Show what this machine can do: instruction set, packages, runtimes, targets, each with the
    fix where it cannot.
    """
    from edge_scnet.config.target import list_targets
    from edge_scnet.machine import environment
    from edge_scnet.machine.isa import provided_isa
    from edge_scnet.runtimes import RUNTIMES

    facts = environment.collect()
    runtimes = {name: runtime.unavailable() for name, runtime in RUNTIMES.items()}
    runtime_of = {target.name: RUNTIMES[target.runtime] for target in list_targets()}
    usable = {t.name: _unusable(runtime_of[t.name], t.isa) for t in list_targets()}
    words = {name: _usable_words(runtime) for name, runtime in runtime_of.items()}
    export = None
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        from edge_scnet.core.optional import installed

        if not installed(module):
            export = f"the package {module!r} is not installed; pip install 'edge-scnet[export]'"
            break
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "environment": facts.to_dict(),
                    "runtimes": runtimes,
                    "export": export,
                    "targets": usable,
                },
                indent=1,
            )
        )
    else:
        memory = (
            "unknown" if facts.memory_bytes is None else f"{facts.memory_bytes / 2**30:.1f} GiB"
        )
        provided = provided_isa()
        typer.echo(f"machine      {facts.cpu_model}, {facts.cores} cores, {memory}")
        typer.echo(f"instructions {', '.join(provided) or 'no floor of the CPU targets'}")
        if provided == ("avx2",):
            typer.echo(
                f"{'':<12} no VNNI: weights take 7 bits, and INT8 gains less than it does with VNNI"
            )
        typer.echo(
            f"packages     {', '.join(f'{name} {version}' for name, version in facts.packages)}"
        )
        for name, reason in {**runtimes, "export": export}.items():
            typer.echo(f"{name:<12} {reason or 'ok'}")
        for name, reason in usable.items():
            typer.echo(f"target       {name}: {reason or words[name]}")
    if all(usable[name] for name, runtime in runtime_of.items() if not runtime.packs_bundle):
        raise typer.Exit(ExitCode.RUNTIME)
