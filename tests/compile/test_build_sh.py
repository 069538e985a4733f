"""The bundle's script, run with a trtexec that is made up.

It prints and exports what the real one does, in its words and with numbers made up.
"""

from __future__ import annotations

import json
import os
import platform
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.compile import bundle
from edge_scnet.config.target import load_target
from edge_scnet.core.manifest import load_manifest
from edge_scnet.machine import jetson
from edge_scnet.pipeline.board import profile_results
from edge_scnet.report.store import load_report
from edge_scnet.runtimes.tensorrt import trtexec
from tests.helpers.tensorrt import JETSON, SHELLS, gone, run_script, unpacked_bundle
from tests.helpers.tool import Outcome

OLD = ["--int8 --fp16", "--useCudaGraph --useSpinWait --noDataTransfers"]
NEW = ["--skipInference", "--memPoolSize=workspace:16"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("number", "target", "has", "has_not"),
    [
        ("8502", "jetson-xavier", [*OLD, "--buildOnly", "workspace:16"], ["--stronglyTyped"]),
        ("8602", "jetson-orin-trt8", [*OLD, *NEW], ["--stronglyTyped", "--buildOnly"]),
        ("100300", "jetson", [OLD[1], "--stronglyTyped", *NEW], ["--int8"]),
        ("101602", "jetson", [OLD[1], "--stronglyTyped", *NEW], ["--fp16"]),
        ("110401", "jetson", NEW, ["--stronglyTyped", "--useCudaGraph", "--int8"]),
    ],
)
def test_the_script_speaks_the_language_of_the_version(
    number: str,
    target: str,
    has: list[str],
    has_not: list[str],
    shell: tuple[str, ...],
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    command = (*shell, "build.sh")
    outcome, folder = script(number, target=load_target(target), command=command)
    assert (outcome.code, outcome.stderr) == (0, "")
    calls = (folder / "calls").read_text()
    assert all(words in calls for words in has) and not any(words in calls for words in has_not)
    assert (folder / "engine.plan").is_file() and (folder / "engine-fp16.plan").is_file()
    with tarfile.open(folder / "results.tar.gz") as archive:
        assert "./engine.1.times.json" in archive.getnames()
    board = json.loads((folder / "board.json").read_text())
    assert board["tensorrt"] == trtexec.version_of(number) and board["int8_bytes"] == 5


@pytest.mark.parametrize("shell", SHELLS)
def test_a_board_without_int8_builds_fp16_and_fp32_and_is_judged_by_them(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    target = load_target("jetson-fp16")
    folder = unpacked_bundle(tmp_path / "bundle", target)
    outcome = run_script(folder, "8201", target=target, command=(*shell, "build.sh"), FP16_MS="0.5")
    assert (outcome.code, outcome.stderr) == (0, "") and "INT8" not in outcome.stdout
    builds = [line for line in (folder / "calls").read_text().splitlines() if "--onnx" in line]
    assert ["--fp16" in line for line in builds] == [False, True]
    assert all("--onnx=engine-fp16.onnx" in line and "--workspace=16" in line for line in builds)
    assert json.loads((folder / "board.json").read_text())["fp32_bytes"] == 5
    report = profile_results(folder / "results.tar.gz").report
    assert report is not None
    assert [(row.name, row.role) for row in report.engines] == [
        ("fp32", "reference"),
        ("fp16", "fp16"),
    ]
    timed = report.engines[1]
    # the warm-up of 9 ms, which 8.2 exports too, is none of its times
    assert timed.latency is not None and timed.latency.p50_ms == 0.5
    assert timed.speedup is not None and timed.speedup.ratio == 2.0
    assert report.verdict.startswith("not judged: no evaluation images. FP16 has 2.00x")
    assert "INT8" not in report.verdict


def test_the_stand_in_refuses_what_a_version_does_not_know(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    xavier = load_target("jetson-xavier")
    assert xavier.board is not None
    any_version = replace(xavier, board=replace(xavier.board, below="12"))
    outcome, _ = script("110401", target=any_version)
    assert outcome.code == 8 and "Unknown option: --fp16" in outcome.stderr


def test_the_version_can_be_told_where_trtexec_does_not(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    outcome, _ = script("100300", banner=False)
    assert outcome.code == 5 and "TRT_VERSION=10.3.0 sh build.sh" in outcome.hint
    for wrong in ("10.3/../x", "10..3", "new"):
        outcome, _ = script("100300", banner=False, TRT_VERSION=wrong)
        assert outcome.code == 5 and f"TRT_VERSION={wrong} is no version" in outcome.stderr
    outcome, folder = script("100300", banner=False, TRT_VERSION="10.3.0")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "--stronglyTyped" in (folder / "calls").read_text()


@pytest.mark.parametrize("named", ["trtexec", "./bundle/trtexec"])
def test_trtexec_is_named_by_its_name_or_from_where_the_script_is_called(
    named: str, script: Callable[..., tuple[Outcome, Path]], tmp_path: Path
) -> None:
    outcome, _ = script(
        "100300",
        where=tmp_path,
        command=("sh", "bundle/build.sh"),
        TRTEXEC=named,
        PATH=f"{tmp_path / 'bundle'}:{os.environ['PATH']}",
    )
    assert (outcome.code, outcome.stderr) == (0, "")


def test_no_trtexec_is_said(script: Callable[..., tuple[Outcome, Path]], tmp_path: Path) -> None:
    for named in (str(tmp_path), str(tmp_path / "none"), "no-such-program"):
        outcome, _ = script("100300", TRTEXEC=named)
        assert outcome.code == 5 and f"no trtexec at {named}" in outcome.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_user_without_root_builds_in_a_folder_with_a_hostile_name(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    # pytest's folders are closed to others
    with tempfile.TemporaryDirectory() as outside:
        folder = unpacked_bundle(Path(outside, "-rf a'b\"$(touch evil)`x`\\n*\n;"))
        user = 65534 if os.getuid() == 0 else None
        for path in (Path(outside), folder, *folder.iterdir()):
            path.chmod(0o777)
        command = (*shell, "--", f"{folder.name}/build.sh")
        outcome = run_script(
            folder, "100300", command=command, where=Path(outside), user=user, HOME=outside
        )
        assert (outcome.code, outcome.stderr) == (0, "")
        assert (folder / "results.tar.gz").is_file() and not list(Path(outside).rglob("evil"))


@pytest.mark.skipif(os.getuid() != 0, reason="another user is needed, which root can be")
def test_a_folder_that_cannot_be_written_is_said_first() -> None:
    with tempfile.TemporaryDirectory() as outside:
        folder = unpacked_bundle(Path(outside, "bundle"))
        for path in (Path(outside), folder):
            path.chmod(0o755)
        outcome = run_script(folder, "100300", user=65534)
        assert outcome.code == 9 and "cannot be written" in outcome.stderr and outcome.hint


def test_the_clock_of_the_gpu_is_written_beside_each_line(
    programs: None, script: Callable[..., tuple[Outcome, Path]], tmp_path: Path
) -> None:
    for name, hertz in {"gpu-gpc-0": 1020, "gpu-gpc-1": 612, "gpu-nvd-0": 1692}.items():
        folder = tmp_path / "sys" / "class" / "devfreq" / name
        folder.mkdir(parents=True)
        for file in ("cur_freq", "min_freq", "max_freq"):
            (folder / file).write_text(f"{hertz}000000\n")
    outcome, board = script("100300", places={"/sys/class/": tmp_path / "sys" / "class"})
    assert (outcome.code, outcome.stderr) == (0, "")
    assert gone(int((board / "pid").read_text())) and not (board / "tegrastats.fifo").exists()
    first = (board / "tegrastats.log").read_text().splitlines()[0]
    assert first.startswith("RAM ") and first.endswith(" DEVFREQ 1020000000,612000000")


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
    assert shown.code == 13, shown.stderr
    assert "board: power mode MAXN_SUPER, clocks pinned" in shown.stdout
    assert (
        "5.3 W (peak 5.3) for the module, GPU at 1020 to 1020 MHz, 99 % busy, at most 47.6 C (gpu)"
        in shown.stdout
    )
    state = load_report(folder / "report.json").board
    assert state is not None and state.throttled is False and state.samples > 5


@pytest.mark.parametrize(
    ("files", "board"),
    [
        ({"/proc/device-tree/model": 'Jetson "Orin"\\ Nano\0'}, "Jetson Orin Nano"),
        ({"/tmp/nv_jetson_model": "NVIDIA Jetson Orin NX\0\n"}, "NVIDIA Jetson Orin NX"),
        ({"/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3"}, jetson.UNKNOWN_MODEL),
        ({}, platform.machine()),
    ],
)
def test_a_container_tells_the_board_as_edge_scnet_does(
    files: dict[str, str], board: str, tmp_path: Path
) -> None:
    places = {}
    for number, name in enumerate(
        (
            "/sys/firmware/devicetree/base/model",
            "/proc/device-tree/model",
            "/tmp/nv_jetson_model",
            "/etc/nv_tegra_release",
        )
    ):
        places[name] = tmp_path / str(number)
        if name in files:
            places[name].write_text(files[name])
    folder = unpacked_bundle(tmp_path / "bundle")
    assert run_script(folder, "100300", places=places).code == 0
    assert json.loads((folder / "board.json").read_text())["board"] == board


def test_tegrastats_ends_with_a_script_that_fails(
    programs: None, script: Callable[..., tuple[Outcome, Path]]
) -> None:
    outcome, board = script("100300", "case $* in *engine.2.times*) echo '[E] no'; exit 1 ;; esac")
    assert outcome.code == 8 and gone(int((board / "pid").read_text()))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("signal", ["HUP", "INT", "PIPE", "TERM"])
def test_tegrastats_ends_with_a_script_that_is_stopped(
    signal: str,
    shell: tuple[str, ...],
    programs: None,
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    """Also where the connection to the board is lost, or nobody reads what it prints."""
    fail = f"case $* in *engine.2.times*) kill -{signal} $PPID ;; esac"
    outcome, board = script("100300", fail, command=(*shell, "build.sh"))
    assert outcome.code == 130 and gone(int((board / "pid").read_text()))
    assert not (board / "tegrastats.fifo").exists() and not (board / "results.tar.gz").exists()


def test_the_script_times_as_profile_does(script: Callable[..., tuple[Outcome, Path]]) -> None:
    for number, version in (("100300", "10.3.0"), ("110401", "11.4.1")):
        _, folder = script(number)
        timed = [
            line for line in (folder / "calls").read_text().splitlines() if "--exportTimes" in line
        ]
        order = [
            (number, *way)
            for number in range(1, trtexec.ROUNDS + 1)
            for way in trtexec.round_order(number, (True, False))
        ]
        for line, (round_, stem, graph) in zip(timed, order, strict=True):
            options = " ".join(trtexec.timing_options(version, seconds=2, graph=graph))
            name = trtexec.name_of_round(stem, round_, plain=not graph)
            assert line == f"--loadEngine={stem}.plan {options} --exportTimes={name}.times.json"
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
        "case $* in *--saveEngine=engine.plan.1.part*) echo '[E] Error[4]: first';"
        " echo '[E] second'; exit 1 ;; esac"
    )
    outcome, folder = script("100300", fail)
    assert outcome.code == 8 and "first" in outcome.stderr and "second" not in outcome.stderr
    assert "engine.build.log" in outcome.hint
    assert not list(folder.glob("*.part")) and not (folder / "engine.plan").exists()


def test_the_script_shows_why_the_parser_refuses_a_node(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    lines = (
        '[11/02/2026-10:11:12] [E] [TRT] While parsing node number 7 [Tile -> "/Tile_out"]:',
        "[11/02/2026-10:11:12] [E] [TRT] --- End node ---",
        "[11/02/2026-10:11:12] [E] [TRT] ERROR: a.cpp:180 In function parseNode:",
        "[6] Invalid Node - /Tile",
        "repeats must be known",
        "[11/02/2026-10:11:12] [E] Failed to parse onnx file",
    )
    told = " ".join(f"'{line}'" for line in lines)
    outcome, _ = script("100300", f"printf '%s\\n' {told}; exit 1")
    assert outcome.code == 8
    assert '/Tile_out"]: [6] Invalid Node - /Tile repeats must be known' in outcome.stderr
    assert "Failed to parse" not in outcome.stderr


def test_the_script_reads_a_banner_with_dots(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    tells = "echo '&&&& RUNNING TensorRT.trtexec [TensorRT v10.16.2.10] [b9]'"
    outcome, folder = script("101602", tells, banner=False)
    assert outcome.code == 0, outcome.stderr
    assert '"tensorrt": "10.16.2"' in (folder / "board.json").read_text()


def test_the_script_refuses_a_file_that_changed(
    script: Callable[..., tuple[Outcome, Path]], tmp_path: Path
) -> None:
    (tmp_path / "bundle" / "engine.onnx").write_bytes(b"other")
    outcome, _ = script("100300")
    assert outcome.code == 6 and "what was packed: engine.onnx: FAILED" in outcome.stderr


def test_names_are_quoted_in_the_script(tmp_path: Path) -> None:
    manifest = load_manifest(unpacked_bundle(tmp_path / "bundle"))
    evil = replace(manifest, model=replace(manifest.model, name="a'; touch evil; '"))
    assert """model='a'"'"'; touch evil; '"'"''""" in bundle.build_script(evil, JETSON)
    like_a_place = replace(manifest, model=replace(manifest.model, name="@TARGET@"))
    assert "model=@TARGET@\ntarget=jetson\n" in bundle.build_script(like_a_place, JETSON)
