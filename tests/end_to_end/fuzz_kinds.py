"""The kinds of files: each writes one into the folder of a case and gives the command."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_scnet.core.manifest import MANIFEST, QDQ_ONNX
from edge_scnet.core.resources import bundled
from tests.end_to_end import fuzz_folder_kinds
from tests.end_to_end.fuzz_changes import TEXTS, changed_bytes, changed_json, packed
from tests.end_to_end.fuzz_good import Good
from tests.end_to_end.fuzz_onnx import changed_proto

Case = Callable[[Good, Path, random.Random], list[Any]]


def manifest(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    source = rng.choice((good.build, good.build, good.compiled))
    build = folder / "build"
    shutil.copytree(source, build)
    content = json.loads((build / MANIFEST).read_text())
    (build / MANIFEST).write_bytes(changed_json(content, rng))
    if source == good.compiled:
        return rng.choice((["inspect", build], ["predict", build, good.images / "0.png"]))
    return rng.choice(
        (
            ["predict", build, good.image],
            ["predict", build, good.image, "--json"],
            ["predict", build / "model.onnx", good.image, "--task", "features"],
            ["inspect", build],
            ["inspect", build / "model.onnx"],
        )
    )


def report(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    source = rng.choice((good.report, good.full))
    path = folder / "report.json"
    path.write_bytes(changed_json(json.loads(source.read_text()), rng))
    return rng.choice(
        (
            ["report", path],
            ["report", path, "--json"],
            ["report", path, "--html", folder / "page.html"],
            ["report", path, "--markdown", folder / "page.md"],
            ["compare", path, source],
            ["compare", source, path, "--json"],
            ["check", path, "--baseline", good.baseline],
            ["check", path, "--baseline", good.baseline, "--junit", folder / "j.xml"],
            ["check", path, "--baseline", good.baseline, "--gitlab", folder / "g.json"],
            ["baseline", "update", path, "--baseline", folder],
            ["profile", path],
            ["predict", path, good.image],
        )
    )


def sealed_baseline(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    content = json.loads(good.baseline.read_text())
    path = folder / "net-cpu.json"
    data = changed_json(content, rng)
    try:
        body = json.loads(data)
        del body["sha256"]
        seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        data = json.dumps({"sha256": seal, **body}).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    path.write_bytes(data)
    return rng.choice(
        (
            ["check", good.report, "--baseline", path],
            ["check", good.report, "--baseline", path, "--limit", "max_drop_pp=2"],
            ["check", good.report, "--baseline", path, "--json"],
            ["verify", path],
            ["baseline", "update", good.report, "--baseline", path],
            ["baseline", "update", good.report, "--baseline", path, "--accept", "why"],
        )
    )


def bundle_archive(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    members = dict(good.bundle)
    name = rng.choice(list(members))
    if name.endswith(".json"):
        members[name] = changed_json(json.loads(members[name]), rng)
    else:
        members[name] = changed_bytes(members[name], rng)
    if rng.random() < 0.7 and name != "bundle.json":  # hashed anew
        header = json.loads(members["bundle.json"])
        header["files"][name] = hashlib.sha256(members[name]).hexdigest()
        members["bundle.json"] = json.dumps(header).encode()
    if rng.random() < 0.1:
        del members[rng.choice(list(members))]
    path = packed(folder / "bundle.tar.gz", members, rng, "net-jetson/")
    return ["compile", path, "--out", folder / "out"]


def results_archive(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    build = folder / "board"
    shutil.copytree(good.board, build)
    members = dict(good.results)
    name = rng.choice(list(members))
    if name.endswith(".json"):
        members[name] = changed_json(json.loads(members[name]), rng)
    else:
        members[name] = changed_bytes(members[name], rng)
    if rng.random() < 0.1:
        del members[rng.choice(list(members))]
    path = packed(build / "results.tar.gz", members, rng, "./")
    return ["profile", path]


def toml(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    is_target = rng.random() < 0.5
    if is_target:
        text = (bundled("targets") / rng.choice(("cpu.toml", "jetson.toml"))).read_text()
    else:
        text = (
            f'model = "{good.onnx}"\ntargets = ["cpu"]\nbaselines = "baselines"\n'
            f'calib = "{good.images}"\neval = "{good.images}"\nout = "build"\nseconds = 1.0\n'
            "[options]\nmean = [0.286]\nstd = [0.353]\nnum_classes = 10\n"
            'class_names = ["a", "b"]\n[limits]\nmax_sqnr_fall_db = 2.0\n'
        )
    path = folder / ("mine.toml" if is_target else "edge-scnet.toml")
    if rng.random() < 0.5:
        path.write_bytes(changed_bytes(text.encode(), rng))
    else:
        lines = text.split("\n")
        settings = [i for i, line in enumerate(lines) if " = " in line]
        at = rng.choice(settings)
        key = lines[at].partition(" = ")[0]
        lines[at] = f"{key} = {rng.choice(_TOML_VALUES)}"
        path.write_text("\n".join(lines), errors="surrogatepass")
    if is_target:
        return rng.choice((["verify", path], ["inspect", good.onnx, "--target", path]))
    return rng.choice(
        (["verify", path], ["show", "--project", path], ["show", "--project", path, "--json"])
    )


_TOML_VALUES = (
    '""',
    '"\\u0000"',
    '"\\u001b[31m"',
    '"../../x"',
    '"a:b"',
    "-1",
    "0",
    "1e400",
    "nan",
    "9" * 5000,
    "0x" + "f" * 5000,
    "[" * 200 + "]" * 200,
    "[" * 20_000 + "]" * 20_000,
    "[]",
    "{}",
    "true",
    "2026-01-01",
    '["a", "a"]',
    '["a\\nb", ""]',
    "{ a = { b = { c = 1 } } }",
    '"' + "x" * 5000 + '"',
    "１",
)


def onnx_file(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    path = folder / "net.onnx"
    if rng.random() < 0.5:
        path.write_bytes(changed_bytes(good.onnx.read_bytes(), rng))
    else:
        path.write_bytes(changed_proto(good.onnx.read_bytes(), rng))
    quantized = good.compiled / QDQ_ONNX
    if rng.random() < 0.5:
        data = quantized.read_bytes()
        changed = changed_bytes(data, rng) if rng.random() < 0.5 else changed_proto(data, rng)
        path.write_bytes(changed)
        return ["inspect", path]
    out = ["--out", folder / "out"]
    return rng.choice((["export", path, *out], ["show", path], ["data", "check", path]))


def checkpoint(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    import torch
    from safetensors.torch import save_file

    state = {"conv1.weight": torch.zeros(16, 1, 3, 3), "fc.weight": torch.zeros(10, 64)}
    state["fc.bias"] = torch.zeros(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such tensors are deprecated
        codes = torch.quantize_per_tensor(torch.zeros(16, 1, 3, 3), 1.0, 0, torch.quint8)
    odd: tuple[Any, ...] = (
        torch.tensor(1.0),
        torch.zeros(3, 3).to_sparse(),
        torch.empty(2, 2, device="meta"),
        torch.zeros(16, 1, 3, 3, dtype=torch.complex64),
        torch.zeros(16, 1, 3, 3, dtype=torch.int32),
        torch.full((16, 1, 3, 3), float("nan")),
        torch.zeros(0),
        codes,
    )
    way = rng.randrange(5)
    path = folder / rng.choice(("net.pth", "net.pt", "net.safetensors"))
    if path.suffix == ".safetensors":
        save_file(state, path)
        path.write_bytes(changed_bytes(path.read_bytes(), rng))
    elif way < 2:
        torch.save({**state, rng.choice(list(state)): rng.choice(odd)}, path)
    elif way == 2:
        torch.save(rng.choice(({}, [], 1, "x", {1: 2}, {"state_dict": {}}, {"model": 3})), path)
    else:
        torch.save(state, path)
        path.write_bytes(changed_bytes(path.read_bytes(), rng))
    options = ["--arch", "scnet20", "--num-classes", 10, "--channels", 1, "--input-size", 28]
    return ["export", path, *options, "--calib", good.images, "--out", folder / "out"]


def pictures(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    buffer = io.BytesIO()
    form = rng.choice(("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"))
    pixels = np.random.default_rng(rng.randrange(9)).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    path = folder / f"a.{form.lower()}"
    path.write_bytes(changed_bytes(buffer.getvalue(), rng))
    return rng.choice(
        (
            ["predict", good.build, path],
            ["predict", good.build, path, "--draw", folder / "drawn"],
            ["predict", good.build, good.image, path],
        )
    )


def data_set(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    images = folder / "images"
    images.mkdir()
    for i in range(3):
        pixels = np.full((28, 28), 80 * i, np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    way = rng.choice(("csv", "jsonl", "txt", "coco", "idx", "npz", "npy", "names", "yolo"))
    options: list[Any] = []
    path = folder / f"set.{way}"
    if way == "csv":
        path.write_bytes(changed_bytes(b"path,label\nimages/0.png,1\nimages/1.png,2\n", rng))
    elif way == "txt":
        path.write_bytes(changed_bytes(b"images/0.png 1\nimages/1.png 2\n", rng))
    elif way == "jsonl":
        row = changed_json({"path": "images/0.png", "label": 1}, rng)
        path.write_bytes(row + b'\n{"path": "images/1.png", "label": 2}\n')
    elif way == "coco":
        path = folder / "set.json"
        content = {
            "images": [{"id": 1, "file_name": "0.png", "width": 28, "height": 28}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25}
            ],
            "categories": [{"id": 1, "name": "a"}],
        }
        path.write_bytes(changed_json(content, rng))
    elif way == "idx":
        path = folder / "idx"
        shutil.copytree(good.images, path)
        file = rng.choice(sorted(path.iterdir()))
        file.write_bytes(changed_bytes(file.read_bytes()[:3000], rng))
    elif way in ("npz", "npy"):
        array = np.zeros((3, 1, 28, 28), np.float32)
        buffer = io.BytesIO()
        if way == "npz":
            np.savez(buffer, input=array, labels=np.zeros(3, np.int64))
        else:
            np.save(buffer, array)
        path.write_bytes(changed_bytes(buffer.getvalue(), rng))
    elif way == "names":
        names = folder / "names.txt"
        names.write_bytes(changed_bytes("\n".join(map(str, range(10))).encode(), rng))
        path, options = images, ["--class-names", names]
    else:
        path = folder / "yolo"
        shutil.copytree(images, path / "images")
        (path / "labels").mkdir()
        (path / "labels" / "0.txt").write_bytes(changed_bytes(b"0 0.5 0.5 0.2 0.2\n" * 2, rng))
    option = rng.choice(("--calib", "--eval"))
    return ["data", "check", good.onnx, option, path, "--mean", 0.3, "--std", 0.4, *options]


def options(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    texts = [text for text in TEXTS if "\0" not in text and text != "\ud800"]
    texts += ["-1", "1e999", "9" * 5000, "１", "1,２", "{", "[" * 20_000, "NaN", "a:b", "a=b", "?"]
    text = rng.choice(texts)
    return rng.choice(
        (
            ["show", good.onnx, rng.choice(_OPTIONS), text],
            ["predict", good.build, text],
            ["predict", text, good.image],
            ["predict", good.build, good.image, "--task", text],
            ["check", text, "--baseline", good.baseline],
            ["check", good.report, "--baseline", text],
            ["check", good.report, "--baseline", good.baseline, "--limit", text],
            ["compare", good.report, text],
            ["report", text],
            ["inspect", text],
            ["verify", text],
            ["profile", text],
            ["show", text],
        )
    )


_OPTIONS = (
    "--target",
    "--calib",
    "--eval",
    "--num-classes",
    "--channels",
    "--input-size",
    "--input-shape",
    "--fix",
    "--input",
    "--preprocess",
    "--mean",
    "--std",
    "--pixel-max",
    "--resize",
    "--pad-value",
    "--class-names",
    "--task",
    "--task-args",
    "--decode",
    "--name",
    "--project",
)

# with their weights: commands that import torch or run the network take longer
KINDS: dict[str, tuple[Case, float]] = {
    "manifest": (manifest, 4),
    "report": (report, 6),
    "baseline": (sealed_baseline, 4),
    "bundle": (bundle_archive, 3),
    "results": (results_archive, 4),
    "toml": (toml, 4),
    "onnx": (onnx_file, 3),
    "checkpoint": (checkpoint, 2),
    "pictures": (pictures, 3),
    "data": (data_set, 4),
    "options": (options, 3),
    "resume": (fuzz_folder_kinds.resumed, 1),
    "sensitivity": (fuzz_folder_kinds.sensitivity, 0.5),
    "data.yaml": (fuzz_folder_kinds.data_yaml, 3),
    "places": (fuzz_folder_kinds.odd_places, 4),
}

# what is wrong in a case's folder after its command ended well, by kind
AFTER: dict[str, Callable[[Path, Sequence[str]], str | None]] = {
    "resume": fuzz_folder_kinds.is_whole
}
