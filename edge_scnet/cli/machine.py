"""The commands that say what this machine can do: `targets` and `doctor`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from edge_scnet.__about__ import __version__
from edge_scnet.cli import outputs
from edge_scnet.cli.command_help import HelpfulCommand, told
from edge_scnet.cli.device import with_device
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson
from edge_scnet.cli.printer import say
from edge_scnet.cli.show import show_board, show_machine, show_target
from edge_scnet.errors import EdgeError, ExitCode

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("targets", cls=HelpfulCommand, **told("targets"))(guarded(targets))
    app.command("doctor", cls=HelpfulCommand, **told("doctor"))(guarded(with_device(doctor)))


def targets(as_json: AsJson = False) -> None:
    """List the targets and whether each can be built here."""
    from edge_scnet.config.target import list_targets, target_file

    rows = [(target, _unusable(target)) for target in list_targets()]
    if as_json:
        from edge_scnet.cli.outputs.machine import ListedTarget, Targets

        listed = (
            ListedTarget(
                **{field.name: getattr(target, field.name) for field in fields(target)},
                file=str(target_file(target.name)),
                unusable=reason,
            )
            for target, reason in rows
        )
        outputs.show("targets", Targets(targets=tuple(listed)))
    else:
        for target, reason in rows:
            here = reason or _usable_words(target)
            show_target(target, here=here, file=target_file(target.name))


def doctor(as_json: AsJson = False) -> None:
    """Show what this machine can do: instruction set, packages, runtimes, targets, on a Jetson its
    releases, power mode and clocks, each with the fix where it cannot. For reports of faults too.
    """
    from edge_scnet.config.target import list_targets
    from edge_scnet.machine import environment
    from edge_scnet.runtimes import RUNTIMES
    from edge_scnet.runtimes.tensorrt.board_rows import board_rows

    facts = environment.collect()
    runtimes = {name: runtime.unavailable() for name, runtime in RUNTIMES.items()}
    targets = list_targets()
    unusable = {target.name: _unusable(target) for target in targets}
    export, board = _unusable_export(), board_rows()
    if as_json:
        from edge_scnet.cli.outputs.machine import Doctor

        found = Doctor(
            edge_scnet=__version__,
            environment=facts.to_dict(),
            board=board,
            runtimes=runtimes,
            export=export,
            targets=unusable,
        )
        outputs.show("doctor", found)
    else:
        show_machine(facts)
        show_board(board)
        for name, reason in {**runtimes, "export": export}.items():
            say(f"{name:<12} {reason or 'ok'}")
        for target in targets:
            reason = unusable[target.name]
            say(f"target       {target.name}: {reason or _usable_words(target)}")
    if all(unusable[target.name] for target in targets if _is_for_this_machine(target)):
        raise typer.Exit(ExitCode.RUNTIME)


def _is_for_this_machine(target: TargetSpec) -> bool:
    """Whether the engines of a target are for machines of this kind, and no board's."""
    from edge_scnet.machine.isa import is_elsewhere
    from edge_scnet.runtimes import runtime_named

    return not runtime_named(target.runtime).packs_bundle and not is_elsewhere(target.isa)


def _unusable_export() -> str | None:
    """Why no model can be exported here, or None."""
    from edge_scnet.core.optional import install_hint, installed

    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        if not installed(module):
            return f"the package {module!r} is not installed; {install_hint('export')}"
    return None


def _unusable(target: TargetSpec) -> str | None:
    """Why a target cannot be built here, or None."""
    from edge_scnet.machine.isa import check_floor, is_elsewhere, resolve_floor
    from edge_scnet.runtimes import runtime_named

    runtime = runtime_named(target.runtime)
    if runtime.packs_bundle:
        return None
    if reason := runtime.unavailable():
        return f"{reason}; {runtime.install_hint()}"
    try:
        runtime.check_target(target)
        floor = resolve_floor(target.isa)
        if not is_elsewhere(floor):
            check_floor(floor, what="it")
    except EdgeError as error:
        return error.message
    return None


def _usable_words(target: TargetSpec) -> str:
    """What a target whose build ends well here is good for."""
    from edge_scnet.machine.isa import is_elsewhere, resolve_floor
    from edge_scnet.runtimes import runtime_named

    runtime = runtime_named(target.runtime)
    if runtime.packs_bundle and runtime.unavailable():
        program = runtime.timing_program()
        way = f"; built plans can be profiled through {program}" if program else ""
        return f"can be built up to the bundle; the plan needs the board{way}"
    reason = runtime.unavailable_to_run()
    if reason is None and is_elsewhere(resolve_floor(target.isa)):
        return "can be built; profiled on a 64-bit Arm machine, for this is none"
    if reason is None:
        return "can be built and profiled"
    program = runtime.timing_program()
    return f"can be built; {f'timed through {program}' if program else 'not profiled'}: {reason}"
