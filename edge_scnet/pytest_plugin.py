"""pytest's way to the gate: a fixture `edge_scnet` whose assertion holds a report to its baseline.

    def test_int8(edge_scnet): edge_scnet.assert_no_regression("build/my-model/cpu/report.json",
    baseline="tests/baselines")

Paths are relative to pytest's rootdir. `pytest --update-baselines` writes the baselines instead; a
lowered bar still asks for a reason: `--accept-regression REASON`. The marker `edge_scnet`, which
every test with the fixture has, selects them (`pytest -m edge_scnet`). Registered as an entry
point, so it must cost nothing where it is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_scnet.core.printable import printable, printable_lines
from edge_scnet.errors import EdgeError

if TYPE_CHECKING:
    from edge_scnet.core.events import Events
    from edge_scnet.gate.check import Checked
    from edge_scnet.report.run_report import RunReport


class EdgeScnet:
    """What the fixture gives."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._update = bool(config.getoption("update_baselines"))
        self._accept: str | None = config.getoption("accept_regression")
        self.written: list[tuple[Path, list[str]]] = []  # baselines, and what changed in them

    def check(
        self,
        report: str | Path,
        *,
        baseline: str | Path,
        allow: Sequence[str] = (),
        **limits: float,
    ) -> Checked:
        """The findings, without an assertion.

        Args:
            baseline: a baseline's file, or a folder of them named `<model>-<target>.json`.
            allow: what may differ from it, as `edge-scnet check --allow`: "checkpoint", "images".
            limits: of `[gates]`, over the baseline's, such as `max_sqnr_fall_db=2.0`.

        Raises:
            EdgeError: no such files, damaged, or limits that contradict the baseline.
        """
        from edge_scnet.config.project import allowed_kinds
        from edge_scnet.gate import check as checking

        return checking.check(
            [self._root / report],
            against=self._root / baseline,
            limits=dict(limits),
            allowed=allowed_kinds(allow, "allow of the test"),
            time_again=_time_again,
        )[0]

    def assert_no_regression(
        self,
        report: str | Path,
        *,
        baseline: str | Path,
        allow: Sequence[str] = (),
        **limits: float,
    ) -> None:
        """Fails the test with every finding that does not pass; with --update-baselines writes the
        baseline instead.

        It fails with the error, and no traceback, where there are no such files, a baseline would
        be lowered without a reason, or limits contradict it.

        Raises:
            AssertionError: a regression, or too few images to exclude one.
        """
        __tracebackhide__ = True
        checked, refused = None, None
        try:
            if self._update:
                self._write(self._root / report, self._root / baseline, dict(limits))
            else:
                checked = self.check(report, baseline=baseline, allow=allow, **limits)
        except EdgeError as error:
            refused = error
        if refused is not None:
            pytest.fail(printable_lines(f"{refused.message}\nhint: {refused.hint}"), pytrace=False)
        if checked is not None:
            self._hold(checked)

    def _hold(self, checked: Checked) -> None:
        __tracebackhide__ = True
        wrong = [finding for finding in checked.findings if finding.exit_code]
        if wrong:
            lines = [
                f"{finding.metric} ({finding.verdict}): {finding.message}" for finding in wrong
            ]
            lines += [f"changed since the baseline: {wrong[0].cause}"] if wrong[0].cause else []
            if checked.allowable:
                names = ", ".join(f'"{kind}"' for kind in checked.allowable)
                lines.append(f"if the model was trained anew, or its data renewed: allow=[{names}]")
            lines += ["if that is meant: pytest --update-baselines --accept-regression REASON"]
            lines.insert(0, f"{checked.title}: {checked.headline}")
            pytest.fail("\n".join(map(printable, lines)), pytrace=False)

    def _write(self, report: Path, baseline: Path, limits: dict[str, Any]) -> None:
        from edge_scnet.gate.changes import change_words
        from edge_scnet.gate.update import update_from

        updated = update_from(report, baselines=baseline, limits=limits, accept=self._accept)
        self.written.append((updated.file, [change_words(change) for change in updated.changes]))


def _time_again(
    path: Path, report: RunReport, *, factor: float, events: Events | None
) -> RunReport | None:
    """Imports the profiler, and NumPy with it, only where something must be measured again."""
    from edge_scnet.pipeline.profile import time_again

    return time_again(path, report, factor=factor, events=events)


_GATE = pytest.StashKey[EdgeScnet]()


@pytest.fixture(scope="session")
def edge_scnet(pytestconfig: pytest.Config) -> EdgeScnet:
    """Holds edge-scnet's reports to their baselines."""
    pytestconfig.stash[_GATE] = EdgeScnet(pytestconfig)
    return pytestconfig.stash[_GATE]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    gate = config.stash.get(_GATE, None)
    if gate is not None and gate.written:
        terminalreporter.section("edge-scnet baselines written")
        for path, changes in gate.written:
            terminalreporter.write_line(printable(str(path)))
            for line in changes:
                terminalreporter.write_line(printable(f"  {line}"))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("edge-scnet", "accuracy gate of quantized engines")
    group.addoption(
        "--update-baselines",
        action="store_true",
        help="write edge-scnet's baselines instead of checking them",
    )
    group.addoption(
        "--accept-regression",
        metavar="REASON",
        default=None,
        help="why --update-baselines may lower a bar; kept in the file",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "edge_scnet: holds a quantized engine to its baseline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "edge_scnet" in getattr(item, "fixturenames", ()):
            item.add_marker("edge_scnet")
