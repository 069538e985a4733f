"""Quantizes a float graph as `build` of a checkout does: `python checkout.py JOB.json`.

PYTHONPATH names the checkout. The job has the float graph (`model`), the calibration images as the
network takes them (`calib`, .npy), the folder that the checkout builds in (`build`), more arguments
of its `build` (`options`), and the bits of weights for which files are written (`bits`): the first
to `out`, others beside it. Its record is of the first: seconds of the calibrate and quantize stages
with the opening of the images, after an export that is made before (step "export"). With `search`
`build` goes on until it has judged on the images of `eval`, and searched if it must.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

TARGET = "zoo.toml"


def main(job: dict[str, Any]) -> None:
    started = time.perf_counter()
    import edge_scnet
    from edge_scnet.machine import isa

    wanted = [0]
    # a file for processors with VNNI is made and simulated on others too, though `build` has no use
    # for it there
    isa.weight_bits = lambda floor: wanted[0]
    import onnxruntime  # noqa: F401  the package imports it late

    import edge_scnet.pipeline.build
    from edge_scnet.config.model_options import ModelOptions

    imports = {
        "import_seconds": time.perf_counter() - started,
        "imported_bytes": status("VmRSS"),
        "version": edge_scnet.__version__,
    }
    folder = Path(job["build"])
    arguments = {
        "target": str(folder / TARGET),
        "calib": job["calib"],
        "out": folder,
        "wait": True,
        # networks of all kinds are held to the SQNR of their outputs
        "model_options": ModelOptions(task="features"),
        **job["options"],
    }
    if job["search"]:
        arguments |= {"evaluation": job["eval"], "ignore_labels": True, "seconds": 0.5}
    if job["step"] == "export":
        edge_scnet.build(job["model"], until="export", **arguments)
        Path(job["record"]).write_text("{}")
        return
    for name in ("ranges.npz", "model.qdq.onnx"):
        # an earlier, unfinished call's: what is timed is not to reuse it
        for stale in folder.rglob(name):
            stale.unlink()
    until = "profile" if job["search"] else "quantize"
    records, out = [], Path(job["out"])
    for bits in job["bits"]:
        wanted[0] = bits
        built, record = timed(lambda: edge_scnet.build(job["model"], until=until, **arguments))
        record["keep_float"] = built.manifest.target["quant"]["keep_float"]
        file = out.with_name(f"{out.stem}-{bits}{out.suffix}") if records else out
        shutil.copyfile(built.folder / "model.qdq.onnx", file)
        records.append(record)
    Path(job["record"]).write_text(json.dumps({**imports, **records[0]}))


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What `work` returns, and its figures."""
    begun, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = work()
    return result, {
        "seconds": time.perf_counter() - begun,
        # of all threads: means something on a busy machine too
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": status("VmHWM"),
        "load_average": os.getloadavg()[0],
        "said": [str(warning.message) for warning in said],
    }


def status(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
