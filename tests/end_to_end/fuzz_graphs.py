"""Builds random networks: each is proven, or refused in words; never a bug.

    python -m tests.end_to_end.fuzz_graphs --count 500 --seed 0

Each network is imported, quantized for the CPU and compiled, which proves that the engine computes
what the graph says; and imported at batch 4, which must give what batch 1 gives, or be refused.
Prints a line for each that is refused or wrong, and one line of JSON; exit code 1 where one is
wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError, EdgeError, ParityError, TargetError
from edge_scnet.export.from_onnx import import_onnx
from edge_scnet.graph.run import run_onnx
from edge_scnet.pipeline.build import build
from tests.helpers.random_graphs import Choose, random_model

_TARGET = "cpu-avx2"
_OPSET = 20


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a network."""

    # "built", "refused" or "wrong"
    what: str
    words: str = ""


def check(model: onnx.ModelProto, folder: Path) -> Answer:
    """Builds a network in a folder and compares batches."""
    path = folder / "random.onnx"
    onnx.save(model, path)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    images = np.random.default_rng(0).standard_normal((100, *shape)).astype(np.float32)
    np.save(folder / "calib.npy", images)
    options = ModelOptions(mean=(0.0,) * shape[0], std=(1.0,) * shape[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few images, and of layers that stay in float
            build(
                str(path),
                target=_TARGET,
                calib=folder / "calib.npy",
                out=folder / "out",
                model_options=options,
                until="compile",
            )
        _check_batches(path, images[:4], options)
    except ParityError as error:
        return Answer(what="wrong", words=f"parity: {error.message}")
    except (ArtifactError, TargetError) as error:
        return Answer(what="refused", words=error.message)
    except EdgeError as error:
        return Answer(what="wrong", words=f"{type(error).__name__}: {error.message}")
    except Exception:
        return Answer(what="wrong", words=traceback.format_exc(limit=-3))
    return Answer(what="built")


def _check_batches(path: Path, images: np.ndarray, options: ModelOptions) -> None:
    """Raises ParityError where four images at once give something else than one by one."""
    one = import_onnx(path, options, batch=1, opset=_OPSET).model
    try:
        four = import_onnx(path, options, batch=4, opset=_OPSET).model
    except ArtifactError:
        return  # refused: a batch is fixed inside
    expected = [
        np.concatenate(rows) for rows in zip(*run_onnx(one, list(images[:, None])), strict=True)
    ]
    for want, got in zip(expected, run_onnx(four, [images])[0], strict=True):
        if want.shape != got.shape or not np.allclose(want, got, rtol=1e-3, atol=1e-3):
            raise ParityError("an image at batch 4 gives something else than at batch 1")


def seeded(seed: int) -> Choose:
    """Choices that a seed makes."""
    return random.Random(seed).choice


def main() -> None:
    """Builds networks and prints what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        with tempfile.TemporaryDirectory() as folder:
            answer = check(random_model(seeded(seed), seed), Path(folder))
        counts[answer.what] += 1
        if answer.what != "built":
            print(f"seed {seed}: {answer.what}: {answer.words}", flush=True)
    print(json.dumps({"seed": arguments.seed, "networks": arguments.count, **counts}))
    sys.exit(bool(counts["wrong"]))


if __name__ == "__main__":
    main()
