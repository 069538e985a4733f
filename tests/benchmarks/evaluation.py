"""How near the evaluation of photographs comes to the engine's own throughput.

    python tests/benchmarks/evaluation.py BUILD_FOLDER --eval DIR [--rounds 3] [--out FILE]

The INT8 engine of a build for the CPU evaluates the images of a folder, decoded and preprocessed in
each of the usual ways, against its asynchronous throughput in the same run. Preprocessing has the
same two cores as the engine, so that an engine of P images a second can be fed at 0.9 only where an
image costs at most 0.1 x cores / P seconds of a core; what each way costs is measured too.

Exit code 1 when a ratio is below 0.9.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from envelope import begin

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.spec import ModelSpec, engine_spec
from edge_scnet.data import samples as dataset
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.pipeline import build_folder as engines
from edge_scnet.profiler.measure import Measured, MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile

LEAST_EVALUATION = 0.90
WAYS: dict[str, dict[str, Any]] = {
    "crop, bilinear, pillow": {"resize": "crop", "interpolation": "bilinear", "library": "pillow"},
    "crop, bicubic, pillow": {"resize": "crop", "interpolation": "bicubic", "library": "pillow"},
    "letterbox, bilinear, pillow": {
        "resize": "letterbox",
        "interpolation": "bilinear",
        "library": "pillow",
    },
    "letterbox, bilinear, opencv": {
        "resize": "letterbox",
        "interpolation": "bilinear",
        "library": "opencv",
        "antialias": False,
    },
}


def evaluation(
    engine: EngineFile,
    open_samples: Callable[[], SampleSet],
    spec: ModelSpec,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Images a second of the evaluation over the engine's throughput just before it.

    Args:
        open_samples: the set, opened anew for each round.
        seconds: timed, of the throughput.
    """
    ratios, rates = [], []
    for _ in range(rounds):
        ended: dict[str, float] = {}

        def note(
            what: str,
            share: float,
            count: int = 0,
            unit: str = "",
            *,
            ended: dict[str, float] = ended,
        ) -> None:
            ended[what] = time.perf_counter()

        samples = open_samples()
        found: Measured = measure(
            [engine], samples, spec, MeasureSettings(seconds=seconds), progress=note
        )
        rates.append(len(samples) / (ended["accuracy"] - ended["throughput"]))
        ratios.append(rates[-1] / (found.engines[0].throughput_per_second or np.nan))
        print("evaluation", rates[-1], ratios[-1], file=sys.stderr, flush=True)
    return {
        "images": len(samples),
        "images_per_second": rates,
        "ratios": ratios,
        "ratio": float(np.median(ratios)),
    }


def core_ms_an_image(samples: SampleSet, spec: ModelSpec) -> float:
    """Milliseconds of a core that decoding and preprocessing of an image take."""
    started = time.process_time()
    count = sum(len(batch) for batch in batches(samples, spec, batch=64, threads=1))
    return 1e3 * (time.process_time() - started) / count


def main() -> None:
    """Evaluates the folder's images in every way and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--eval", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun = begin()
    folder = BuildFolder.open(given.folder)
    engine, model = engines.engine_files(folder)[2], folder.manifest.model
    found = {}
    for name, way in WAYS.items():
        print(name, file=sys.stderr)
        spec = replace(model, preprocessing=replace(model.preprocessing, **way))

        def opened(spec: ModelSpec = spec) -> SampleSet:
            return dataset.open_samples(given.eval, model=spec, role="evaluation")

        found[name] = {
            "core_ms_an_image": core_ms_an_image(opened(), engine_spec(spec, engine.input)),
            **evaluation(engine, opened, spec, given.rounds, given.seconds),
        }
    begun.write({"engine": engine.path.name, "ways": found}, given.out)
    sys.exit(any(way["ratio"] < LEAST_EVALUATION for way in found.values()))


if __name__ == "__main__":
    main()
