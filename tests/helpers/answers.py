"""Builds of networks of all tasks that give the same for every picture: outputs drawn by seed.

What a network says is not what is tested, but how programs read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.target import load_target
from edge_scnet.core.facts import EngineFacts, Facts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX, Artifact, Manifest, save_manifest
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec, TaskSpec
from tests.helpers.hostile import NAMES

WIDTH, HEIGHT = 96, 64
CLASSES = ("cat", "日本語 été", "quote \" ' and \\")
LETTERBOX = Preprocessing(mean=(), std=(), resize="letterbox", pad_value=(114,))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network: what it is for, and what it gives."""

    task: str
    # by name, with the batch axis where the network has one
    outputs: Mapping[str, np.ndarray]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = CLASSES
    preprocessing: Preprocessing = LETTERBOX
    batch: int = 1
    # the operator that the first output ends in, as Sigmoid; None: none that says anything
    ending: str | None = None

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            name="net",
            arch="onnx",
            input_shape=(3, HEIGHT, WIDTH),
            preprocessing=self.preprocessing,
            classes=self.classes,
            num_classes=len(self.classes) or None,
            task=TaskSpec(kind=self.task, arguments=dict(self.arguments)),
        )


def places(*strides: int) -> int:
    return sum(math.ceil(HEIGHT / stride) * math.ceil(WIDTH / stride) for stride in strides)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _few(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities of which few are high."""
    made: np.ndarray = (rng.random(shape) ** 8).astype(np.float32)
    return made


def _boxes(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Centres and sizes in pixels of the input, many of which share much with another."""
    centres = rng.uniform((10, 10), (WIDTH, HEIGHT), (6, 2))[rng.integers(0, 6, rows)]
    boxes = [centres + rng.normal(0, 2, (rows, 2)), rng.uniform(15, 30, (rows, 2))]
    made: np.ndarray = np.concatenate(boxes, axis=1).astype(np.float32)
    return made


def _detector(decode: str | None, outputs: Mapping[str, np.ndarray], **more: Any) -> Case:
    changes = {key: more.pop(key) for key in ("classes", "batch", "preprocessing") if key in more}
    named = {} if decode is None else {"decode": decode}
    return Case(task="detection", outputs=outputs, arguments={**named, **more}, **changes)


def _yolox(rng: np.random.Generator) -> np.ndarray:
    rows = rng.normal(0, 1, (1, places(8, 16), 5 + len(CLASSES))).astype(np.float32)
    rows[..., 4:] = _few(rng, rows[..., 4:].shape) ** 0.4
    return rows


def _yolov8(rng: np.random.Generator, more: int = 0) -> np.ndarray:
    rows = np.concatenate(
        [
            _boxes(rng, places(8, 16, 32)),
            _few(rng, (places(8, 16, 32), len(CLASSES))),
            rng.normal(0, 1, (places(8, 16, 32), more)).astype(np.float32),
        ],
        axis=1,
    )
    return rows.T[None]


def _levels(rng: np.random.Generator, form: str, bins: int = 8) -> dict[str, np.ndarray]:
    """NanoDet's outputs, as rows without a batch axis, or as maps with one."""
    made = {}
    for stride in (8, 16, 32):
        height, width = math.ceil(HEIGHT / stride), math.ceil(WIDTH / stride)
        scores = _few(rng, (height * width, len(CLASSES)))
        logits = rng.normal(0, 2, (height * width, 4 * bins)).astype(np.float32)
        for name, rows in ((f"cls_{stride}", scores), (f"dis_{stride}", logits)):
            if form == "maps":
                rows = rows.T.reshape(1, -1, height, width)
            elif form == "maps, channels last":
                rows = rows.reshape(1, height, width, -1)
            made[name] = rows
    return made


def _fcos(rng: np.random.Generator) -> dict[str, np.ndarray]:
    made = {}
    for stride in (8, 16):
        size = (HEIGHT // stride, WIDTH // stride)
        made[f"box{stride}"] = rng.normal(1, 1, (1, 4, *size)).astype(np.float32)
        made[f"classes{stride}"] = rng.normal(-1, 1, (1, 3, *size)).astype(np.float32)
        made[f"centred{stride}"] = rng.normal(0, 1, (1, 1, *size)).astype(np.float32)
    return made


def _yunet(rng: np.random.Generator) -> dict[str, np.ndarray]:
    made = {}
    for stride in (8, 16, 32):
        rows = places(stride)
        made[f"cls_{stride}"] = _few(rng, (1, rows, 1)) ** 0.3
        made[f"obj_{stride}"] = _few(rng, (1, rows, 1)) ** 0.3
        made[f"bbox_{stride}"] = rng.normal(0, 1, (1, rows, 4)).astype(np.float32)
        made[f"kps_{stride}"] = rng.normal(0, 1, (1, rows, 10)).astype(np.float32)
    return made


def _fastestdet(rng: np.random.Generator) -> np.ndarray:
    found = rng.normal(0, 1, (1, 5 + len(CLASSES), HEIGHT // 16, WIDTH // 16)).astype(np.float32)
    found[:, 0], found[:, 5:] = _few(rng, found[:, 0].shape) ** 0.2, _few(rng, found[:, 5:].shape)
    return found


def _ssd(rng: np.random.Generator, *, ground: int, centred: bool = False) -> dict[str, np.ndarray]:
    boxes = _boxes(rng, 120)
    if not centred:
        boxes = np.concatenate(
            [boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1
        )
    scores = _few(rng, (1, 120, len(CLASSES) + ground))
    return {"scores": scores, "boxes": boxes[None].astype(np.float32)}


def _equal(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """More candidates than are compared, of scores that many of them have."""
    rows = np.concatenate([_ssd(rng, ground=0)["boxes"] for _ in range(8)], axis=1)
    return {"scores": rng.integers(1, 4, (1, 8 * 120, 3)) / np.float32(5), "boxes": rows}


def _listed(rng: np.random.Generator, rows: int = 40) -> np.ndarray:
    found = _boxes(rng, rows)
    found = np.concatenate([found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2], 1)
    scores, classes = _few(rng, (rows, 1)), rng.integers(0, 4, (rows, 1))
    return np.concatenate([found, scores, classes], 1)[None].astype(np.float32)


_RELATIVE = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)
_SSD = _ssd(_rng(6), ground=1)
DETECTORS: dict[str, Case] = {
    "yolox": _detector("yolox", {"out": _yolox(_rng(1))}, threshold=0.4),
    "yolox, logits": _detector("yolox", {"out": _yolox(_rng(2))}, sigmoid=True, threshold=0.5),
    "yolov5": _detector(
        "yolov5",
        {
            "out": np.concatenate(
                [_boxes(_rng(3), places(8, 16)), _few(_rng(3), (places(8, 16), 4)) ** 0.5], 1
            )[None]
        },
    ),
    "yolov8, told": _detector(None, {"out": _yolov8(_rng(4))}, nms_iou=0.3),
    "yolov8 of a segmentation, batch 2": _detector(
        "yolov8",
        {"out": np.repeat(_yolov8(_rng(5), 32), 2, axis=0), "masks": np.zeros((2, 32, 16, 24))},
        batch=2,
        most=4,
    ),
    "ssd, relative": _detector(
        "ssd", {"scores": _SSD["scores"], "boxes": _SSD["boxes"] / _RELATIVE}, min_score=0.5
    ),
    "ssd, centres in pixels": _detector(
        "ssd", _ssd(_rng(7), ground=0, centred=True), box_form="centre", box_units="pixels"
    ),
    "ssd, many equal": _detector("ssd", _equal(_rng(23)), box_units="pixels", most=500),
    "fcos": _detector("fcos", _fcos(_rng(8)), threshold=0.6, centre=0.25),
    "nanodet": _detector(None, _levels(_rng(9), "rows")),
    "nanodet, maps": _detector("nanodet", _levels(_rng(10), "maps")),
    "nanodet, channels last": _detector("nanodet", _levels(_rng(11), "maps, channels last")),
    "nanodet-plus": _detector(
        "nanodet-plus",
        {
            "out": np.concatenate(
                [
                    _few(_rng(12), (places(8, 16, 32, 64), len(CLASSES))),
                    _rng(12).normal(0, 2, (places(8, 16, 32, 64), 32)),
                ],
                1,
            )[None]
        },
    ),
    "fastestdet": _detector("fastestdet", {"out": _fastestdet(_rng(13))}),
    "yunet": _detector("yunet", _yunet(_rng(14)), classes=("face",), threshold=0.5),
    "end2end": _detector("end2end", {"out": _listed(_rng(15))}, most=9),
    "end2end, hostile names": _detector(
        "end2end", {"out": _listed(_rng(16))}, classes=NAMES, threshold=0.1
    ),
    "end2end, nobody told the classes": _detector(
        "end2end", {"out": _listed(_rng(17))}, classes=(), threshold=0.0, min_score=0.3
    ),
    "nothing found": _detector("yolox", {"out": _yolox(_rng(18))}, threshold=1.0),
    "one found": _detector("yolov8", {"out": _yolov8(_rng(19))}, most=1),
    "stretched": _detector(
        "yolov8", {"out": _yolov8(_rng(20))}, preprocessing=replace(LETTERBOX, resize="stretch")
    ),
    "cropped": _detector(
        "yolov8",
        {"out": _yolov8(_rng(21))},
        preprocessing=Preprocessing(mean=(), std=(), resize="crop", short_side=80),
    ),
    "padded below": _detector(
        "yolov8",
        {"out": _yolov8(_rng(22))},
        preprocessing=replace(LETTERBOX, pad_anchor="top-left"),
    ),
}
_LOGITS = _rng(30).normal(0, 2, (1, 3))
_MAP = _rng(31).normal(0, 1, (1, 3, 16, 24))
OTHERS: dict[str, Case] = {
    "binary, one score": Case(
        task="binary", outputs={"out": np.array([[1.25]])}, classes=("cat", "dog")
    ),
    "binary, one probability": Case(
        task="binary", outputs={"out": np.array([[0.25]])}, classes=("cat",), ending="Sigmoid"
    ),
    "binary, float32 at the threshold": Case(
        task="binary", outputs={"out": np.array([[0.6]])}, arguments={"threshold": 0.6}, classes=()
    ),
    "binary, two columns": Case(
        task="binary", outputs={"out": np.array([[0.5, 1.5]])}, classes=("cat", "dog")
    ),
    "binary, two columns and a threshold": Case(
        task="binary",
        outputs={"out": np.array([[0.5, 1.5]])},
        arguments={"threshold": 0.8},
        classes=("cat", "dog"),
    ),
    "labels": Case(task="multilabel", outputs={"out": _LOGITS}),
    "labels, probabilities": Case(task="multilabel", outputs={"out": np.array([[0.7, 0.2, 0.9]])}),
    "labels, none": Case(task="multilabel", outputs={"out": -np.abs(_LOGITS)}, classes=(), batch=1),
    "labels, hostile": Case(
        task="multilabel", outputs={"out": np.arange(-3.0, 17.0)[None]}, classes=NAMES
    ),
    "numbers": Case(task="regression", outputs={"out": _rng(32).normal(0, 1e4, (1, 11))}),
    "one number": Case(task="regression", outputs={"out": np.array([[-1.5e-7]])}),
    "numbers of the second output, batch 2": Case(
        task="regression",
        outputs={"a": np.zeros((2, 3)), "b": np.arange(8.0).reshape(2, 4) / 3},
        arguments={"output": "b"},
        batch=2,
    ),
    "vector": Case(task="embedding", outputs={"out": _rng(33).normal(0, 1, (1, 64))}),
    "short vector": Case(task="embedding", outputs={"out": _rng(34).normal(0, 1, (1, 5))}),
    "points": Case(task="keypoints", outputs={"out": _rng(35).random((1, 10))}),
    "points, pixels": Case(
        task="keypoints",
        outputs={"out": _rng(36).uniform(0, 90, (1, 10))},
        arguments={"layout": "xxyy", "units": "pixels"},
    ),
    "points, with a score": Case(task="keypoints", outputs={"out": _rng(37).random((1, 5, 3))}),
    "points, heatmaps": Case(task="keypoints", outputs={"out": _rng(38).random((1, 5, 16, 24))}),
    "points, heatmaps, channels last": Case(
        task="keypoints", outputs={"out": _rng(39).random((1, 16, 24, 5))}
    ),
    "map": Case(task="segmentation", outputs={"out": _MAP}),
    "map, channels last": Case(
        task="segmentation",
        outputs={"out": _MAP.transpose(0, 2, 3, 1)},
        arguments={"layout": "NHWC"},
    ),
    "map of one class": Case(
        task="segmentation", outputs={"out": _MAP[:, :1]}, classes=("cat",), ending="Sigmoid"
    ),
    "map of whole numbers": Case(
        task="segmentation",
        outputs={"out": _rng(40).integers(-1, 4, (1, 16, 24))},
        preprocessing=Preprocessing(mean=(), std=(), resize="crop", short_side=80),
    ),
}
CASES = {**DETECTORS, **OTHERS}


def answer_build(folder: Path, case: Case, graph: onnx.ModelProto | None = None) -> Path:
    """A build folder with the float graph of a case, which ONNX Runtime runs.

    Args:
        graph: another than the one that gives the outputs of the case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_graph(case) if graph is None else graph, folder / FLOAT_ONNX)
    manifest = Manifest(
        model=case.spec,
        target={**asdict(load_target("cpu")), "batch": case.batch},
        floor="avx2",
        precision_hint="f32",
        rebuild="edge-scnet build net.onnx",
    )
    save_manifest(folder, manifest)
    add_artifact(folder, manifest, FLOAT_ONNX, "onnx", _facts(case))
    return folder


def add_artifact(folder: Path, manifest: Manifest, name: str, kind: str, facts: Facts) -> Manifest:
    """Puts a file of the folder into its manifest."""
    entry = Artifact(
        file=name,
        kind=kind,
        stage="compile",
        sha256=sha256_file(folder / name),
        size_bytes=(folder / name).stat().st_size,
        key="k",
        facts=facts,
    )
    made = manifest.with_artifact(entry)
    save_manifest(folder, made)
    return made


def _facts(case: Case) -> EngineFacts:
    return EngineFacts(precision="fp32", runtime="onnxruntime", companions=())


def _graph(case: Case) -> onnx.ModelProto:
    nodes, values, infos = [], [], []
    for number, (name, array) in enumerate(case.outputs.items()):
        held = array.astype(np.float32) if array.dtype.kind == "f" else array
        operator = case.ending if case.ending and not number else "Identity"
        if operator == "Sigmoid":  # gives what the case says
            held = np.log(np.clip(held, 1e-3, 0.999) / (1 - np.clip(held, 1e-3, 0.999)))
        values.append(numpy_helper.from_array(np.ascontiguousarray(held), f"{name}.value"))
        nodes.append(helper.make_node(operator, [f"{name}.value"], [name]))
        kind = helper.np_dtype_to_tensor_dtype(held.dtype)
        infos.append(helper.make_tensor_value_info(name, kind, list(held.shape)))
    taken = [case.batch, 3, HEIGHT, WIDTH]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)], infos, values
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
