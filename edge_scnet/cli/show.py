"""What commands print on stdout: tables, sentences and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_scnet.__about__ import __version__
from edge_scnet.cli import outputs
from edge_scnet.cli.printer import say, say_in_color, say_json, show_table, tell
from edge_scnet.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_scnet.config.target import TargetSpec
    from edge_scnet.core.manifest import Artifact
    from edge_scnet.gate.check import Result
    from edge_scnet.gate.compare import Compared
    from edge_scnet.gate.update import Updated
    from edge_scnet.graph.lint import LintFinding
    from edge_scnet.machine.environment import Environment
    from edge_scnet.pipeline.result import BuildResult
    from edge_scnet.pipeline.together import TimedEngine, TimedTogether
    from edge_scnet.report.run_report import RunReport
    from edge_scnet.runtimes.tensorrt.board_rows import BoardRow

_SHOWN_FAULTS = 3
_FACT_WIDTH = 10
# the words of the table that the terminal explains; the page has all
_EXPLAINED = ("default", "lost, won", "SQNR")
# a comparison's answers: their colors and words
_ANSWERS = {
    "A": ("cyan", "A"),
    "B": ("cyan", "B"),
    "same": ("green", "no difference"),
    "unknown": ("yellow", "cannot tell"),
    "skipped": ("dim", "not compared"),
}
_COLORS: dict[int, str] = {ExitCode.OK: "green", ExitCode.ACCURACY: "red", ExitCode.SPEED: "red"}


def color_of(exit_code: int) -> str:
    """The color of a verdict."""
    return _COLORS.get(exit_code, "yellow")


def show_files(folder: Path, artifacts: Iterable[Artifact], *, as_json: bool) -> None:
    """Prints the files that a stage made."""
    if as_json:
        from edge_scnet.cli.outputs.build import Files

        outputs.show("files", Files(folder=str(folder), artifacts=tuple(artifacts)))
    else:
        for entry in artifacts:
            say(str(folder / entry.file))


def show_result(result: BuildResult, *, as_json: bool, saved: bool) -> None:
    """Prints the report of a run, and ends the command with the verdict's exit code.

    Args:
        saved: the report lies in the build folder, whose name is printed then.
    """
    report = result.report
    assert report is not None
    if as_json:
        from edge_scnet.report.store import to_json

        say_json(to_json(report))
    else:
        _show_tables_and_verdict(result, report, saved=saved)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _show_tables_and_verdict(result: BuildResult, report: RunReport, *, saved: bool) -> None:
    from edge_scnet.core.manifest import BUNDLE, PARTIAL_REPORT
    from edge_scnet.machine.board import board_words

    show_tables(report, details="report.html" if saved else None)
    say(*(board_words(report.board) if report.board else ()))
    say("")
    say_in_color(report.verdict, color_of(result.exit_code))
    if saved:
        written = f"{result.folder}/" if report.complete else str(result.folder / PARTIAL_REPORT)
        say(f"files: {written}")
    if report.complete and all(engine.latency is None for engine in report.engines):
        _show_way(result)
    bundle = result.manifest.artifacts.get(BUNDLE)
    if bundle is not None and all(engine.latency is None for engine in report.engines):
        archive = f"{result.folder / bundle.file} ({bundle.size_bytes / 1e6:.1f} MB)"
        say(
            "compiled: no, a plan is built on its board",
            *_next_on_board(archive, bundle.file, result.manifest.target.get("precision")),
        )


def _show_way(result: BuildResult) -> None:
    """Prints where engines of other machines are measured."""
    from edge_scnet.machine.isa import is_elsewhere

    if is_elsewhere(result.manifest.floor):
        say(
            "measured: no, that takes a 64-bit Arm machine",
            f"next: copy {result.folder}/ and the evaluation images there, then:",
            f"      edge-scnet profile {result.folder.name} --eval IMAGES",
        )


def _next_on_board(archive: str, bundle: str, precision: str | None) -> list[str]:
    """What is done with a bundle; a board without INT8 has too old a Python for this tool."""
    unpacked = f"tar xzf {bundle}, and sh build.sh in its folder"
    if precision == "fp16":
        return [f"next: copy {archive} there, then: {unpacked}"]
    return [
        f"next: copy {archive} there, then: edge-scnet compile {bundle}",
        f"      or without Python: {unpacked}",
    ]


def show_report(report: RunReport) -> None:
    """Prints a report that was read, and its verdict."""
    show_tables(report, details="--html FILE")
    say("", report.verdict)


def show_tables(report: RunReport, *, details: str | None) -> None:
    """Prints the engines, the sweep, how the engines ran and what the figures are worth.

    Args:
        details: where all is that disturbed the times; None: it is printed here.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from edge_scnet.cli import printer
    from edge_scnet.report import notes, page_engines, page_facts, summary

    for name, words in page_facts.context(report):
        say(f"{name.lower():<{_FACT_WIDTH}} {words}")
    say("")
    width = printer.results_width()
    for part in summary.tables_in(report, width=width, widest_of=printer.widest_of):
        show_table(part)
        say("")
    if report.sweep:
        cells = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in summary.SWEEP_HEAD:
            cells.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
        for row in report.sweep:
            cells.add_row(*summary.sweep_cells(row))
        show_table(cells)
        say("")
    explained = [row for row in page_engines.engines_of(report).legend if row[0] in _EXPLAINED]
    for word, meaning in explained:
        say(f"{word:<{_FACT_WIDTH}} {meaning}")
    if explained:
        say("")
    told = f"judged by: {report.task}"
    say(*(fact for fact in notes.facts(report) if fact != told))
    doubts = notes.doubts(report)
    if details is not None and len(doubts) > 1:
        doubts = (f"{notes.brief(report)}; in detail: {details}",)
    say(*(f"note: {doubt}" for doubt in doubts))


def show_checked_json(results: tuple[Result, ...], explained: list[list[str]]) -> None:
    """Prints what the gate found as JSON; the arguments are `show_checked`'s."""
    from edge_scnet.cli.outputs.gate import Checks, row_of

    rows = (
        row_of(result, tuple(explained[index]) if explained else None)
        for index, result in enumerate(results)
    )
    outputs.show("check", Checks(reports=tuple(rows)))


def show_checked(results: tuple[Result, ...], explained: list[list[str]]) -> None:
    """Prints what the gate found.

    Args:
        explained: for each result the sentences that explain it, or empty where none was asked for.
    """
    from edge_scnet.gate import publish
    from edge_scnet.gate.check import Unchecked

    for index, result in enumerate(results):
        if index:
            say("")
        if isinstance(result, Unchecked):
            say_in_color(f"{result.title}: {result.headline}", "red")
            say(result.error.message)
            continue
        show_table(publish.table(result))
        say("")
        say_in_color(result.headline, color_of(result.exit_code))
        say(*publish.lines(result), *(explained[index] if explained else ()))


def show_updated(updated: Updated, *, quiet: bool) -> None:
    """Prints what changed in a baseline, and on stderr why it would hold later reports to little.

    Args:
        quiet: print the warning alone.
    """
    from edge_scnet.gate.changes import change_words

    if updated.doubt:
        tell(f"warning: {updated.file}: {updated.doubt}")
    if quiet:
        return
    renewed = "renewed" if updated.changes else "renewed, no figure changed"
    say(f"{updated.file}: {'written' if updated.is_new else renewed}")
    for change in updated.changes:
        say(f"  {'lower' if change.loss else '     '} {change_words(change)}")


def show_compared(compared: Compared) -> None:
    """Prints two reports side by side, a sentence on each figure, and what differs besides."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "A", "B", "better"):
        table.add_column(name, justify="left" if name in ("", "better") else "right", no_wrap=True)
    for row in compared.figures:
        cells = ["-" if value is None else f"{value:.4g} {row.unit}" for value in (row.a, row.b)]
        color, answer = _ANSWERS[row.better]
        table.add_row(row.figure, *cells, Text(answer, style=color))
    say(f"A {compared.a}", f"B {compared.b}")
    show_table(table)
    say("")
    say(*(row.message for row in compared.figures))
    if compared.changed:
        say(f"what differs: {'; '.join(compared.changed)}")


def show_together(result: TimedTogether) -> None:
    """Prints engines that were timed together, and how each compares with the first."""
    for engine in result.engines:
        latency, rate = engine.latency, engine.throughput_per_second
        ratio = engine.throughput_ratio
        spread = f", {ratio.low:.2f} to {ratio.high:.2f}" if ratio and ratio.low else ""
        to_first = f" ({ratio.ratio:.2f}x A's{spread})" if ratio else ""
        say(
            f"{engine.name}  p50 {latency.p50_ms:.3f} ms, p90 {latency.p90_ms:.3f}, p99"
            f" {latency.p99_ms:.3f}; {'-' if rate is None else f'{rate:,.0f}'} images/s{to_first};"
            f" {engine.memory.steady_bytes / 2**20:,.0f} MB  {engine.path}"
        )
    for engine in result.engines[1:]:
        say(engine.message)
        if engine.accuracy is not None:
            _show_accuracy(engine)
    if not result.complete:
        say("interrupted: the figures are of the part that was timed")


def _show_accuracy(engine: TimedEngine) -> None:
    """Prints an engine's figures at the task against the first one's, and what they are worth."""
    stats = engine.accuracy
    assert stats is not None
    task = stats.task
    for figure in engine.figures:
        say(figure.message)
    sqnr = "equal to A's" if stats.sqnr_db is None else f"{stats.sqnr_db:.1f} dB against A's"
    words = f"{engine.name}: outputs {sqnr} on {stats.images:,} samples"
    parts = [] if task is None else [part for part in task.slices if part.sqnr_db is not None]
    if parts:
        worst = min(parts, key=lambda part: part.sqnr_db or 0.0)
        of_which = f"{worst.part} of {worst.output}" if worst.part else worst.output
        words += f", the worst part {worst.sqnr_db:.1f} dB ({of_which})"
    say(words)
    for doubt in (*stats.doubts, *(() if task is None else task.doubts)):
        say(f"note: {doubt.replace('FP32', 'A')}")


def show_faults(findings: Sequence[LintFinding]) -> None:
    """Prints what is wrong with a Q/DQ graph: findings of one rule and one fix together."""
    alike: dict[tuple[str, str, str], list[LintFinding]] = {}
    for finding in findings:
        alike.setdefault((finding.severity, finding.rule, finding.fix), []).append(finding)
    for (severity, _, fix), found in alike.items():
        say(f"{severity}: {_faults_in_words(found)}", f"    {fix}")


def _faults_in_words(found: Sequence[LintFinding]) -> str:
    """How many nodes have a fault, the first three of them, and the problem."""
    count = f"{len(found)} nodes: " if len(found) > 1 else ""
    rest = f" and {len(found) - _SHOWN_FAULTS} more (--json)" if len(found) > _SHOWN_FAULTS else ""
    shown = found[:_SHOWN_FAULTS]
    if len({finding.problem for finding in found}) == 1:
        names = ", ".join(finding.node for finding in shown)
        return f"{count}{names}{rest}: {found[0].problem}"
    each = "; ".join(f"{finding.node}: {finding.problem}" for finding in shown)
    return f"{count}{each}{';' if rest else ''}{rest}"


def show_target(target: TargetSpec, *, here: str, file: Path) -> None:
    """Prints what a target is, what can be done for it here, and the file that says it."""
    lines = [
        f"{target.runtime} on {target.device}, {target.precision}, isa {target.isa},"
        f" opset {target.opset}"
    ]
    if (board := target.board) is not None:
        jetpack = "" if board.jetpack == "none" else f"JetPack {board.jetpack}, "
        lines.append(
            f"{jetpack}TensorRT {board.tensorrt} up to, but not with, {board.below}, compute"
            f" capability {board.compute_capability}, {board.memory_gib:g} GB and more"
        )
    say(f"{target.name:<16}  {target.title}")
    for line in (*lines, target.why, f"here: {here}", f"file: {file}"):
        say(f"{'':<16}  {line}")


def show_machine(facts: Environment) -> None:
    """Prints this machine's processor, instruction sets and packages."""
    from edge_scnet.machine.isa import provided_isa

    memory = "unknown" if facts.memory_bytes is None else f"{facts.memory_bytes / 2**30:.1f} GiB"
    provided = provided_isa()
    say(f"edge-scnet   {__version__}, Python {facts.python}, {facts.system} {facts.kernel}")
    quota = facts.cpu_quota_cores
    granted = f" (the control group grants the time of {quota:g})" if quota is not None else ""
    say(f"machine      {facts.cpu_model}, {facts.cores} cores{granted}, {memory}")
    say(f"instructions {', '.join(provided) or 'no floor of the CPU targets'}")
    if provided == ("avx2",):
        say(f"{'':<12} no VNNI: weights take 7 bits, and INT8 gains less than it does with VNNI")
    if provided == ("asimd",):
        say(f"{'':<12} no dot product (asimddp): INT8 may gain nothing; profile tells")
    packages = ", ".join(f"{name} {version}" for name, version in facts.packages)
    say(f"packages     {packages}")


def show_board(rows: Iterable[BoardRow]) -> None:
    """Prints what a board tells of itself, and what to do where it is not as it should be."""
    for row in rows:
        say(f"{row.name:<12} {row.told}")
        if row.advice is not None:
            say(f"{'':<12} {row.advice}")
