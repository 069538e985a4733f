"""How help is shown: commands and options in groups, their bounds in words, and examples.

Plain text, without rich, whose import would add to the time of `edge-scnet --help`. The groups are
Typer's `rich_help_panel`, the examples its `epilog`, one command line each.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from typer.core import TyperCommand, TyperGroup

from edge_scnet.__about__ import __version__

WIDTH = 120  # at most; a narrower terminal's otherwise
# Where names are longer, their help begins on the next line.
_NAMES_WIDTH = 30
# Where a context keeps the words of its command line.
ARGUMENTS = "edge_scnet.arguments"
_BOUNDS = re.compile(r"([^\s;\[]+)<=x<=([^\s;\]]+)")
_DEFAULT_OFF = re.compile(r"default: no-[\w-]+(; )?")

# Groups of options, in the order of help.
OPTIONS = "Options"
SAMPLES = "Samples"
VERDICT = "Verdict"
ACCURACY = "Where INT8 loses too much"
MODEL = "Model"
PICTURES = "How pictures are prepared"
TASK = "Task"
DEVICE = "Another machine"
WORKERS = "Who computes"
_OPTION_GROUPS = (
    OPTIONS,
    SAMPLES,
    VERDICT,
    ACCURACY,
    WORKERS,
    MODEL,
    PICTURES,
    TASK,
    DEVICE,
)

# Groups of commands, in the order of help.
_BUILD = "Build"
_STAGES = "Single stages of a build"
_LOOK = "Look at a result"
_GATE = "CI"
_MACHINE = "This machine, and formats"
_COMMAND_GROUPS = (_BUILD, _STAGES, _LOOK, _GATE, _MACHINE)


class _Entry(NamedTuple):
    """A command in the list of commands, and its examples."""

    group: str
    summary: str
    examples: tuple[str, ...]


_ENTRIES = {
    "init": _Entry(
        _BUILD,
        "Look at a model and its data, and write an edge-scnet.toml.",
        ("edge-scnet init net.onnx --calib photos/train --eval photos/val",),
    ),
    "build": _Entry(
        _BUILD,
        "Build, prove and measure the INT8 engine of a model.",
        (
            "edge-scnet build",
            "edge-scnet build net.onnx --calib photos/train --eval photos/val",
            "edge-scnet build net.onnx --calib photos/train --eval photos/val -t jetson",
        ),
    ),
    "show": _Entry(
        _BUILD,
        "Show what a build would use, and where each value comes from.",
        ("edge-scnet show net.onnx --target jetson",),
    ),
    "data": _Entry(_BUILD, "Look at calibration and evaluation samples.", ()),
    "data check": _Entry(
        _BUILD,
        "Read all samples, and say what the network gets of them.",
        ("edge-scnet data check net.onnx --calib photos/train --eval photos/val",),
    ),
    "package": _Entry(
        _BUILD,
        "Put an engine into a folder that runs without edge-scnet.",
        ("edge-scnet package build/net/cpu --for cpp --out app",),
    ),
    "export": _Entry(
        _STAGES,
        "Export to ONNX with parity proven, and stop there.",
        ("edge-scnet export package.module:factory --input-size 96",),
    ),
    "calibrate": _Entry(
        _STAGES,
        "Export and collect statistics over the samples.",
        ("edge-scnet calibrate net.onnx --calib photos/train",),
    ),
    "quantize": _Entry(
        _STAGES,
        "Export, calibrate and write the Q/DQ graph.",
        ("edge-scnet quantize net.onnx --calib photos/train",),
    ),
    "compile": _Entry(
        _STAGES,
        "Everything but the measuring; on a board, of a bundle.",
        (
            "edge-scnet compile net.onnx --calib photos/train",
            "edge-scnet compile bundle.tar.gz",
        ),
    ),
    "report": _Entry(
        _LOOK,
        "Show a report again, or write it as HTML or Markdown.",
        ("edge-scnet report build/net/cpu --markdown summary.md",),
    ),
    "predict": _Entry(
        _LOOK,
        "Run images through an engine, print and draw the results.",
        (
            "edge-scnet predict build/net/cpu photo.jpg",
            "edge-scnet predict build/net/cpu photos/val --skip-bad --draw drawn",
        ),
    ),
    "profile": _Entry(
        _LOOK,
        "Measure engines: latency, throughput, memory, accuracy.",
        (
            "edge-scnet profile build/net/cpu --batch 1,4,8",
            "edge-scnet profile build/net/cpu --device ssh://me@gateway",
            "edge-scnet profile build/net/cpu --eval photos/val --workers 8",
            "edge-scnet profile a.onnx b.onnx --interleave",
        ),
    ),
    "compare": _Entry(
        _LOOK,
        "Compare reports with the first, image by image.",
        ("edge-scnet compare build/net/cpu build/net/cpu-avx2",),
    ),
    "inspect": _Entry(
        _LOOK,
        "Check a Q/DQ file against a target, with the fixes.",
        ("edge-scnet inspect quantized.onnx --target jetson",),
    ),
    "sensitivity": _Entry(
        _LOOK,
        "Show which modules cost accuracy; search the fastest mix.",
        (
            "edge-scnet sensitivity net.onnx --calib photos/train",
            "edge-scnet sensitivity net.onnx --calib photos/train --max-drop 0.5 --budget 600",
            "edge-scnet sensitivity net.onnx --calib photos/train -t jetson --gain 3 --workers 8",
        ),
    ),
    "check": _Entry(
        _GATE,
        "Hold reports to their baselines: the gate of a CI.",
        (
            "edge-scnet check --build",
            "edge-scnet check build/net/cpu --baseline baselines --junit check.xml",
        ),
    ),
    "baseline": _Entry(_GATE, "Write baselines, and change them with a reason.", ()),
    "baseline update": _Entry(
        _GATE,
        "Write the baselines of reports, or renew them.",
        (
            "edge-scnet baseline update --build",
            "edge-scnet baseline update build/net/cpu -b net.json",
        ),
    ),
    "verify": _Entry(
        _GATE,
        "Check that baselines were not edited by hand.",
        ("edge-scnet verify baselines/*.json edge-scnet.toml",),
    ),
    "doctor": _Entry(
        _MACHINE,
        "Show what this machine can do, and fixes where it cannot.",
        ("edge-scnet doctor",),
    ),
    "jobs": _Entry(
        _MACHINE,
        "List the jobs on another machine, and take one up.",
        (
            "edge-scnet jobs --device ssh://me@gateway",
            "edge-scnet jobs --device gateway --attach 0123456789abcdef",
        ),
    ),
    "targets": _Entry(
        _MACHINE,
        "List the targets and whether each can be built here.",
        ("edge-scnet targets",),
    ),
    "schema": _Entry(
        _MACHINE,
        "Print the JSON Schema of an output of --json, or of a file.",
        ("edge-scnet schema report",),
    ),
}
# What most people need, with the example that is shown.
_FIRST = ("build", "init", "predict", "check", "doctor")


def told(command: str) -> dict[str, Any]:
    """What Typer is told of a command for its help: its group, its line in lists, its examples.

    Args:
        command: its name, behind its group's as in "data check".
    """
    entry = _ENTRIES[command]
    return {
        "rich_help_panel": entry.group,
        "short_help": entry.summary,
        "epilog": "\n".join(entry.examples) or None,
    }


def first_words() -> str:
    """What `edge-scnet` alone prints: the commands that most people need."""
    width = max(map(len, _FIRST))
    lines = [
        f"edge-scnet {__version__}: a trained CNN in, INT8 engines out, with the proof that",
        "they are fast and still accurate.",
        "",
    ]
    for name in _FIRST:
        entry = _ENTRIES[name]
        lines += [f"  {name:<{width}}  {entry.summary}", f"  {'':<{width}}  $ {entry.examples[0]}"]
    lines += [
        "",
        "All commands: edge-scnet --help",
        "The options and examples of one: edge-scnet build --help",
    ]
    return "\n".join(lines)


class HelpfulCommand(TyperCommand):
    """A command whose help has its options in groups, and its examples in front of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the command line, and keeps it as it was given."""
        ctx.meta[ARGUMENTS] = tuple(args)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the examples, the arguments and the options."""
        _write_examples(self.epilog, formatter)
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes nothing: the examples stand in front of the options."""


class HelpfulGroup(TyperGroup):
    """Commands in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands and the options."""
        self.format_commands(ctx, formatter)
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands of each group, with their lines of the same width."""
        commands = [
            command
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None
        ]
        width = max(len(command.name or "") for command in commands)
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in _COMMAND_GROUPS}
        for command in commands:
            row = f"{command.name:<{width}}", command.get_short_help_str(formatter.width)
            groups[getattr(command, "rich_help_panel", None) or _BUILD].append(row)
        shown = {group: rows for group, rows in groups.items() if rows}
        for group, rows in shown.items():
            with formatter.section(group if len(shown) > 1 else "Commands"):
                formatter.write_dl(rows)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of help."""
        order = list(_ENTRIES)
        return sorted(
            super().list_commands(ctx), key=lambda name: order.index(name) if name in order else -1
        )


def _write_examples(examples: str | None, formatter: Any) -> None:
    if not examples:
        return
    with formatter.section("Examples" if "\n" in examples else "Example"):
        for line in examples.splitlines():
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _write_parameters(parameters: list[Any], ctx: Any, formatter: Any) -> None:
    groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
    groups |= {name: [] for name in _OPTION_GROUPS}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        name, words = record
        is_argument = parameter.param_type_name == "argument"
        if is_argument and parameter.metavar:
            name = parameter.metavar
        group = "Arguments" if is_argument else parameter.rich_help_panel or OPTIONS
        groups[group].append((name, _readable(words)))
    for group, rows in groups.items():
        if rows:
            with formatter.section(group):
                formatter.write_dl(rows, col_max=_NAMES_WIDTH)


def _readable(words: str) -> str:
    """Help with bounds in words, and without the default of a switch that is off."""
    words = _DEFAULT_OFF.sub("", words)
    words = _BOUNDS.sub(lambda found: f"{_number(found[1])} to {_number(found[2])}", words)
    words = words.replace("x>=1]", "1 and more]")
    return words.removesuffix("[]").rstrip()


def _number(text: str) -> str:
    value = float(text)
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
