"""What goes over to a device, and how it is laid out there, without a device."""

from __future__ import annotations

import fcntl
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edge_scnet.core.files import sha256_bytes
from edge_scnet.devices.connection import command_of
from edge_scnet.devices.device import Device
from edge_scnet.devices.inputs import Input, Job, Shipment, layout, shipment_of
from edge_scnet.devices.job import Settings, run_id
from edge_scnet.devices.run import rebuilt
from tests.helpers.folders import float_build
from tests.helpers.graphs import tiny_onnx

DEVICE = Device(name="orin", host="orin")


def job(here: Path, *inputs: Path) -> Job:
    return Job(
        argv=("true",),
        is_tool=False,
        words="a test's job",
        cwd=here,
        inputs=tuple(Input(path=path) for path in inputs),
    )


def sets(here: Path) -> tuple[Path, Path]:
    """Two folders of samples."""
    for name in ("calib", "eval"):
        (here / name / "deep").mkdir(parents=True)
        (here / name / "deep" / "x").write_text(name)
    return here / "calib", here / "eval"


def start(shell: str, workdir: Path, asked: Job, shipment: Shipment) -> int:
    """Has a job laid out as run.sh does on a device whose sh is this shell."""
    packed = layout(asked, shipment, run="run", workdir=str(workdir), python=sys.executable)
    (workdir / "jobs").mkdir(exist_ok=True)
    _, program, *words = shlex.split(
        command_of(
            "run.sh",
            (str(workdir), "run", "mark", "0", "0", str(len(packed)), "refuse", "me", "", ""),
        )
    )
    assert program == "sh"
    done = subprocess.run([shell, *words], input=packed, cwd=workdir, capture_output=True)
    return done.returncode


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_folder_that_cannot_be_unpacked_starts_no_job(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None or shutil.which("setsid") is None:
        pytest.skip(f"{shell} or setsid is not installed")
    asked = job(tmp_path, *sets(tmp_path))
    shipment = shipment_of(asked)
    workdir = tmp_path / "workdir"
    (workdir / "blobs").mkdir(parents=True)
    first, second = shipment.folders.values()
    (workdir / "blobs" / first).write_bytes(b"damaged" * 300)
    with shipment.blobs[second].open(tmp_path) as tar:
        (workdir / "blobs" / second).write_bytes(tar.read())
    assert start(shell, workdir, asked, shipment) == 9
    assert not list((workdir / "jobs").iterdir())


def test_a_job_that_ended_and_was_not_fetched_is_not_begun_again(tmp_path: Path) -> None:
    """As where another client started it while this one sent its files."""
    asked = job(tmp_path)
    ended = tmp_path / "workdir" / "jobs" / "run"
    (ended / "root").mkdir(parents=True)
    (ended.parents[1] / "blobs").mkdir()
    for name, text in {"pid": "1", "boot": "", "exit": "11", "root/made": "made"}.items():
        (ended / name).write_text(text)
    assert start("sh", ended.parents[1], asked, shipment_of(asked)) == 0
    assert (ended / "exit").read_text() == "11" and (ended / "root" / "made").is_file()


def test_a_manifest_of_something_else_makes_no_folder_a_build(tmp_path: Path) -> None:
    """As web applications have one: the samples beside it go over, with all their classes."""
    calib, _ = sets(tmp_path)
    (calib / "manifest.json").write_text('{"name": "pictures of a web page"}')
    (calib / "deep" / "manifest.json").write_text("no JSON")
    float_build(calib / "build", onnx.load(tiny_onnx(tmp_path / "net.onnx")))
    whole = shipment_of(job(tmp_path, calib))
    (blob,) = whole.blobs.values()
    with blob.open(tmp_path) as tar:
        listed = subprocess.run(["tar", "-t"], stdin=tar, check=True, capture_output=True)
    assert listed.stdout.split() == [b"deep/manifest.json", b"deep/x", b"manifest.json"]
    assert whole.folders and not whole.files


def test_a_job_with_another_power_mode_is_another_job(tmp_path: Path) -> None:
    asked = job(tmp_path)
    shipment = shipment_of(asked)

    def run(power_mode: int | None, settings: Settings) -> str:
        return run_id(asked, shipment, replace(DEVICE, power_mode=power_mode), settings)

    as_it_is, set_for_it = Settings(), Settings(set_power_mode=True)
    assert len({run(2, as_it_is), run(2, set_for_it), run(0, set_for_it)}) == 3
    assert run(2, as_it_is) == run(None, as_it_is), "it is not asked for"


def answer(workdir: Path, run: str, requests: str) -> bytes:
    """What run.sh prints of a job that has ended there, and to requests."""
    _, *words = shlex.split(command_of("run.sh", (str(workdir), run, "mark", "0", "0", "0")))
    done = subprocess.run(words, input=requests.encode(), check=True, capture_output=True)
    return done.stdout.rpartition(b"mark\n")[2]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("one\nstays for ever and a day\nthree\n", "ONE\nstays for ever and a day\nthree\n"),
        ("1.0\n" * 9, "1.00\n" * 9),
        ("a long line that comes once more\n", "x\na long line that comes once more\n" * 3),
        ("+ a line with a plus in front\n@1 9\n", "@1 9\n+ a line with a plus in front\n"),
        ("x = 1\n", ""),
    ],
)
def test_a_text_comes_as_what_it_has_beyond_the_one_of_before(
    tmp_path: Path, before: str, after: str
) -> None:
    workdir = tmp_path / "workdir"
    job = workdir / "jobs" / "run"
    (job / "root").mkdir(parents=True)
    (workdir / "blobs").mkdir()
    for name, text in {"pid": "1", "boot": "", "exit": "0", "readers": "", "stdout": ""}.items():
        (job / name).write_text(text)
    (job / "stderr").write_text("")
    base = sha256_bytes(before.encode())
    (workdir / "blobs" / base).write_text(before)
    (job / "root" / "a=b.json").write_text(after)
    head, _, told = answer(workdir, "run", f"base {base}\nfile a=b.json\n").partition(b"\n")
    assert head == b"lines %d" % len(told)
    assert rebuilt(before.encode(), told) == after.encode()
    assert answer(workdir, "run", "file a=b.json\n").partition(b"\n")[2] == after.encode()
    assert answer(workdir, "run", "file b\nfile a=b.json\n").startswith(b"gone\nwhole ")
    answer(workdir, "run", "forget\n")
    assert not job.exists()


def test_a_job_that_another_client_reads_keeps_its_files_and_is_none_that_is_taken_up(
    tmp_path: Path,
) -> None:
    workdir = tmp_path / "workdir"
    asked = job(tmp_path)
    ended = workdir / "jobs" / "run"
    (ended / "root").mkdir(parents=True)
    (workdir / "blobs").mkdir()
    for name in ("stdout", "stderr", "readers"):
        (ended / name).write_text("")
    for name, text in {"pid": "1", "boot": "", "exit": "11"}.items():
        (ended / name).write_text(text)
    with (ended / "readers").open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        answer(workdir, "run", "forget\n")
        assert (ended / "exit").exists()
    assert start("sh", workdir, asked, shipment_of(asked)) == 0
    assert not (ended / "exit").exists() or (ended / "exit").read_text() == "0\n", "it ran anew"
