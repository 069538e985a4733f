"""Kinds of cases that are more than one file: damaged builds that go on, data.yaml, odd places."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.errors import EdgeError
from tests.end_to_end.fuzz_changes import TEXTS, changed_bytes, changed_json
from tests.end_to_end.fuzz_good import Good, run_command

_PREPARED = ("--mean", 0.286, "--std", 0.353)


_STAGES = ("export", "calibrate", "quantize", "compile")


def resumed(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    """A build over one whose manifest, or another file of it, is damaged."""
    build = folder / "out" / "tiny" / "cpu"
    shutil.copytree(good.compiled, build)
    name = rng.choice(
        (MANIFEST, MANIFEST, rng.choice(sorted(path.name for path in build.iterdir())))
    )
    data = (build / name).read_bytes()
    if name == MANIFEST:
        (build / name).write_bytes(changed_json(json.loads(data), rng))
    else:
        (build / name).write_bytes(changed_bytes(data, rng))
    stage = rng.choice(_STAGES)
    command = [stage, good.onnx, *_PREPARED, "--calib", good.images]
    return [*command, "--out", folder / "out"]


def is_whole(folder: Path, command: Sequence[str]) -> str | None:
    """What is wrong with what a command that ended well made or took over; None: nothing.

    What later stages made, they see to.
    """
    stages = _STAGES[: _STAGES.index(command[0]) + 1]
    try:
        build = BuildFolder.open(folder / "out" / "tiny" / "cpu")
        for entry in build.manifest.artifacts.values():
            if entry.stage in stages:
                build.verified_entry(entry)
    except EdgeError as error:
        return error.message
    return None


def sensitivity(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    """A second search, whose file of the first is damaged."""
    build = folder / "out" / "tiny" / "cpu"
    shutil.copytree(good.compiled, build)
    command = ["sensitivity", good.onnx, *_PREPARED, "--calib", good.images]
    command += ["--out", folder / "out"]
    done = run_command([*map(str, command)])
    assert done.code == 0, done.output
    path = build / "sensitivity.json"
    path.write_bytes(changed_json(json.loads(path.read_text()), rng))
    return command


def data_yaml(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    """A YOLO set with a damaged data.yaml, or lines of labels that are."""
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for i in range(2):
            pixels = np.full((28, 28), 40 * i + len(part), np.uint8)
            Image.fromarray(pixels).save(folder / "images" / part / f"{i}.png")
            (folder / "labels" / part / f"{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    path = folder / rng.choice(("data.yaml", "data.yml"))
    content = {
        "path": ".",
        "train": "images/train",
        "val": ["images/val"],
        "nc": 10,
        "names": {i: f"class {i}" for i in range(10)},
    }
    way = rng.randrange(4)
    if way == 0:
        lines = [f"{key}: {json.dumps(value)}" for key, value in content.items()]
        lines[rng.randrange(len(lines))] = rng.choice(_YAML_LINES)
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    elif way == 1:
        path.write_bytes(changed_bytes(json.dumps(content).encode(), rng))
    else:
        path.write_bytes(changed_json(content, rng))
    option = rng.choice(("--calib", "--eval", "--class-names"))
    data = ["--eval", good.images] if option == "--class-names" else []
    return ["data", "check", good.onnx, option, path, *data, *_PREPARED]


_YAML_LINES = (
    "names: &a [*a]",
    "a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nnames: [*b,*b,*b,*b,*b,*b,*b,*b]",
    "names: !!python/object/apply:os.system ['touch /tmp/evil']",
    "names: {0: a, 0: b}",
    "nc: 1e999",
    "nc: 0x" + "f" * 5000,
    "nc: 190:20:30",
    "val: 2026-01-01",
    "val: ../../../../etc",
    "val: ''",
    "val: [" * 200,
    "val: " + "x" * 5000,
    "names: ['" + "', '".join(text.replace("'", "") for text in TEXTS if text.isprintable()) + "']",
    'names: ["\\e[31m", "\\x85", "\\u202E"]',
    "---\nnames: [a]\n---\nnames: [b]",
    "<<: {val: images/val}",
    "kpt_shape: [17, 99]",
    "? [1, 2]\n: 3",
)


def _folder(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket has 107 bytes at most
        made.bind(path.name)
        os.chdir(here)


def _linked(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


_ODD: tuple[Callable[[Path], None], ...] = (
    os.mkfifo,
    _folder,
    _socket,
    _linked("/dev/zero"),
    _linked("/dev/null"),
    _linked("/dev/full"),
    _linked("nowhere"),
    lambda path: path.symlink_to(path.name),
    lambda path: path.write_bytes(b""),
)


def odd_places(good: Good, folder: Path, rng: random.Random) -> list[Any]:
    """A pipe, a device, a folder, a socket or a link to nowhere where a file is to be."""
    command, name = rng.choice(_PLACES)
    odd = folder / name
    odd.parent.mkdir(parents=True, exist_ok=True)
    rng.choice(_ODD)(odd)
    words = {
        "ODD": odd,
        "PARENT": odd.parent,
        "BUILD": good.build,
        "IMAGE": good.image,
        "IMAGES": good.images,
        "REPORT": good.report,
        "BASELINE": good.baseline,
        "NET": good.onnx,
        "OUT": folder / "out",
    }
    return [words.get(word, word) for word in command.split()]


_NET = "NET --mean 0.286 --std 0.353"
_PLACES = (
    ("predict BUILD ODD", "a.png"),
    ("predict BUILD IMAGE ODD", "a.npy"),
    ("predict PARENT IMAGE", "build/manifest.json"),
    ("predict ODD IMAGE", "model.onnx"),
    ("inspect ODD", "q.onnx"),
    ("inspect PARENT", "build/manifest.json"),
    ("export ODD --mean 0.286 --std 0.353 --out OUT", "net.onnx"),
    ("export ODD --arch scnet20 --out OUT", "net.pth"),
    ("export ODD --arch scnet20 --out OUT", "net.safetensors"),
    (f"build {_NET} --calib IMAGES --eval IMAGES --qdq ODD --out OUT", "q.onnx"),
    ("report ODD", "report.json"),
    ("report PARENT", "net/report.json"),
    ("report REPORT --html ODD", "page.html"),
    ("report REPORT --markdown ODD", "page.md"),
    ("compare REPORT ODD", "report.json"),
    ("check REPORT --baseline ODD", "base.json"),
    ("check ODD --baseline BASELINE", "report.json"),
    ("check REPORT --baseline BASELINE --junit ODD", "j.xml"),
    ("baseline update REPORT --baseline ODD", "base.json"),
    ("baseline update REPORT --baseline PARENT", "b/net-cpu.json"),
    ("verify ODD", "base.json"),
    ("verify ODD", "target.toml"),
    ("verify ODD", "edge-scnet.toml"),
    ("profile ODD", "model.xml"),
    ("profile PARENT", "net/manifest.json"),
    ("profile ODD", "board/results.tar.gz"),
    ("compile ODD --out OUT", "bundle.tar.gz"),
    (f"show {_NET} --target ODD", "target.toml"),
    (f"show {_NET} --project=ODD", "edge-scnet.toml"),
    (f"show {_NET} --class-names ODD", "names.txt"),
    (f"show {_NET} --class-names ODD", "names.yaml"),
    (f"data check {_NET} --eval ODD", "set.csv"),
    (f"data check {_NET} --eval ODD", "set.json"),
    (f"data check {_NET} --eval ODD", "set.npz"),
    (f"data check {_NET} --eval ODD", "data.yaml"),
    (f"data check {_NET} --eval PARENT", "images/a.png"),
    (f"data check {_NET} --eval PARENT", "idx/t10k-images-idx3-ubyte"),
    (f"data check {_NET} --eval PARENT", "idx/t10k-images-idx3-ubyte.gz"),
    (f"compile {_NET} --calib IMAGES --out PARENT", "out/tiny"),
    (f"compile {_NET} --calib IMAGES --out ODD", "out"),
    ("init NET --calib IMAGES --out ODD", "new.toml"),
)
