"""JPEG photographs to pixels and to a short side of 256: Pillow beside OpenCV and torchvision.

    python tests/benchmarks/decoders.py --images DIR [--count 60] [--rounds 5] [--out FILE]

On one core. Every picture is decoded, and decoded and resized, by each library in turn; its fastest
round counts, and of the pictures the median of the time over Pillow's. Codes are compared with
Pillow's, which is what edge-scnet reads with: how many differ, and by how much. What is not
installed is left out. `edge-scnet` is what the tool itself does, with a file that is in the cache,
and to bring its pixels to an input of 224 x 224.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from envelope import begin
from PIL import Image

from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import InputForm, ModelSpec, engine_spec
from edge_scnet.data.images import codes_of, decode

Decode = Callable[[bytes], np.ndarray]
Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]

_SIDE, _CROP = 256, 224
_SPEC = engine_spec(
    ModelSpec(
        name="photographs",
        arch="none",
        input_shape=(3, _CROP, _CROP),
        preprocessing=Preprocessing(mean=(), std=(), short_side=_SIDE),
    ),
    InputForm(dtype="uint8", layout="NHWC", colour="RGB"),
)


def by_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def resized_by_pillow(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def ways() -> tuple[dict[str, Decode], dict[str, Resize]]:
    """What decodes, and what resizes, by name; Pillow first."""
    decoders: dict[str, Decode] = {"pillow": by_pillow}
    resizers: dict[str, Resize] = {"pillow": resized_by_pillow}
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        # turning is edge-scnet's own
        flag = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        decoders["opencv"] = lambda c: cv2.imdecode(np.frombuffer(c, np.uint8), flag)
        for name, method in (("linear", cv2.INTER_LINEAR), ("area", cv2.INTER_AREA)):
            resizers[f"opencv {name}"] = lambda pixels, size, method=method: cv2.resize(
                pixels, size, interpolation=method
            )
    if importlib.util.find_spec("torchvision"):
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms.v2 import InterpolationMode, functional

        torch.set_num_threads(1)

        def decoded(content: bytes) -> np.ndarray:
            held = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            return decode_jpeg(held, mode=ImageReadMode.RGB).permute(1, 2, 0).numpy()

        def smaller(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
            picture = torch.from_numpy(pixels).permute(2, 0, 1)
            mode = InterpolationMode.BILINEAR
            out = functional.resize(picture, list(size[::-1]), interpolation=mode, antialias=True)
            return out.permute(1, 2, 0).numpy()

        decoders["torchvision"] = decoded
        resizers["torchvision"] = smaller
    return decoders, resizers


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def fastest(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each way's fastest round, the ways in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            times[name].append(timed(runs[name]))
    return {name: min(found) for name, found in times.items()}


def size_of(pixels: np.ndarray) -> tuple[int, int]:
    """Width and height with a short side of 256."""
    height, width = pixels.shape[:2]
    if width <= height:
        return _SIDE, int(_SIDE * height / width)
    return int(_SIDE * width / height), _SIDE


def differences(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """By how much codes differ from Pillow's."""
    apart = [np.abs(own.astype(int) - pillow.astype(int)) for own, pillow in pairs]
    differing = sum(int((each > 0).sum()) for each in apart)
    return {
        "pictures_equal": sum(not each.any() for each in apart),
        "codes_differing_percent": 100 * differing / sum(each.size for each in apart),
        "largest": max(int(each.max()) for each in apart),
        "mean": float(np.mean([each.mean() for each in apart])),
    }


def over_pillow(times: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """By way the median ms of a picture, and of the pictures the median speed: Pillow's is 1."""
    return {
        name: {
            "ms": 1e3 * statistics.median(row[name] for row in times),
            "speed": statistics.median(row["pillow"] / row[name] for row in times),
        }
        for name in times[0]
    }


def measured(files: Sequence[Path], rounds: int) -> dict[str, Any]:
    decoders, resizers = ways()
    decoding: list[dict[str, float]] = []
    resizing: list[dict[str, float]] = []
    decoded: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in decoders}
    resized: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in resizers}
    for file in files:
        content = file.read_bytes()
        pillow = np.array(by_pillow(content))  # torch wants an array that it may write into
        size = size_of(pillow)
        small = resized_by_pillow(pillow, size)
        for name, read in decoders.items():
            decoded[name].append((read(content), pillow))
        for name, resize in resizers.items():
            resized[name].append((resize(pillow, size), small))
        reads: dict[str, Callable[[], object]] = {
            name: partial(read, content) for name, read in decoders.items()
        }
        reads["edge-scnet"] = partial(decode, file, _SPEC, hint="")
        decoding.append(fastest(reads, rounds))
        runs = {name: partial(resize, pillow, size) for name, resize in resizers.items()}
        runs["edge-scnet"] = partial(codes_of, pillow, _SPEC)
        resizing.append(fastest(runs, rounds))
        left, top = (round((full - _CROP) / 2) for full in size)
        whole = small[top : top + _CROP, left : left + _CROP]
        assert np.array_equal(codes_of(pillow, _SPEC), whole), "the tool's own resizing is Pillow's"
    return {
        "pictures": len(files),
        "megapixels_median": statistics.median(
            pair[1].shape[0] * pair[1].shape[1] / 1e6 for pair in decoded["pillow"]
        ),
        "decode": over_pillow(decoding),
        "resize": over_pillow(resizing),
        "decoded_codes": {n: differences(p) for n, p in decoded.items() if n != "pillow"},
        "resized_codes": {n: differences(p) for n, p in resized.items() if n != "pillow"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="a folder of JPEG photographs")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    args = parser.parse_args()
    begun = begin()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = sorted(args.images.rglob("*.jp*g"))
    if not files:
        sys.exit(f"no JPEG files below {args.images}")
    picked = files[:: max(len(files) // args.count, 1)][: args.count]
    figures = measured(picked, args.rounds)
    peers = {
        name: version(name)
        for module, name in (
            ("cv2", "opencv-python-headless"),
            ("torchvision", "torchvision"),
            ("PIL", "pillow"),
        )
        if importlib.util.find_spec(module)
    }
    begun.write(figures, args.out, peers)


if __name__ == "__main__":
    main()
