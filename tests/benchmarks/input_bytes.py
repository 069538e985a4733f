"""Compares engines that take bytes with engines of floats of the same build.

    python tests/benchmarks/input_bytes.py --calib DIR --eval DIR --work DIR
        [--rounds 12] [--out FILE]

For the bundled scnet20 on Fashion-MNIST and SCNet-50 at 224 px on photographs (weights drawn as
`scnet50_224.py` draws them), each built with `--input uint8` and with `--input float`; then their
INT8 engines in rounds of new processes, started in another order each, in alternated windows:

- `infer` alone, and from decoded pixels to the first classes (preprocess, infer, top-k), the float
  engine's time over that of bytes, a ratio each round;
- what preprocess and top-k add to `infer` in a plain loop, and where the next picture is prepared
  on another core while the engine runs on one, as `predict` does with folders;
- SQNR against FP32 and the agreement, of both builds' reports.

Exit code 1 when a figure is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from envelope import begin
from scnet50_224 import TARGET, make_checkpoint, some_of

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.spec import ModelSpec, engine_spec
from edge_scnet.data.batches import inputs_of, load_pixels
from edge_scnet.data.samples import SampleSet, open_samples, subset
from edge_scnet.pipeline.build_folder import engine_files
from edge_scnet.pipeline.samples import evaluation_folder
from edge_scnet.profiler.child import STAGES
from edge_scnet.profiler.process import Child, EngineFile, timed_images
from edge_scnet.report.store import load_report
from edge_scnet.runtimes import usable_runtime
from edge_scnet.stats.accuracy import top_k
from edge_scnet.stats.timing import ratio_of

LEAST_END_TO_END, MOST_INFER, MOST_LOST_DB, MOST_OVERHEAD = 1.15, 1.01, 0.1, 1.10
_WINDOW_S, _WINDOWS, _PICTURES = 0.25, 6, 64
_DECODE = STAGES.index("decode")


def build(model: Sequence[str], form: str, work: Path) -> BuildFolder:
    """One build of a model, its engines of bytes or of floats."""
    command = [sys.executable, "-m", "edge_scnet", "build", *model, "--seconds", "1"]
    command += ["--input", form, "--out", str(work / form)]
    code = subprocess.run(command, check=False).returncode
    if code not in (0, 10, 11, 13):
        sys.exit(code)
    (folder,) = (path.parent for path in (work / form).rglob("manifest.json"))
    return BuildFolder.open(folder)


def int8_of(folder: BuildFolder) -> EngineFile:
    return next(engine for engine in engine_files(folder) if engine.role == "int8")


def one_round(
    engines: Sequence[EngineFile], samples: SampleSet, spec: ModelSpec, *, reverse: bool
) -> tuple[list[float], list[np.ndarray]]:
    """Both engines in new processes: ms of `infer` alone, and ns of each stage by picture."""
    order = range(len(engines))[:: -1 if reverse else 1]
    with contextlib.ExitStack() as stack:
        children = {}
        for i in order:
            children[i] = Child(engines[i])
            stack.callback(children[i].close)
            children[i].load(timed_images(samples, engine_spec(spec, engines[i].input)))
            children[i].call("warm_up")
        blocks: list[list[int]] = [[] for _ in engines]
        stages: list[list[tuple[int, ...]]] = [[] for _ in engines]
        for number in range(_WINDOWS):
            for i in list(order)[:: -1 if number % 2 else 1]:
                own = engine_spec(spec, engines[i].input)
                blocks[i] += children[i].call("block", _WINDOW_S, 5)
                stages[i] += children[i].call("end_to_end", samples, own, _WINDOW_S)
    return [statistics.median(block) / 1e6 for block in blocks], list(map(np.array, stages))


def beside(engine: EngineFile, samples: SampleSet, spec: ModelSpec, seconds: float) -> float:
    """Time by picture over that of `infer` alone, on one core, the next prepared on another."""
    own = engine_spec(spec, engine.input)
    options = replace(engine.options, threads=1)
    pictures = [load_pixels(samples, i, own) for i in range(len(samples))]
    with (
        usable_runtime(engine.runtime).open(engine.path, options) as session,
        ThreadPoolExecutor(1) as pool,
    ):
        batch = inputs_of(pictures[:1], own)
        alone, together = [], []
        for _ in range(10):
            session.infer(batch)
        for number in range(8):
            runs, end, started = 0, time.perf_counter() + seconds / 16, time.perf_counter()
            while time.perf_counter() < end:
                session.infer(batch)
                runs += 1
            alone.append((time.perf_counter() - started) / runs)
            runs, end, started = 0, time.perf_counter() + seconds / 16, time.perf_counter()
            following = pool.submit(inputs_of, pictures[:1], own)
            while time.perf_counter() < end:
                taken = following.result()
                runs += 1
                i = (number + runs) % len(pictures)
                following = pool.submit(inputs_of, pictures[i : i + 1], own)
                top_k(session.infer(taken)[0], 5)
            together.append((time.perf_counter() - started) / runs)
            following.result()
    return statistics.median(together) / statistics.median(alone)


def compared(model: Sequence[str], work: Path, rounds: int) -> dict[str, Any]:
    """Both builds of a model, and their INT8 engines against each other."""
    folders = [build(model, form, work) for form in ("float", "uint8")]
    engines = [int8_of(folder) for folder in folders]
    spec = folders[0].manifest.model
    where = evaluation_folder(folders[0].manifest)
    assert where is not None
    samples = open_samples(where, model=spec, role="evaluation", ignore_labels=True)
    samples = subset(samples, _PICTURES)
    infer, ends, shares = [], [], []
    for number in range(rounds):
        alone, stages = one_round(engines, samples, spec, reverse=bool(number % 2))
        after = [float(np.median(np.delete(rows, _DECODE, 1).sum(1))) / 1e6 for rows in stages]
        infer.append(alone)
        ends.append(after)
        shares.append([np.median(rows, axis=0) / 1e6 for rows in stages])
    accuracies = []
    for folder in folders:
        report = load_report(folder.path / "report.json")
        row = next(row for row in report.engines if row.role == "int8")
        assert row.accuracy is not None
        accuracies.append(row.accuracy)
    overheads = [end[1] / alone[1] for end, alone in zip(ends, infer, strict=True)]
    names = ("float", "uint8")
    return {
        "infer_ms": dict(zip(names, np.median(infer, axis=0).tolist(), strict=True)),
        # bytes over float
        "infer_ratio": asdict(ratio_of([alone[1] / alone[0] for alone in infer])),
        "after_decode_ms": dict(zip(names, np.median(ends, axis=0).tolist(), strict=True)),
        # float over bytes
        "end_to_end_ratio": asdict(ratio_of([end[0] / end[1] for end in ends])),
        "stages_ms": {
            name: dict(zip(STAGES, np.median([s[i] for s in shares], axis=0).tolist(), strict=True))
            for i, name in enumerate(names)
        },
        "overhead_in_a_loop": statistics.median(overheads),
        "overhead_beside_one_core": {
            name: beside(engine, samples, spec, 8.0)
            for name, engine in zip(names, engines, strict=True)
        },
        "sqnr_db": {name: a.sqnr_db for name, a in zip(names, accuracies, strict=True)},
        "agreement_percent": {
            name: a.agreement_percent for name, a in zip(names, accuracies, strict=True)
        },
    }


def missed(name: str, figures: dict[str, Any]) -> list[str]:
    """What of the figures is not as it should be, in words."""
    lost = figures["sqnr_db"]["float"] - figures["sqnr_db"]["uint8"]
    checks = {
        f"end to end {figures['end_to_end_ratio']['ratio']:.3f}x": (
            figures["end_to_end_ratio"]["ratio"] >= LEAST_END_TO_END
        ),
        f"infer {figures['infer_ratio']['ratio']:.3f}x": (
            figures["infer_ratio"]["ratio"] <= MOST_INFER
        ),
        f"SQNR {-lost:+.2f} dB": lost <= MOST_LOST_DB,
        f"beside one core {figures['overhead_beside_one_core']['uint8']:.3f}x": (
            figures["overhead_beside_one_core"]["uint8"] <= MOST_OVERHEAD
        ),
    }
    return [f"{name}: {words}" for words, is_met in checks.items() if not is_met]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calib", type=Path, required=True, help="photographs")
    parser.add_argument("--eval", type=Path, required=True, help="other photographs")
    parser.add_argument("--work", type=Path, required=True, help="for the builds")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--images", type=int, default=100, help="to evaluate, of those of --eval")
    parser.add_argument("--only", choices=("scnet20", "scnet50"), help="one network alone")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    args = parser.parse_args()
    begun = begin()
    args.work.mkdir(parents=True, exist_ok=True)
    target, checkpoint = args.work / "cpu-300.toml", args.work / "scnet50.pth"
    target.write_text(TARGET)
    models: dict[str, list[str]] = {"scnet20": ["--target", str(target)]}
    if args.only != "scnet20":
        make_checkpoint("scnet50", args.calib, checkpoint)
        pictures = some_of(args.eval, args.images, args.work / "eval")
        models["scnet50"] = [str(checkpoint), "--arch", "scnet50", "--target", str(target)]
        models["scnet50"] += ["--calib", str(args.calib), "--eval", str(pictures)]
        models["scnet50"] += ["--ignore-labels"]
    if args.only is not None:
        models = {args.only: models[args.only]}
    figures = {
        name: compared(options, args.work / name, args.rounds) for name, options in models.items()
    }
    begun.write(figures, args.out)
    if wrong := [words for name, found in figures.items() for words in missed(name, found)]:
        sys.exit("missed: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
