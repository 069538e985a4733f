"""Measures whether the comparison of two engines can be trusted.

    python tests/benchmarks/comparison.py BUILD_FOLDER [--out FILE]

Times an INT8 engine against itself again and again (at most 5 % of the comparisons may report a
difference), and against one that is some percent slower because a block of it is in float (9 of 10
must be noticed, in runs of 30 s; `time_ratio` is by how much, of a longer run). Exit code 1
when a figure is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
from envelope import begin

from edge_scnet.config.target import from_dict
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Silent
from edge_scnet.core.spec import ModelSpec
from edge_scnet.graph.names import block_of
from edge_scnet.pipeline import build_folder as engines
from edge_scnet.pipeline.explain import float_graph
from edge_scnet.profiler import rounds as together
from edge_scnet.profiler.process import EngineFile
from edge_scnet.report import comparison
from edge_scnet.runtimes import usable_runtime
from edge_scnet.sensitivity import bisect

SECONDS = 2.4  # timed, per engine: with starting 24 processes half a minute in all


def answer(a: EngineFile, b: EngineFile, spec: ModelSpec, seconds: float) -> dict[str, object]:
    started = time.perf_counter()
    rounds, _ = together.time_in_rounds([a, b], spec, seconds=seconds, events=Silent())
    ratio = together.ratio_of_rounds(rounds, 1)
    found = {
        "answer": comparison.faster(ratio),
        "ratio": ratio.ratio,
        "low99": ratio.low99,
        "high99": ratio.high99,
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def slower_engine(
    folder: Path, int8: EngineFile, spec: ModelSpec, block: str, out: Path
) -> tuple[EngineFile, float]:
    """The engine with a block back in float, and how much longer it takes, by a run of its own."""
    build = BuildFolder.open(folder)
    quantized = ir.load(folder / "model.qdq.onnx")
    reference = float_graph(build, quantized)
    backend, target = usable_runtime(int8.runtime), from_dict(build.manifest.target)
    members = [name for name in bisect.quantized_nodes(quantized) if block_of(name) == block]
    ir.save(bisect.in_float(quantized, reference, members), out / "slow.onnx")
    engine = replace(
        int8, name="slower", path=backend.build(out / "slow.onnx", target, out / "slow.xml").engine
    )
    rounds, _ = together.time_in_rounds([int8, engine], spec, seconds=20, events=Silent())
    ratio = together.ratio_of_rounds(rounds, 1)
    print(block, 1 / ratio.ratio, file=sys.stderr, flush=True)
    return engine, 1 / ratio.ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--same", type=int, default=40)
    parser.add_argument("--slower", type=int, default=20)
    parser.add_argument(
        "--block", default="layer1.0", help="the block that is in float in the slower engine"
    )
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun = begin()
    folder = BuildFolder.open(given.folder)
    int8 = engines.engine_files(folder)[-1]
    spec = folder.manifest.model
    with tempfile.TemporaryDirectory() as temporary:
        slow, true = (
            slower_engine(given.folder, int8, spec, given.block, Path(temporary))
            if given.slower
            else (int8, 1.0)
        )
        slower = [answer(int8, slow, spec, SECONDS) for _ in range(given.slower)]
    same = [answer(int8, replace(int8, name="again"), spec, SECONDS) for _ in range(given.same)]
    alarms = sum(row["answer"] in ("A", "B") for row in same)
    noticed = sum(row["answer"] == "A" for row in slower)
    result = {
        "same": {
            "comparisons": len(same),
            "differences": alarms,
            "cannot_tell": sum(r["answer"] == "unknown" for r in same),
        },
        "slower": {"comparisons": len(slower), "noticed": noticed, "time_ratio": true},
        "rows": {"same": same, "slower": slower},
    }
    begun.write(result, given.out)
    sys.exit(alarms > 0.05 * len(same) or noticed < 0.9 * len(slower))


if __name__ == "__main__":
    main()
