"""`--workers`, `--scheduler` and `--store`: what a user sees of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tool import Outcome
from tests.sensitivity.test_simulated import network

Run = Callable[..., Outcome]


@pytest.fixture
def model_and_samples(tmp_path: Path) -> tuple[Path, Path]:
    samples = tmp_path / "samples"
    samples.mkdir()
    rng = np.random.default_rng(0)
    np.save(samples / "x.npy", rng.standard_normal((130, 3, 8, 8)).astype(np.float32))
    return network(tmp_path), samples


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--store", "there"], "one of --workers and --scheduler"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "one of --workers and --scheduler"),
        (["--scheduler", "nowhere"], "allowed: tls://host:port"),
    ],
)
def test_what_names_no_workers_is_refused(
    invoke: Run, model_and_samples: tuple[Path, Path], tmp_path: Path, given: list[str], words: str
) -> None:
    model, samples = model_and_samples
    where = ["--target", "jetson-orin-nano", "--calib", samples, "--out", tmp_path / "out"]
    outcome = invoke("sensitivity", model, *where, *given)
    assert outcome.code == 3 and words in outcome.stderr.replace("\n", " ")
    assert outcome.hint.startswith("edge-scnet sensitivity")


@pytest.mark.slow
def test_a_search_by_processes_is_that_of_this_process(
    invoke: Run, model_and_samples: tuple[Path, Path], tmp_path: Path
) -> None:
    model, samples = model_and_samples
    found = {}
    for name, given in {"here": [], "one": ["--workers", "1"], "two": ["--workers", "2"]}.items():
        where = ["--target", "jetson-orin-nano", "--calib", samples, "--out", tmp_path / name]
        outcome = invoke("sensitivity", model, *where, "--gain", "2", "--json", *given)
        assert outcome.code == 0, outcome.stderr
        found[name] = json.loads(outcome.stdout)
        found[name].pop("seconds")
        assert ("tasks by" in outcome.stderr) == bool(given)
        (folder,) = (tmp_path / name).glob("*/*")
        assert (folder / "sensitivity.json").is_file() and not (folder / ".tasks").exists()
    assert found["one"] == found["two"]
    assert found["one"]["chosen"]["keep_float"] == found["here"]["chosen"]["keep_float"]
    ranges = [next((tmp_path / name).glob("*/*/ranges.npz")).read_bytes() for name in found]
    assert ranges[0] == ranges[1] == ranges[2]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
def test_engines_of_a_search_are_judged_by_processes_and_timed_here(
    invoke: Run, model_and_samples: tuple[Path, Path], tmp_path: Path, target: str
) -> None:
    """Which mixes are tried depends on their times; what is the same mix has the same accuracy."""
    model, samples = model_and_samples
    found = {}
    for name, given in {"here": [], "one": ["--workers", "1"], "two": ["--workers", "2"]}.items():
        where = ["--target", target, "--calib", samples, "--out", tmp_path / name]
        outcome = invoke(
            "sensitivity", model, *where, "--gain", "2", "--budget", "5", "--json", *given
        )
        assert outcome.code in (0, 10), outcome.stderr
        candidates = json.loads(outcome.stdout)["candidates"]
        found[name] = {tuple(c["keep_float"]): c for c in candidates}
    assert len(found["one"].keys() & found["two"].keys()) > 0
    for mix in found["one"].keys() & found["two"].keys():
        one, two = found["one"][mix], found["two"][mix]
        assert one["sqnr_db"] == two["sqnr_db"] and one["time_ratio"] and two["time_ratio"]
        if mix in found["here"]:
            assert found["here"][mix]["sqnr_db"] == pytest.approx(one["sqnr_db"], abs=1e-3)
