"""Runs one quantizer, in its own environment: `python quantize.py JOB.json`.

The job names the quantizer, its options, the float model, the calibration images (.npy) and the
file to write. The clock is on from before the float model is read until the file is written;
imports are timed apart.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[str, "Images", str], object]  # model, images, out


class Images:
    """A .npy of N x C x H x W float32, each image read when asked for: neither held nor mapped, so
    it is nobody's memory.
    """

    def __init__(self, path: str) -> None:
        mapped = np.load(path, mmap_mode="r")
        self._path, self._offset, self._count, self._shape = (
            path,
            mapped.offset,
            len(mapped),
            (1, *mapped.shape[1:]),
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> np.ndarray:
        if not 0 <= i < self._count:
            raise IndexError(i)
        size = int(np.prod(self._shape))
        return np.fromfile(
            self._path, np.float32, size, offset=self._offset + 4 * size * i
        ).reshape(self._shape)


class Reader:
    """ONNX Runtime's CalibrationDataReader, which ModelOpt takes too."""

    def __init__(self, model: str, images: Images) -> None:
        import onnx

        self._name, self._images = onnx.load(model).graph.input[0].name, images
        self.rewind()

    def rewind(self) -> None:
        self._rest: Iterator[np.ndarray] = iter(self._images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(({self._name: image} for image in self._rest), None)

    def get_first(self) -> dict[str, np.ndarray]:
        return {self._name: self._images[0]}


def ours(options: dict[str, Any]) -> Work:
    import onnx_ir
    import onnxruntime  # noqa: F401  the package imports it late

    from edge_scnet.config.target import QuantScheme
    from edge_scnet.graph import model as graph_model
    from edge_scnet.quantizer import calibrate, recipe

    scheme = QuantScheme(
        **{**options["scheme"], "keep_float": tuple(options["scheme"]["keep_float"])}
    )

    def run(model: str, images: Images, out: str) -> None:
        hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        graph = graph_model.load(Path(model))
        pilot = np.concatenate(
            [images[i] for i in calibrate.pilot_indices(hashes, recipe.images_wanted(graph))]
        )
        peaks = calibrate.pilot_indices(hashes, calibrate.peak_images(graph, len(hashes)))
        del graph
        ranges = calibrate.calibrate(
            Path(model),
            calibrate.CalibrationImages(
                batches=images, count=len(images), samples_hash="", content_hashes=hashes
            ),
            histogram=scheme.thresholds != "minmax",
            equalization=calibrate.Equalization(
                pilot=(images[i] for i in peaks),
                strength=scheme.equalization,
                rescaled=scheme.placement == "openvino",
            ),
        )
        result = recipe.assemble(
            recipe.prepare(
                onnx_ir.load(model),
                ranges,
                scheme,
                weight_bits=options["weight_bits"],
                images=pilot,
            )
        )
        graph_model.save(result.model, Path(out))

    return run


def nncf(options: dict[str, Any]) -> Work:
    import nncf
    import onnx
    import openvino as ov
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    settings: dict[str, Any] = {}
    if options.get("mixed"):
        settings["preset"] = nncf.QuantizationPreset.MIXED
    if options.get("overflow_fix"):
        settings["advanced_parameters"] = AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.ENABLE
        )

    def run(path: str, images: Images, out: str) -> None:
        is_ir = out.endswith(".xml")
        model: Any = ov.Core().read_model(path) if is_ir else onnx.load(path)
        name = model.inputs[0].get_any_name() if is_ir else model.graph.input[0].name
        data = nncf.Dataset(images, lambda image: {name: image})
        result = nncf.quantize(model, data, subset_size=len(images), **settings)
        ov.save_model(result, out, compress_to_fp16=False) if is_ir else onnx.save(result, out)

    return run


def ort(options: dict[str, Any]) -> Work:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    signed = options["activations"] == "int8"
    extra = {"ActivationSymmetric": True, "QuantizeBias": False} if signed else {}
    return lambda model, images, out: quantize_static(
        model,
        out,
        Reader(model, images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        reduce_range=options.get("reduce_range", False),
        calibrate_method=CalibrationMethod[options["method"]],
        extra_options={"CalibPercentile": 99.999, **extra},
    )


def modelopt(options: dict[str, Any]) -> Work:
    import modelopt.onnx.quantization as moq

    # by default it takes the rest to float16, which the CPU cannot execute
    return lambda model, images, out: moq.quantize(
        model,
        quantize_mode="int8",
        calibration_method=options["method"],
        calibration_eps=["cpu"],
        calibration_data_reader=Reader(model, images),
        high_precision_dtype="fp32",
        output_path=out,
    )


def status(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(job: dict[str, Any]) -> None:
    started = time.perf_counter()
    work = {"ours": ours, "nncf": nncf, "ort": ort, "modelopt": modelopt}[job["group"]](
        job["options"]
    )
    imported, before, images = time.perf_counter(), status("VmRSS"), Images(job["calib"])
    # a quantizer that keeps every activation must fail by itself, not take the machine with it
    resource.setrlimit(resource.RLIMIT_DATA, (job["memory_limit_bytes"], job["memory_limit_bytes"]))
    begun, cpu = time.perf_counter(), time.process_time()
    work(job["model"], images, job["out"])
    ended, cpu = (
        time.perf_counter(),
        time.process_time() - cpu,
    )  # of all threads: means something on a busy machine too
    Path(job["out"]).stat()  # or there is no file, and no error was raised
    wanted = {
        "edge-scnet",
        "nncf",
        "nvidia-modelopt",
        "onnxruntime",
        "openvino",
        "onnx",
        "torch",
        "numpy",
    }
    packages = {
        d.name.lower(): d.version
        for d in importlib.metadata.distributions()
        if d.name.lower() in wanted
    }
    record = {
        "seconds": ended - begun,
        "cpu_seconds": cpu,
        "import_seconds": imported - started,
        "imported_bytes": before,
        "peak_bytes": status("VmHWM"),
        "load_average": os.getloadavg()[0],
        "versions": packages,
    }
    Path(job["record"]).write_text(json.dumps(record))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
