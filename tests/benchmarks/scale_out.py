"""What a second worker is worth for the accuracy half of a search, and what a task costs besides.

    python tests/benchmarks/scale_out.py [--cifar10 DIR] [--images 512] [--workers 1,2] [--out FILE]

scnet20 on CIFAR-10 (DIR holds cifar10_train.npz), or without DIR the bundled one on Fashion-MNIST,
as `sensitivity` simulates it for a Jetson: calibration, the noise of all modules, three mixes one
after the other, and eight of which the next are known, by so many processes each. It refuses to
write figures where two of them differ in a bit. `speedup` is of the times of the whole, and means
something on a quiet machine alone; `kept_busy` is the part of the time in which a worker works on a
task, and hardly depends on what else runs.

Then, by processes and where it is installed by Dask over TLS, the time and the client's processor
time of a task that does nothing, and the bytes of one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from envelope import begin

from edge_scnet.config.target import load_target
from edge_scnet.core.events import Silent
from edge_scnet.core.optional import installed
from edge_scnet.core.resources import bundled
from edge_scnet.data import arrays, idx
from edge_scnet.data.batches import load as load_samples
from edge_scnet.data.images import normalise
from edge_scnet.data.samples import open_samples
from edge_scnet.graph.model import load
from edge_scnet.models import zoo
from edge_scnet.pipeline.build import build
from edge_scnet.pipeline.search_images import reference_outputs
from edge_scnet.quantizer import recipe
from edge_scnet.quantizer.calibrate import CalibrationImages, calibrate
from edge_scnet.quantizer.ranges_file import save_ranges
from edge_scnet.quantizer.shared import collect_by
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.scale.executors import Workers
from edge_scnet.scale.identity import identity
from edge_scnet.scale.pool import Pool, open_pool
from edge_scnet.scale.shards import as_bytes
from edge_scnet.scale.task import Call, Task
from edge_scnet.sensitivity.judged import SearchImages
from edge_scnet.sensitivity.noise import images_for_noise
from edge_scnet.sensitivity.shared import SharedSimulator, encoded, measure_by
from edge_scnet.training import split_held_out

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.helpers.cluster import cluster_of
from tests.helpers.scale import nothing

TARGET, IN_TURN, AHEAD, EMPTY = "jetson-orin-nano", 3, 8, 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A float graph and preprocessed images."""

    model: str
    graph: Path
    images: np.ndarray
    hashes: tuple[str, ...]


def case_of(cifar10: Path | None, count: int, folder: Path) -> Case:
    """The network and its images."""
    name = "scnet20-cifar10" if cifar10 else zoo.DEFAULT_MODEL
    built = build(
        name,
        calib=bundled("calib_data") / "fashion-mnist" / "calib",
        out=folder / "build",
        until="export",
    )
    spec = built.manifest.model
    if cifar10:
        pixels, labels = idx.read_published("cifar10", cifar10, "train")
        held = split_held_out(labels)[1]
        images = normalise(pixels[held[np.arange(count) * len(held) // count]], spec)
    else:
        samples = open_samples(
            bundled("calib_data") / "fashion-mnist" / "calib", model=spec, role="calibration"
        )
        images = load_samples(samples, spec, range(count))
    images = np.ascontiguousarray(images, np.float32)
    return Case(
        model=name,
        graph=built.folder / "model.onnx",
        images=images,
        hashes=tuple(arrays.content_hashes(images)),
    )


def calibrated(case: Case, pool: Pool | None) -> Ranges:
    """The statistics of all tensors."""
    images = CalibrationImages(
        batches=np.array_split(case.images, 16),
        count=len(case.images),
        samples_hash="",
        content_hashes=case.hashes,
    )
    return calibrate(case.graph, images, collect=None if pool is None else collect_by(pool))


def searched(case: Case, prepared: recipe.Prepared, pool: Pool) -> dict[str, Any]:
    """What the accuracy half of a search finds, in steps that `timed` times."""
    steps: dict[str, Any] = {}
    noise_images = case.images[: images_for_noise(prepared.model, len(case.images))]
    steps["noise"] = lambda: measure_by(pool, prepared, noise_images)
    with contextlib.ExitStack() as stack:
        names = [site.node for site in recipe.assemble(prepared).placement.weights]

        def mixes(*, ahead: bool) -> list[Any]:
            data = SearchImages(
                images=case.images,
                labels=None,
                reference=reference_outputs(case.graph, case.images, 1, pool),
            )
            simulator = stack.enter_context(SharedSimulator(prepared, data, pool))
            some = range(IN_TURN, IN_TURN + AHEAD) if ahead else range(IN_TURN)
            trials = [names[: number + 1] for number in some]
            if ahead:
                simulator.ahead(trials)
            return [simulator.measure(trial) for trial in trials]

        steps["in_turn"], steps["ahead"] = partial(mixes, ahead=False), partial(mixes, ahead=True)
        return {name: timed(step, pool) for name, step in steps.items()}


def timed(step: Callable[[], Any], pool: Pool) -> tuple[Any, float, float]:
    """What a step gives, its seconds, and those that workers worked on its tasks."""
    pool.told()
    began = time.perf_counter()
    found = step()
    seconds = time.perf_counter() - began
    busy = pool.busy_s
    return found, seconds, busy


def overhead(workers: Workers, folder: Path) -> dict[str, float]:
    """What a task costs that computes nothing."""
    with open_pool(workers, folder / "kept", Silent()) as pool:
        digest = pool.blob(b"x")
        tasks = [
            Task(work=nothing, inputs={"x": digest}, settings={"number": number}, keep=False)
            for number in range(EMPTY)
        ]
        pool.run(tasks[:8])
        began, processor = time.perf_counter(), time.process_time()
        pool.run(tasks)
        return {
            "ms_per_task": (time.perf_counter() - began) / EMPTY * 1e3,
            "client_cpu_ms_per_task": (time.process_time() - processor) / EMPTY * 1e3,
        }


@contextlib.contextmanager
def executors(folder: Path) -> Iterator[dict[str, Workers]]:
    """Two workers of each kind."""
    found = {"processes": Workers(processes=2)}
    if not installed("distributed"):
        yield found
        return
    import os

    import dask

    with cluster_of(2, folder) as cluster:
        os.environ.update(cluster.environment)
        dask.config.refresh()
        yield found | {"dask_tls": Workers(scheduler=cluster.address)}


def sizes(case: Case, prepared: recipe.Prepared) -> dict[str, int]:
    """Bytes of what travels."""
    task = Task(work=nothing, inputs={"graph": "0" * 64, "samples": "0" * 64})
    call = Call(task=task, expected=identity(), store=None)
    return {
        "call_bytes": len(pickle.dumps(call)),
        "prepared_bytes": len(encoded(prepared)),
        "image_bytes": len(as_bytes(case.images[:1])),
        "graph_bytes": case.graph.stat().st_size,
    }


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    begun = begin()
    counts = [int(count) for count in args.workers.split(",")]
    figures: dict[str, Any] = {"target": TARGET, "images": args.images}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        case = case_of(args.cifar10, args.images, folder)
        ranges = calibrated(case, None)
        save_ranges(ranges, folder / "ranges.npz")
        prepared = recipe.prepare(
            load(case.graph),
            ranges,
            load_target(TARGET).quant,
            weight_bits=8,
            images=case.images[: 2 * recipe.PILOT_IMAGES],
        )
        found: dict[int, Any] = {}
        figures |= {"model": case.model, "by_workers": {}}
        for count in counts:
            with open_pool(Workers(processes=count), folder / "kept", Silent()) as pool:
                pool.run(Task(work=nothing, inputs={}, keep=False) for _ in range(4 * count))
                steps = {"calibrate": timed(lambda: calibrated(case, pool), pool)}
                same(steps["calibrate"][0], ranges)
                steps |= searched(case, prepared, pool)
            found[count] = {name: values[0] for name, values in steps.items()}
            found[count].pop("calibrate")
            seconds = {name: round(values[1], 2) for name, values in steps.items()}
            busy = {name: values[2] / values[1] for name, values in steps.items()}
            search_s = sum(values[1] for name, values in steps.items() if name != "calibrate")
            search_busy = sum(v[2] for name, v in steps.items() if name != "calibrate")
            figures["by_workers"][str(count)] = {
                "seconds": seconds,
                "search_s": round(search_s, 2),
                "kept_busy": {name: round(value / count, 3) for name, value in busy.items()},
                "search_kept_busy": round(search_busy / search_s / count, 3),
            }
            if found[count] != found[counts[0]]:
                raise SystemExit(f"{count} workers give other bits than {counts[0]}")
        first, last = (figures["by_workers"][str(count)] for count in (counts[0], counts[-1]))
        figures["speedup"] = round(first["search_s"] / last["search_s"], 2)
        figures["sizes"] = sizes(case, prepared)
        with executors(folder) as kinds:
            figures["overhead"] = {
                name: {key: round(value, 2) for key, value in overhead(kind, folder).items()}
                for name, kind in kinds.items()
            }
    begun.write(figures, args.out)


def same(one: Ranges, other: Ranges) -> None:
    """Ends the program where two calibrations differ in a bit."""
    for name, stats in one.tensors.items():
        wanted = other.tensors[name]
        facts = [(s.minimum, s.maximum, s.exponent, s.first_bin) for s in (stats, wanted)]
        if facts[0] != facts[1] or not np.array_equal(stats.counts, wanted.counts):
            raise SystemExit(f"workers give other statistics of {name}")


if __name__ == "__main__":
    main()
