"""Damaged and hostile files of every kind that the tool reads, handed to its commands.

    python -m tests.end_to_end.fuzz_inputs --cases 2000 --seed 0 [--kind report] [--keep FOLDER]

A case is one file, changed by a seeded generator, and one command in this process. It breaks a rule
where the command ends with another exit code than README.md lists or as a bug, prints a traceback,
takes over 60 s, fails without its one error and a hint, or changes a file outside its own folder.
`--keep` leaves the files of broken cases behind.
"""

from __future__ import annotations

import argparse
import collections
import copy
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from edge_scnet.cli.root import app
from edge_scnet.compile import bundle
from edge_scnet.config.target import Gates, load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import FormFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM, MANIFEST, QDQ_ONNX, Artifact
from edge_scnet.core.resources import bundled
from edge_scnet.gate import baseline
from edge_scnet.report.store import save_report
from tests.helpers.folders import float_build, identity
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published
from tests.helpers.limits import no_longer_than
from tests.helpers.reports import full_report, qdq_facts
from tests.helpers.reports import report as small_report

LIMIT_SECONDS = 60.0
# of a command that failed; a gate's verdict (10 to 13) is none
_ERRORS = (2, 3, 4, 5, 6, 7, 8, 9)
_CODES = (0, *_ERRORS, 10, 11, 12, 13)
_CONTROL = "\x1b]0;t\x07\x9b"
_TEXTS = (
    "",
    " ",
    "x" * 5000,
    "\0",
    "../x",
    "/etc/passwd",
    f"a\n::error file=y::x{_CONTROL}",
    "[bold]x[/bold]",
    "\ud800",
    "\u202e",
    "１２",
    "nan",
    "1e999",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    10**17,
    10**25,
    -(10**17),
    0.5,
    1e-320,
    1e308,
    -1e308,
    [],
    [[]],
    {},
    {"a": 1},
    [None],
    ["x", 1],
    *_TEXTS,
)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A case that broke a rule."""

    kind: str
    number: int
    command: tuple[str, ...]
    rule: str
    words: str


@dataclass
class Result:
    """What a run came to."""

    cases: collections.Counter[str] = field(default_factory=collections.Counter)
    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    broken: list[Broken] = field(default_factory=list)
    slowest_seconds: float = 0.0
    slowest: tuple[str, ...] = ()


class Good:
    """Whole files, from which cases are made: built once."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        self.build = float_build(root / "build", identity())
        self.image = root / "image.png"
        Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(self.image)
        self.report = root / "net" / "report.json"
        self.report.parent.mkdir()
        save_report(small_report(), self.report)
        self.full = root / "full.json"
        save_report(full_report(), self.full)
        self.baseline = root / "net-cpu.json"
        baseline.save(baseline.of_report(small_report(), Gates()), self.baseline)
        self.onnx = tiny_onnx(root / "tiny.onnx", classes=10, size=28)
        images, labels = published("calib")
        self.images = idx_folder(root / "calib", images[:120], labels[:120])
        self.board = self._board(root / "board")
        self.bundle = self._bundle(root / "bundle")
        self.compiled = self._compiled(root / "out")

    def _board(self, folder: Path) -> Path:
        """A build folder of a board, with results."""
        float_build(folder, identity())
        opened = BuildFolder.open(folder)
        manifest = replace(opened.manifest, target=asdict(load_target("jetson")))
        for name, facts in (
            (INT8_FORM, FormFacts(precision="int8", kept_fp32=())),
            (FP16_FORM, FormFacts(precision="fp16", kept_fp32=())),
            (QDQ_ONNX, qdq_facts()),
        ):
            shutil.copy(folder / "model.onnx", folder / name)
            manifest = manifest.with_artifact(
                Artifact(
                    file=name,
                    kind="onnx" if name == QDQ_ONNX else "onnx-form",
                    stage="quantize" if name == QDQ_ONNX else "compile",
                    sha256=sha256_file(folder / name),
                    size_bytes=1,
                    key="k",
                    facts=facts,
                )
            )
        BuildFolder(path=folder, manifest=manifest).save()
        self.results = self._results(sha256_file(folder / INT8_FORM))
        return folder

    def _results(self, form: str) -> dict[str, bytes]:
        board = {
            "tensorrt": "10.3.0",
            "board": "NVIDIA Jetson Orin Nano",
            "timing": "--useCudaGraph",
            "engine_sha256": form,
            **{f"{name}_bytes": 1000 for name in ("int8", "fp16")},
            **{f"{name}_sha256": "1" * 64 for name in ("int8", "fp16")},
        }
        files: dict[str, Any] = {"board.json": board}
        log = (
            "&&&& RUNNING TensorRT.trtexec [TensorRT v100300]\n[I] Throughput: 987.5 qps\n[I] GPU"
            " Compute Time: min = 1 ms, max = 1 ms, mean = 1 ms, median = 1 ms\n&&&& PASSED"
            " TensorRT.trtexec [TensorRT v100300]\n"
        )
        layer = {
            "Name": "conv",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "x", "Format/Datatype": "Thirty-two wide Int8 format"}],
            "Outputs": [{"Name": "y", "Datatype": "Int8"}],
            "Metadata": "[ONNX Layer: conv]",
        }
        for stem in ("engine", "engine-fp16"):
            for number in range(1, 7):
                files[f"{stem}.{number}.times.json"] = [{"computeMs": 1.0}] * 5
                files[f"{stem}.{number}.log"] = log
            files[f"{stem}.profile.json"] = [{"count": 9}, {"name": "conv", "medianMs": 0.5}]
            files[f"{stem}.layers.json"] = {"Layers": [layer]}
        files["tegrastats.log"] = (
            "RAM 3000/7620MB (lfb 4x4MB) GR3D_FREQ 99%@[1020] gpu@50.5C VDD_IN 5000mW/4900mW\n" * 5
        )
        files["nvpmodel.txt"] = "NV Power Mode: MAXN\n0\n"
        files["jetson_clocks.txt"] = "GPU MinFreq=1020000000 MaxFreq=1020000000\n"
        return {
            name: (text if isinstance(text, str) else json.dumps(text)).encode()
            for name, text in files.items()
        }

    def _bundle(self, folder: Path) -> dict[str, bytes]:
        """The files of a bundle, by name."""
        folder.mkdir()
        made = BuildFolder.open(self.board)
        simulated = bundle.Reference(
            images=np.zeros((1, 3, 8, 8), np.float32),
            outputs=(np.zeros((1, 3, 8, 8), np.float32),),
            simulation=(),
        )
        written = bundle.write_bundle(made, load_target("jetson"), simulated, None)
        with tarfile.open(written) as archive:
            members = {
                Path(member.name).name: archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
            }
        written.unlink()
        return members

    def _compiled(self, out: Path) -> Path:
        arguments = ["compile", self.onnx, "--mean", 0.286, "--std", 0.353, "--calib", self.images]
        done = run_command([*map(str, arguments), "--out", str(out)])
        assert done.code == 0, done.output
        return out / "tiny" / "cpu"


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    errors: str
    trace: str = ""


def run_command(arguments: Sequence[str]) -> Done:
    """Runs a command in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(app, list(arguments), prog_name="edge-scnet")
    trace = ""
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        trace = "".join(traceback.format_exception(done.exception))
    return Done(code=done.exit_code, output=done.output, errors=done.stderr, trace=trace)


def _place(value: Any, rng: random.Random) -> tuple[Any, ...]:
    """The path of some value in JSON's: each level's as likely, whatever long rows there are."""
    path: tuple[Any, ...] = ()
    while isinstance(value, dict | list) and value and (not path or rng.random() < 0.75):
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        path, value = (*path, key), value[key]
    return path


def changed_values(content: Any, rng: random.Random) -> Any:
    """The same with up to three values or keys changed."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = _place(content, rng)
        if not path:
            if rng.random() < 0.05:
                return rng.choice(_VALUES)
            continue
        outer = content
        for key in path[:-1]:
            outer = outer[key]
        _change(outer, path[-1], rng)
    return content


def _change(outer: Any, key: Any, rng: random.Random) -> None:
    """Changes one value of a dict or a list, or its key."""
    way, value = rng.random(), outer[key]
    if way < 0.2:
        del outer[key]
    elif way < 0.3 and isinstance(outer, dict):
        outer[rng.choice(_TEXTS)] = outer.pop(key)
    elif way < 0.4 and isinstance(outer, list):
        outer += [copy.deepcopy(value)] * rng.choice((1, 50))
    elif way < 0.5 and isinstance(value, int | float):
        outer[key] = value * rng.choice((-1, 0, 1e6, 1e-6))
    elif way < 0.6:
        for _ in range(rng.choice((3, 40, 70, 250))):
            value = [value]
        outer[key] = value
    else:
        outer[key] = rng.choice(_VALUES)


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """The same bytes, cut, flipped, doubled or with others between them."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        way = rng.randrange(6)
        if way == 0:
            del data[at:]
        elif way == 1 and data:
            data[min(at, len(data) - 1)] = rng.randrange(256)
        elif way == 2:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
        elif way == 3:
            del data[at : at + rng.choice((1, 4, 64))]
        elif way == 4:
            data[at:at] = data[at : at + 200] * rng.choice((1, 20))
        else:
            data[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"9" * 50))
    return bytes(data)


def changed_json(content: Any, rng: random.Random) -> bytes:
    """JSON of changed values, or changed itself."""
    way = rng.random()
    if way < 0.75:
        text = json.dumps(changed_values(content, rng))
        if way < 0.05:
            text = text.replace("1", "9" * 5000, 1)
        return text.encode()
    if way < 0.78:
        return rng.choice((b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"null", b"NaN"))
    return changed_bytes(json.dumps(content).encode(), rng)


def packed(path: Path, members: dict[str, bytes], rng: random.Random, folder: str) -> Path:
    """A tar.gz of files, with members that none should have now and then, and damaged bytes."""
    buffer = io.BytesIO()
    form = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{folder}{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if rng.random() < 0.2:
            info = tarfile.TarInfo(rng.choice((f"{folder}a.log", "../../evil", "/tmp/evil", "a/b")))
            kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
            info.type, info.linkname = rng.choice((tarfile.CHRTYPE, *kinds)), "../../evil"
            archive.addfile(info)
    raw = buffer.getvalue()
    if rng.random() < 0.2:
        raw = changed_bytes(raw, rng)
    data = gzip.compress(raw, 1)
    path.write_bytes(changed_bytes(data, rng) if rng.random() < 0.1 else data)
    return path


# --- the kinds: each writes a file into the case's folder and gives the command ---

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
        path.write_bytes(_changed_proto(good.onnx.read_bytes(), rng))
    quantized = good.compiled / QDQ_ONNX
    if rng.random() < 0.5:
        data = quantized.read_bytes()
        changed = changed_bytes(data, rng) if rng.random() < 0.5 else _changed_proto(data, rng)
        path.write_bytes(changed)
        return ["inspect", path]
    out = ["--out", folder / "out"]
    return rng.choice((["export", path, *out], ["show", path], ["data", "check", path]))


def _changed_proto(data: bytes, rng: random.Random) -> bytes:
    """An ONNX file with another size, type, operator, name, opset or place of weights."""
    import onnx

    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 2))):
        rng.choice((_change_end, _change_node, _change_tensor, _change_opset))(model, rng)
    return bytes(model.SerializeToString())


def _change_opset(model: Any, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice((0, -1, 1, 6, 30, 1 << 40))


def _change_end(model: Any, rng: random.Random) -> None:
    """Changes an input or an output."""
    graph, way = model.graph, rng.randrange(5)
    value = rng.choice([*graph.input, *graph.output])
    dims = value.type.tensor_type.shape.dim
    if way == 0 and dims:
        rng.choice(list(dims)).dim_value = rng.choice((-1, 0, 1, 100_000, 2 * 10**9, 1 << 62))
    elif way == 1:
        value.type.tensor_type.elem_type = rng.choice((0, 1, 7, 8, 9, 14, 99))
    elif way == 2:
        del graph.output[:]
    elif way == 3:
        graph.output.append(graph.input[0])
    else:
        value.type.Clear()
        value.type.sequence_type.elem_type.tensor_type.elem_type = 1


def _change_node(model: Any, rng: random.Random) -> None:
    node, way = rng.choice(list(model.graph.node)), rng.randrange(3)
    if way == 0:
        node.domain, node.op_type = rng.choice((("com.acme", "Magic"), ("", "Loop"), ("", "")))
    elif way == 1:
        node.input[:] = [rng.choice(("", "nowhere", node.output[0]))]
    else:
        node.name = rng.choice([text for text in _TEXTS if text != "\ud800"])


def _change_tensor(model: Any, rng: random.Random) -> None:
    tensor, way = rng.choice(list(model.graph.initializer)), rng.randrange(3)
    if way == 0:
        tensor.data_location = 1  # EXTERNAL
        places_of = ("../x", "/etc/passwd", "none.bin", "", "\x1b]0;t\x07", "a\0b")
        tensor.external_data.add(key="location", value=rng.choice(places_of))
        tensor.raw_data = b""
    elif way == 1:
        tensor.dims[:] = [rng.choice((-1, 0, 1 << 40)) for _ in tensor.dims] or [5]
    else:
        tensor.raw_data = rng.choice((b"", b"\0", np.float32("nan").tobytes()))


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
    texts = [text for text in _TEXTS if "\0" not in text and text != "\ud800"]
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
KINDS: dict[str, tuple[Case, int]] = {
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
}


def _listed(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of all files of a folder."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def _rule(command: Sequence[str], done: Done, seconds: float) -> str | None:
    """The rule that a command broke; None: it kept all."""
    if done.trace:
        return "an exception"
    if "this is a bug" in done.output or done.code == 1:
        return "a bug"
    if "Traceback" in done.output:
        return "a traceback"
    if done.code not in _CODES:
        return f"exit code {done.code}"
    if seconds > LIMIT_SECONDS:
        return f"{seconds:.0f} s"
    # what `data check` and `inspect` find in a file that could be read is their result
    is_result = command[0] in ("data", "inspect") and not done.errors.strip()
    if done.code in _ERRORS[1:] and not is_result:
        errors = sum(line.startswith("error: ") for line in done.errors.split("\n"))
        if not errors:
            return "no error is said"
        if "\nhint: " not in done.errors:
            return "no hint"
    return None


def fuzz(
    root: Path,
    *,
    cases: int,
    seed: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
    keep: Path | None = None,
    tell: Callable[[Broken], None] = lambda broken: None,
) -> Result:
    """Runs so many cases, whose files lie below a folder of their own.

    Args:
        root: an empty folder.
        keep: where the files of broken cases are kept; None: nowhere.
        tell: is called with each broken case.
    """
    good, result = Good(root / "good"), Result()
    weights = [KINDS[kind][1] for kind in kinds]
    before = _listed(root)
    here = Path.cwd()
    os.chdir(good.root)
    try:
        for number in range(cases):
            rng = random.Random(f"{seed}/{number}")
            kind = rng.choices(kinds, weights)[0]
            folder = root / f"case-{number}"
            folder.mkdir()
            command = tuple(map(str, KINDS[kind][0](good, folder, rng)))
            began = time.perf_counter()
            try:
                with no_longer_than(LIMIT_SECONDS):
                    done = run_command(command)
            except TimeoutError as error:
                done = Done(code=-1, output="", errors="", trace=str(error))
            seconds = time.perf_counter() - began
            rule = _rule(command, done, seconds)
            result.cases[kind] += 1
            result.codes[done.code] += 1
            if seconds > result.slowest_seconds:
                result.slowest_seconds, result.slowest = seconds, command
            kept = {path: entry for path, entry in _listed(root).items() if "/case-" not in path}
            if kept != before:
                rule = f"files outside its folder: {set(kept.items()) ^ set(before.items())}"
                before = kept
            if rule:
                words = (done.trace or done.output)[-1500:]
                broken = Broken(kind=kind, number=number, command=command, rule=rule, words=words)
                result.broken.append(broken)
                tell(broken)
                if keep is not None:
                    shutil.copytree(folder, keep / folder.name, dirs_exist_ok=True)
            shutil.rmtree(folder)
    finally:
        os.chdir(here)
    return result


def _print(broken: Broken) -> None:
    print(f"--- {broken.kind} {broken.number}: {broken.rule}\n{' '.join(broken.command)[:400]}")
    print(ascii(broken.words).replace("\\n", "\n"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        result = fuzz(
            Path(temporary).resolve() / "fuzz",
            cases=given.cases,
            seed=given.seed,
            kinds=given.kind or tuple(KINDS),
            keep=given.keep,
            tell=_print,
        )
    codes = {int(code): count for code, count in sorted(result.codes.items())}
    print(f"by kind {dict(result.cases)}; exit codes {codes}")
    print(
        f"{sum(result.cases.values()):,} cases, {len(result.broken)} broke a rule; all took"
        f" {time.perf_counter() - began:.0f} s, the slowest {result.slowest_seconds:.1f} s:"
        f" {' '.join(result.slowest)[:200]!a}"
    )
    raise SystemExit(bool(result.broken))


if __name__ == "__main__":
    main()
