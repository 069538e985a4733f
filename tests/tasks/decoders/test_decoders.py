"""Each built-in decoder against its published formula, place by place in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from edge_scnet.errors import DataError
from edge_scnet.tasks.decoders import DECODERS, decoder
from edge_scnet.tasks.decoders.base import DecodeOptions, ImageInfo

# x1, y1, x2, y2, score, class
Row = tuple[float, float, float, float, float, int]
WIDTH, HEIGHT, CLASSES = 96, 64, 3
ALL = {"min_score": 0.0, "nms_iou": 1.0, "most": 10_000}


def info(*, classes: int | None = CLASSES, **options: object) -> ImageInfo:
    return ImageInfo(
        width=WIDTH, height=HEIGHT, classes=classes, options=DecodeOptions(**{**ALL, **options})
    )


def cells(stride: int) -> Iterator[tuple[int, int]]:
    """Column and row, row by row."""
    for row, column in product(range(math.ceil(HEIGHT / stride)), range(math.ceil(WIDTH / stride))):
        yield column, row


def count(*strides: int) -> int:
    return sum(len(list(cells(stride))) for stride in strides)


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def expected(logits: np.ndarray) -> float:
    weights = [math.exp(float(value)) for value in logits]
    return sum(i * weight for i, weight in enumerate(weights)) / sum(weights)


def centred(cx: float, cy: float, w: float, h: float) -> tuple[float, float, float, float]:
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def check(name: str, outputs: Mapping[str, np.ndarray], told: ImageInfo, rows: list[Row]) -> None:
    found = decoder(name).decode(outputs, told)
    seen = sorted(
        (*map(float, box), float(score), int(c))
        for box, score, c in zip(found.corners, found.scores, found.classes, strict=True)
    )
    assert len(seen) == len(rows)
    assert np.allclose(np.array(seen), np.array(sorted(rows)), rtol=1e-4, atol=1e-3)
    assert (np.diff(found.scores) <= 0).all()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_yolox(rng: np.random.Generator):
    raw = rng.normal(0, 1, (count(8, 16), 5 + CLASSES)).astype(np.float32)
    raw[:, 4:] = rng.random(raw[:, 4:].shape)
    places = [(stride, c) for stride in (8, 16) for c in cells(stride)]
    rows = [
        (
            *centred(
                (x + float(row[0])) * stride,
                (y + float(row[1])) * stride,
                math.exp(row[2]) * stride,
                math.exp(row[3]) * stride,
            ),
            float(row[4] * row[5 + k]),
            k,
        )
        for (stride, (x, y)), row in zip(places, raw, strict=True)
        for k in range(CLASSES)
    ]
    check("yolox", {"output": raw}, info(), rows)
    logits = raw.copy()
    logits[:, 4:] = np.log(raw[:, 4:] / (1 - raw[:, 4:]))
    check("yolox", {"output": logits}, info(sigmoid=True, strides=(8, 16)), rows)


def test_yolov5(rng: np.random.Generator):
    raw = rng.uniform(0, 60, (3 * count(8, 16), 5 + CLASSES)).astype(np.float32)
    raw[:, 4:] /= 60
    rows = [
        (*centred(*map(float, row[:4])), float(row[4] * row[5 + k]), k)
        for row in raw
        for k in range(CLASSES)
    ]
    check("yolov5", {"output": raw}, info(), rows)


@pytest.mark.parametrize("transposed", [False, True])
def test_yolov8(rng: np.random.Generator, transposed: bool):
    raw = rng.uniform(0, 60, (4 + CLASSES, count(8, 16, 32))).astype(np.float32)
    raw[4:] /= 60
    rows = [
        (*centred(*map(float, column[:4])), float(column[4 + k]), k)
        for column in raw.T
        for k in range(CLASSES)
    ]
    check("yolov8", {"output0": raw.T if transposed else raw}, info(), rows)
    check("yolov8", {"output0": raw.T if transposed else raw}, info(classes=None), rows)


def test_yolov8_takes_boxes_and_classes_of_a_segmentation(rng: np.random.Generator):
    raw = rng.random((4 + CLASSES + 32, count(8, 16, 32))).astype(np.float32)
    whole = decoder("yolov8").decode({"a": raw, "masks": np.zeros((32, 16, 24))}, info())
    plain = decoder("yolov8").decode({"a": raw[: 4 + CLASSES]}, info())
    assert np.array_equal(whole.corners, plain.corners)


def test_end2end(rng: np.random.Generator):
    raw = rng.uniform(0, 60, (30, 6)).astype(np.float32)
    raw[:, 4], raw[:, 5] = rng.random(30), rng.integers(0, CLASSES, 30)
    rows = [(*map(float, row[:5]), int(row[5])) for row in raw if row[4] >= 0.4]
    check("end2end", {"output0": raw}, info(min_score=0.4), rows)


@pytest.mark.parametrize("ground", [True, False])
def test_ssd(rng: np.random.Generator, ground: bool):
    boxes = np.sort(rng.random((50, 2, 2)), axis=1).reshape(50, 4).astype(np.float32)
    scores = rng.random((50, CLASSES + ground)).astype(np.float32)
    scale = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    rows = [
        (*(float(v) * s for v, s in zip(box, scale, strict=True)), float(row[k + ground]), k)
        for box, row in zip(boxes, scores, strict=True)
        for k in range(CLASSES)
    ]
    check("ssd", {"scores": scores, "boxes": boxes}, info(), rows)
    pixels = boxes * np.array(scale, np.float32)
    check("ssd", {"box": pixels, "s": scores}, info(box_units="pixels", background=ground), rows)
    centres = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
    check("ssd", {"box": centres, "s": scores}, info(box_form="centre"), rows)


def test_ssd_of_one_class_has_the_ground_first():
    """RFB and UltraFace: two columns, of which the second is the face."""
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32)
    found = decoder("ssd").decode(
        {"scores": scores, "boxes": boxes}, info(classes=None, min_score=0.5)
    )
    assert found.classes.tolist() == [0]
    assert found.corners.tolist() == [[48.0, 32.0, 96.0, 64.0]]


def test_fcos(rng: np.random.Generator):
    outputs, rows = {}, []
    for stride in (8, 16):
        height, width = HEIGHT // stride, WIDTH // stride
        box = rng.normal(1, 1, (4, height, width)).astype(np.float32)
        classes = rng.normal(0, 1, (CLASSES, height, width)).astype(np.float32)
        centre = rng.normal(0, 1, (1, height, width)).astype(np.float32)
        outputs |= {f"c{stride}": classes, f"b{stride}": box, f"m{stride}": centre}
        for x, y in cells(stride):
            left, top, right, bottom = (max(float(v), 0) * stride for v in box[:, y, x])
            cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
            for k in range(CLASSES):
                score = math.sqrt(logistic(classes[k, y, x]) * logistic(centre[0, y, x]))
                rows.append((cx - left, cy - top, cx + right, cy + bottom, score, k))
    check("fcos", outputs, info(), rows)


@pytest.mark.parametrize("flat", [True, False])
def test_nanodet_whatever_its_outputs_are_called(rng: np.random.Generator, flat: bool):
    outputs, rows, bins = {}, [], 8
    for number, stride in enumerate((8, 16, 32)):
        classes = rng.random((count(stride), CLASSES)).astype(np.float32)
        logits = rng.normal(0, 2, (count(stride), 4 * bins)).astype(np.float32)
        height, width = math.ceil(HEIGHT / stride), math.ceil(WIDTH / stride)
        named = {f"bbox_pred{number}": classes, f"cls_score{number}": logits}
        outputs |= {
            name: array if flat else array.T.reshape(-1, height, width)
            for name, array in named.items()
        }
        for i, (x, y) in enumerate(cells(stride)):
            left, top, right, bottom = (
                expected(logits[i, side * bins : (side + 1) * bins]) * stride for side in range(4)
            )
            cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
            box = (cx - left, cy - top, cx + right, cy + bottom)
            rows += [(*box, float(classes[i, k]), k) for k in range(CLASSES)]
    check("nanodet", outputs, info(), rows)


def test_nanodet_plus(rng: np.random.Generator):
    strides, bins, rows = (8, 16, 32, 64), 8, []
    raw = rng.normal(0, 1, (count(*strides), CLASSES + 4 * bins)).astype(np.float32)
    raw[:, :CLASSES] = rng.random((len(raw), CLASSES))
    places = [(stride, c) for stride in strides for c in cells(stride)]
    for (stride, (x, y)), row in zip(places, raw, strict=True):
        left, top, right, bottom = (
            expected(row[CLASSES + side * bins : CLASSES + (side + 1) * bins]) * stride
            for side in range(4)
        )
        box = (x * stride - left, y * stride - top, x * stride + right, y * stride + bottom)
        rows += [(*box, float(row[k]), k) for k in range(CLASSES)]
    check("nanodet-plus", {"output": raw}, info(), rows)
    check("nanodet-plus", {"output": raw}, info(classes=None), rows)


def test_fastestdet(rng: np.random.Generator):
    height, width = HEIGHT // 16, WIDTH // 16
    raw = rng.normal(0, 1, (5 + CLASSES, height, width)).astype(np.float32)
    raw[0], raw[5:] = rng.random((height, width)), rng.random((CLASSES, height, width))
    rows = []
    for x, y in cells(16):
        place = raw[:, y, x]
        best = int(place[5:].argmax())
        box = centred(
            (x + math.tanh(place[1])) / width * WIDTH,
            (y + math.tanh(place[2])) / height * HEIGHT,
            logistic(place[3]) * WIDTH,
            logistic(place[4]) * HEIGHT,
        )
        rows.append((*box, float(place[0]) ** 0.6 * float(place[5 + best]) ** 0.4, best))
    check("fastestdet", {"758": raw}, info(min_score=1e-9), rows)


def test_yunet(rng: np.random.Generator):
    outputs, rows = {}, []
    for stride in (8, 16, 32):
        n = count(stride)
        cls, obj = rng.random((2, n, 1)).astype(np.float32)
        box = rng.normal(0, 1, (n, 4)).astype(np.float32)
        outputs |= {
            f"cls_{stride}": cls,
            f"obj_{stride}": obj,
            f"bbox_{stride}": box,
            f"kps_{stride}": np.zeros((n, 10), np.float32),
        }
        for i, (x, y) in enumerate(cells(stride)):
            corners = centred(
                (x + float(box[i, 0])) * stride,
                (y + float(box[i, 1])) * stride,
                math.exp(box[i, 2]) * stride,
                math.exp(box[i, 3]) * stride,
            )
            rows.append((*corners, math.sqrt(float(cls[i, 0] * obj[i, 0])), 0))
    check("yunet", outputs, info(classes=None), rows)


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_outputs_of_another_head_are_refused_with_their_shapes(name: str):
    with pytest.raises(DataError, match=r"odd.*7 x 3 x 2 x 5") as caught:
        decoder(name).decode({"odd": np.zeros((7, 3, 2, 5), np.float32)}, info())
    assert "--decode" in caught.value.hint


@pytest.mark.parametrize("name", ["yolox", "nanodet-plus"])
def test_a_wrong_number_of_rows_names_the_strides(name: str):
    rows = np.zeros((101, 40 if name == "nanodet-plus" else 8), np.float32)
    with pytest.raises(DataError, match=r"101 rows, the places .* 96 x 64 are 126") as caught:
        decoder(name).decode({"output": rows}, info(classes=None))
    assert "strides" in caught.value.hint


def test_logits_in_place_of_probabilities_are_refused_where_they_are_fp32s_own():
    raw = np.zeros((4 + CLASSES, count(8, 16)), np.float32)
    raw[4] = -6.5
    told = replace(info(), entry="cat.png", is_reference=True)
    with pytest.raises(DataError, match=r"scores from -6.5 to 0 at cat.png") as caught:
        decoder("yolov8").decode({"o": raw}, told)
    assert "sigmoid" in caught.value.hint
    assert len(decoder("yolov8").decode({"o": raw}, replace(told, is_reference=False)).scores)


def test_exponents_of_a_broken_engine_stay_finite():
    raw = np.full((count(8, 16), 5 + CLASSES), 1e30, np.float32)
    raw[:, 4:] = 1.0
    found = decoder("yolox").decode({"output": raw}, info())
    assert len(found.scores) and np.isfinite(found.corners[:, 2:]).all()


def test_no_more_than_the_best_thousand_are_suppressed_and_most_are_kept():
    raw = np.zeros((4 + CLASSES, count(4, 8, 16)), np.float32)
    raw[4] = np.linspace(0.2, 0.9, raw.shape[1])
    raw[:2] = np.arange(raw.shape[1]) * 10
    raw[2:4] = 1
    found = decoder("yolov8").decode({"o": raw}, info(most=7))
    assert len(found.scores) == 7
    assert found.scores[0] == pytest.approx(0.9)
    assert (found.classes == 0).all()


NAMED: list[tuple[Callable[[], dict[str, tuple[int, ...]]], int | None, list[str]]] = [
    (lambda: {"output": (count(8, 16), 8)}, 3, ["yolox", "yolov5"]),
    (lambda: {"output": (count(8, 16), 8)}, None, ["yolox", "yolov5", "yolov8"]),
    (lambda: {"output": (3 * count(8, 16, 32), 8)}, None, ["yolov5"]),
    (lambda: {"output": (7, count(8, 16, 32))}, None, ["yolov8"]),
    (lambda: {"output": (count(8, 16, 32), 7)}, 3, ["yolov8"]),
    (lambda: {"output": (300, 6)}, None, ["end2end"]),
    (lambda: {"scores": (44, 2), "boxes": (44, 4)}, None, ["ssd"]),
    (lambda: {"logits": (44, 92), "pred_boxes": (44, 4)}, None, []),
    (lambda: {"output": (count(8, 16, 32, 64), 3 + 32)}, 3, ["nanodet-plus"]),
    (lambda: {"758": (85, 4, 6)}, None, ["fastestdet"]),
    (lambda: {"map": (21, 64, 96)}, None, []),
    (
        lambda: {
            f"{part}_{stride}": (count(stride), size)
            for stride in (8, 16, 32)
            for part, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        },
        None,
        ["yunet"],
    ),
    (
        lambda: {
            f"{part}{stride}": (size, HEIGHT // stride, WIDTH // stride)
            for stride in (8, 16)
            for part, size in (("cls", 20), ("reg", 4), ("centerness", 1))
        },
        None,
        ["fcos"],
    ),
    (
        lambda: {f"{size}_{s}": (count(s), size) for s in (8, 16, 32) for size in (80, 32)},
        None,
        ["nanodet"],
    ),
    (lambda: {f"{size}_{s}": (count(s), size) for s in (8, 16) for size in (32, 68)}, None, []),
    (
        lambda: {f"{size}_{s}": (count(s), size) for s in (8, 16) for size in (32, 68)},
        68,
        ["nanodet"],
    ),
]


@pytest.mark.parametrize(("shapes", "classes", "names"), NAMED)
def test_which_decoders_outputs_fit(
    shapes: Callable[[], dict[str, tuple[int, ...]]], classes: int | None, names: list[str]
):
    from edge_scnet.tasks.decoders.choose import fitting

    assert fitting(shapes(), info(classes=classes)) == names
