"""The bundle's script, run with a trtexec that is made up.

It prints and exports what the real one does, in its words and with numbers made up.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.compile import bundle
from edge_scnet.config.target import load_target
from edge_scnet.core.manifest import load_manifest
from edge_scnet.report.store import load_report
from edge_scnet.runtimes.tensorrt import trtexec
from tests.helpers.tensorrt import JETSON, gone
from tests.helpers.tool import Outcome


@pytest.mark.parametrize(
    ("number", "target", "has", "has_not"),
    [
        (
            "100300",
            "jetson",
            [
                "--stronglyTyped",
                "--useCudaGraph --useSpinWait --noDataTransfers",
                "--skipInference",
            ],
            ["--int8"],
        ),
        ("110401", "jetson", ["--skipInference"], ["--stronglyTyped", "--useCudaGraph", "--int8"]),
        (
            "8502",
            "jetson-xavier",
            ["--int8 --fp16", "--buildOnly", "--useCudaGraph"],
            ["--stronglyTyped", "--skipInference"],
        ),
    ],
)
def test_the_script_speaks_the_language_of_the_version(
    number: str,
    target: str,
    has: list[str],
    has_not: list[str],
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    outcome, folder = script(number, target=load_target(target))
    assert outcome.code == 0, outcome.stderr
    calls = (folder / "calls").read_text()
    assert all(words in calls for words in has) and not any(words in calls for words in has_not)
    assert (folder / "engine.plan").is_file() and (folder / "engine-fp16.plan").is_file()
    with tarfile.open(folder / "results.tar.gz") as archive:
        assert "./engine.1.times.json" in archive.getnames()


@pytest.mark.parametrize("number", ["8602", "120000"])
def test_the_script_refuses_another_version(
    number: str, script: Callable[..., tuple[Outcome, Path]]
) -> None:
    outcome, folder = script(number)
    assert outcome.code == 3 and "target jetson is for 10.3" in outcome.stderr and outcome.hint
    assert not (folder / "engine.plan").exists()


def test_the_script_packs_what_the_board_says_of_itself(
    programs: None,
    script: Callable[..., tuple[Outcome, Path]],
    tmp_path_factory: pytest.TempPathFactory,
    invoke: Callable[..., Outcome],
) -> None:
    outcome, board = script("100300")
    assert outcome.code == 0, outcome.stderr
    assert gone(int((board / "pid").read_text()))
    folder = tmp_path_factory.mktemp("workstation")
    for name in ("manifest.json", "results.tar.gz"):
        (folder / name).write_bytes((board / name).read_bytes())
    shown = invoke("profile", folder / "results.tar.gz")
    assert shown.code == 0, shown.stderr
    assert "board: power mode MAXN_SUPER, clocks pinned" in shown.stdout
    assert (
        "5.3 W (peak 5.3) for the module, GPU at 1020 to 1020 MHz, 99 % busy, at most 47.6 C (gpu)"
        in shown.stdout
    )
    state = load_report(folder / "report.json").board
    assert state is not None and state.throttled is False and state.samples > 5


def test_tegrastats_ends_with_a_script_that_fails(
    programs: None, script: Callable[..., tuple[Outcome, Path]]
) -> None:
    outcome, board = script("100300", "case $* in *engine.2.times*) echo '[E] no'; exit 1 ;; esac")
    assert outcome.code == 8 and gone(int((board / "pid").read_text()))


def test_the_script_times_as_profile_does(script: Callable[..., tuple[Outcome, Path]]) -> None:
    for number, version in (("100300", "10.3.0"), ("110401", "11.4.1")):
        _, folder = script(number)
        timed = [
            line for line in (folder / "calls").read_text().splitlines() if "--exportTimes" in line
        ]
        assert len(timed) == 2 * trtexec.ROUNDS
        assert all(" ".join(trtexec.timing_options(version, seconds=2)) in line for line in timed)
        order = ["engine-fp16" if "engine-fp16.plan" in line else "engine" for line in timed]
        assert order == [
            stem for number in range(1, trtexec.ROUNDS + 1) for stem in trtexec.round_order(number)
        ]
        layers = [
            line
            for line in (folder / "calls").read_text().splitlines()
            if "--exportProfile" in line
        ]
        assert all(" ".join(trtexec.LAYER_OPTIONS) in line for line in layers)
        (folder / "calls").unlink()


def test_the_script_shows_trtexecs_first_error_and_leaves_no_half_plan(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    fail = (
        "case $* in *--saveEngine=engine.plan.part*) echo '[E] Error[4]: first'; echo '[E] second';"
        " exit 1 ;; esac"
    )
    outcome, folder = script("100300", fail)
    assert outcome.code == 8 and "first" in outcome.stderr and "second" not in outcome.stderr
    assert "engine.build.log" in outcome.hint
    assert not list(folder.glob("*.part")) and not (folder / "engine.plan").exists()


def test_the_script_refuses_a_file_that_changed(
    script: Callable[..., tuple[Outcome, Path]], tmp_path: Path
) -> None:
    (tmp_path / "engine.onnx").write_bytes(b"other")
    outcome, _ = script("100300")
    assert outcome.code == 6 and "not what was packed" in outcome.stderr


def test_names_are_quoted_in_the_script(packed: Path, tmp_path: Path) -> None:
    bundle.unpack(packed, tmp_path)
    manifest = load_manifest(tmp_path)
    evil = replace(manifest, model=replace(manifest.model, name="a'; touch evil; '"))
    assert """model='a'"'"'; touch evil; '"'"''""" in bundle.build_script(evil, JETSON)
