"""Lists of images: their rows, labels and targets, and what is wrong with them."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.checks import check_counts
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from tests.helpers.images import RGB, calibration, evaluation, picture

UNNAMED = replace(RGB, classes=(), num_classes=3)


def with_task(kind: str):
    return replace(RGB, classes=(), task=TaskSpec(kind=kind))


def images(root: Path, count: int = 4) -> Path:
    (root / "p").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(i, 6, 5).save(root / "p" / f"{i}.png")
    return root


def listed(root: Path, text: str, name: str = "list.csv") -> Path:
    images(root)
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def targets_of(samples: SampleSet) -> np.ndarray:
    assert samples.targets is not None
    at = pickle.loads(pickle.dumps(samples.targets)).at
    return np.array([at(i) for i in range(samples.targets.count)])


def test_labels_are_class_names_whatever_the_order(tmp_path: Path):
    path = listed(tmp_path, "id,File,Label\n7,p/2.png,ankle-boot\n8,p/0.png,cat\n9,p/1.png,dog\n")
    samples = evaluation(path)
    assert samples.entries == ("p/2.png", "p/0.png", "p/1.png")
    assert (samples.labels, samples.label_rule) == ((2, 0, 1), "labels are class names")
    assert samples.name == f"{tmp_path.name}/list.csv"
    assert samples.image_sizes == ((6, 5),) * 3 and samples.short_sides == (5, 5, 5)
    assert samples.targets is None and samples.class_names == RGB.classes


def test_labels_are_indices_in_any_form_of_list(tmp_path: Path):
    rows = [("p/0.png", 2), ("p/1.png", 0)]
    lists = {
        "a.csv": "path;label\n" + "".join(f"{p};{n}\n" for p, n in rows),
        "b.tsv": "\ufeffpath\tlabel\n" + "".join(f"{p}\t{n}\n" for p, n in rows),
        "c.csv": "".join(f"{p},{n}\n" for p, n in rows),
        "d.txt": "".join(f"{p} {n}\n" for p, n in rows),
        "e.jsonl": "".join(json.dumps({"image": p, "class": n}) + "\n" for p, n in rows),
    }
    sets = [evaluation(listed(tmp_path, text, name), UNNAMED) for name, text in lists.items()]
    for samples in sets:
        assert samples.labels == (2, 0) and samples.label_rule == "labels are class indices"
    assert len({samples.hash for samples in sets}) == 1


def test_whole_numbers_with_a_point_are_indices_and_other_numbers_are_none(tmp_path: Path):
    eleven = replace(UNNAMED, num_classes=11)
    rows = "".join(f"p/{i % 4}.png,{i}.0\n" for i in range(11))
    samples = evaluation(listed(tmp_path, f"path,label\n{rows}"), eleven)
    assert samples.labels == tuple(range(11))
    lines = '{"path": "p/0.png", "label": 2.0}\n{"path": "p/1.png", "label": 10.0}\n'
    assert evaluation(listed(tmp_path, lines, "l.jsonl"), eleven).labels == (2, 10)
    for text in ("path,label\np/0.png,0.5\np/1.png,1\n", "path,label\np/0.png,1\np/1.png,-1\n"):
        with pytest.raises(DataError, match="numbers that are no class index") as e:
            evaluation(listed(tmp_path, text), replace(UNNAMED, num_classes=2))
        assert "values=NAME" in (e.value.hint or "")


def test_a_column_is_named_and_the_images_are_elsewhere(tmp_path: Path):
    path = listed(tmp_path / "lists", "img_id,breed,sex\n0.png,dog,f\n1.png,cat,m\n")
    images(tmp_path)
    samples = evaluation(Path(f"{path}?path=img_id&label=Breed&images=../p"))
    assert samples.labels == (1, 0) and samples.root == path.parent / "../p"


def test_the_hash_tells_targets(tmp_path: Path):
    text = "path,target_a,target_b\np/0.png,1,0\np/1.png,0.5,-2\n"
    first = evaluation(listed(tmp_path, text), UNNAMED)
    other = evaluation(listed(tmp_path, text.replace("-2", "-3")), UNNAMED)
    assert first.hash != other.hash
    assert first.hash != evaluation(tmp_path / "list.csv", UNNAMED, ignore_labels=True).hash


def test_several_target_columns_are_values_or_labels(tmp_path: Path):
    path = listed(tmp_path, "path,target_a,target_b\np/0.png,1,0\np/1.png,0.5,-2\n")
    samples = evaluation(path, UNNAMED)
    assert samples.targets is not None and samples.targets.kind == "values"
    assert samples.targets.names == ("target_a", "target_b")
    np.testing.assert_array_equal(targets_of(samples), np.float32([[1, 0], [0.5, -2]]))

    hot = listed(tmp_path, "path,target_dog,target_cat\np/0.png,1,0\np/1.png,1,1\n", "hot.csv")
    samples = evaluation(hot, replace(UNNAMED, num_classes=2))
    assert samples.targets is not None and samples.targets.kind == "labels"
    np.testing.assert_array_equal(targets_of(samples), np.uint8([[1, 0], [1, 1]]))


def test_labels_by_class_name_come_in_the_models_order(tmp_path: Path):
    path = listed(tmp_path, "path,dog,cat,ankle_boot\np/0.png,1,0,0\np/1.png,0,1,1\n")
    samples = evaluation(Path(f"{path}?labels=dog,cat,ankle_boot"))
    np.testing.assert_array_equal(targets_of(samples), [[0, 1, 0], [1, 0, 1]])
    assert samples.targets is not None and samples.targets.names == RGB.classes

    lines = '{"path": "p/0.png", "labels": ["dog"]}\n{"path": "p/1.png", "labels": []}\n'
    named = evaluation(listed(tmp_path, lines, "n.jsonl"))
    np.testing.assert_array_equal(targets_of(named), [[0, 1, 0], [0, 0, 0]])


def test_the_task_says_what_a_target_is(tmp_path: Path):
    path = listed(tmp_path, "path,target\np/0.png,1\np/1.png,0\n")
    assert evaluation(path, UNNAMED).labels == (1, 0)
    values = evaluation(path, with_task("regression"))
    assert values.labels is None
    np.testing.assert_array_equal(targets_of(values), [[1], [0]])
    identity = evaluation(path, with_task("embedding"))
    assert identity.targets is not None and identity.targets.kind == "identity"
    assert targets_of(identity).tolist() == [1, 0]


def test_keypoints_without_numbers_are_not_visible(tmp_path: Path):
    path = listed(tmp_path, "path,x1,y1,x2,y2\np/0.png,1,2,3,4\np/1.png,5,6,,\n")
    samples = evaluation(Path(f"{path}?keypoints=x1,y1,x2,y2"))
    np.testing.assert_array_equal(
        targets_of(samples), [[[1, 2, 1], [3, 4, 1]], [[5, 6, 1], [0, 0, 0]]]
    )
    lines = '{"path": "p/0.png", "keypoints": [[1, 2, 0], [3, 4, 2]]}\n'
    triples = evaluation(listed(tmp_path, lines, "k.jsonl"))
    np.testing.assert_array_equal(targets_of(triples), [[[1, 2, 0], [3, 4, 1]]])


def test_boxes_of_a_list(tmp_path: Path):
    lines = (
        '{"path": "p/0.png", "boxes": [[0, 1, 4, 5], [1, 1, 2, 2]], "classes": ["dog", "cat"]}\n'
        '{"path": "p/1.png", "boxes": [], "classes": []}\n'
    )
    samples = evaluation(listed(tmp_path, lines, "b.jsonl"))
    assert samples.targets is not None and samples.targets.kind == "boxes"
    boxes = samples.targets.at(0)
    np.testing.assert_array_equal(boxes.corners, [[0, 1, 4, 5], [1, 1, 2, 2]])
    assert (boxes.classes.tolist(), boxes.areas.tolist()) == ([1, 0], [16, 1])
    assert samples.targets.at(1).corners.shape == (0, 4)


def test_a_list_of_paths_has_no_labels(tmp_path: Path):
    samples = calibration(listed(tmp_path, "p/0.png\np/1.png\n", "train.txt"))
    assert samples.entries == ("p/0.png", "p/1.png") and samples.labels is None


def test_calibration_takes_any_labels_and_no_targets(tmp_path: Path):
    path = listed(tmp_path, "path,label\np/0.png,lion\np/1.png,7\n")
    assert calibration(path).labels is not None
    values = listed(tmp_path, "path,target\np/0.png,0.5\np/1.png,x\n", "v.csv")
    assert calibration(Path(f"{values}?values=target")).targets is None
    assert len(calibration(listed(tmp_path, "path,what\np/0.png,1\n", "w.csv"))) == 1


def test_targets_follow_the_images_that_are_left(tmp_path: Path):
    path = listed(tmp_path, "path,target\np/0.png,0.5\np/1.png,1.5\np/2.png,2.5\n")
    (tmp_path / "p" / "1.png").write_bytes(b"no image")
    samples = evaluation(path, UNNAMED, skip_bad=True)
    assert samples.skipped == 1 and targets_of(samples).tolist() == [[0.5], [2.5]]


def test_copies_are_left_out_on_request(tmp_path: Path):
    path = listed(tmp_path, "path,target\np/0.png,0.5\np/1.png,1.5\np/0.png,0.5\n")
    samples = evaluation(Path(f"{path}?duplicates=drop"), UNNAMED)
    assert (len(samples), samples.copies) == (2, 1)
    assert targets_of(samples).tolist() == [[0.5], [1.5]]
    limited = evaluation(Path(f"{path}?duplicates=drop"), UNNAMED, limit=1)
    assert (len(limited), limited.copies) == (1, 1)


def test_copies_of_another_label_are_told(tmp_path: Path):
    path = listed(tmp_path, "path,label\np/0.png,0\np/1.png,1\np/0.png,2\np/1.png,1\n")
    samples = evaluation(Path(f"{path}?duplicates=drop"), UNNAMED)
    assert (samples.labels, samples.copies) == ((0, 1), 2)
    warnings = " ".join(check_counts(samples, role="evaluation"))
    assert "1 of the 2 copies that were left out have another label or target" in warnings
    values = listed(tmp_path, "path,target\np/0.png,0.5\np/0.png,1.5\n", "v.csv")
    assert evaluation(Path(f"{values}?duplicates=drop"), UNNAMED).notes


@pytest.mark.parametrize(
    ("text", "settings", "message", "hint"),
    [
        ("path,label\n", "", "has no rows", "under a header line"),
        ("", "", "is empty", "a header line"),
        ("a,b\n1,2\n", "", "has no column of paths; its columns are a, b", "?path=a'"),
        ("path,label\np/0.png,cat,x\n", "", "line 2 has 3 cells; the header has 2", "sed -n 2p"),
        ("path,path\np/0.png,1\n", "", "has several columns 'path'", "rename"),
        ("path,breed\np/0.png,cat\n", "", "none of the columns breed is called label", "?label=br"),
        (
            "path,breed\np/0.png,cat\n",
            "?label=bred",
            "no column 'bred'; did you mean breed?",
            "pat",
        ),
        ("path,label\np/0.png,cow\np/1.png,cat\n", "", "the label 'cow' is not one", "--class-nam"),
        ("path,label\np/0.png,1\np/1.png,3\n", "", "labels from 1 to 3; the model has 3", "from 1"),
        ("path,label\np/0.png,0\np/1.png,9\n", "", "the first is that of sample 2", "-classes 10"),
        ("path,label\np/0.png,\n", "", 'line 2: label is ""; a name or an index', "sed -n 2p"),
        ("path,a,b\np/0.png,1,2\n", "?labels=a,b", "line 2: label 1 is 2; 0 or 1", "values=a,b'"),
        ("path,a,b\np/0.png,1,0\n", "?labels=a,b", "2 labels for each sample; the model", "order"),
        ("path,a\np/0.png,1\np/1.png,nan\n", "?values=a", 'line 3: a is "nan"; a finite', "sed"),
        (
            "path,a\np/0.png,x\n",
            "?values=a",
            'line 2: a is "x"; a finite number',
            "--ignore-labels",
        ),
        (
            "path,a\np/0.png,1\n",
            "?values=a&label=a",
            "label and values are both given",
            "leave one",
        ),
        ("path,a,b\np/0.png,1,2\n", "?label=a,b", "label names 2 columns; it is one", "values=A,B"),
        ("path,a,b,c\np/0.png,1,2,3\n", "?keypoints=a,b,c", "has 3 coordinates", "keypoints="),
        ('path,label\n"p/0.png,1\n', "", "unexpected end of data", "quote cells"),
        (",1\n", "", "has no rows", "under a header"),
        (
            "path,label\nhttp://x/0.png,1\n",
            "",
            "nothing is downloaded:\n  http://x/0.png",
            "images",
        ),
        ("path,label\n,1\n", "", 'line 2: path is ""; a path is needed', "sed"),
    ],
)
def test_lists_that_cannot_be_used(
    tmp_path: Path, text: str, settings: str, message: str, hint: str
):
    path = listed(tmp_path, text)
    with pytest.raises(DataError) as e:
        evaluation(Path(f"{path}{settings}"))
    assert message in e.value.message and hint in (e.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "p/0.png"\n', "line 1 is not JSON"),
        ('["p/0.png"]\n', 'line 1 is ["p/0.png"]; an object is needed'),
        ('{"path": "p/0.png", "target": NaN}\n', "line 1 is not JSON: a figure in it is NaN"),
        ('{"path": 3}\n', "line 1: path is 3; a path is needed"),
        ('{"path": "p/0.png", "values": [1]}\n{"path": "p/1.png", "values": [1, 2]}\n', "line 2 h"),
        ('{"path": "p/0.png", "boxes": [[1, 2]], "classes": [0]}\n', "no lists of one length"),
        (
            '{"path": "p/0.png", "boxes": [[3, 1, 2, 2]], "classes": ["cat"]}\n',
            "line 1: the box 3, 1, 2, 2 is none",
        ),
        (
            '{"path": "p/0.png", "boxes": [["nan", 1, 2, 2]], "classes": ["cat"]}\n',
            "line 1: the box nan, 1, 2, 2 is none",
        ),
        (
            '{"path": "p/0.png", "boxes": [[30, 1, 40, 2]], "classes": ["cat"]}\n',
            "image p/0.png: the box 30, 1, 40, 2 (x1, y1, x2, y2) is outside of the image of 6 x 5",
        ),
        ('{"path": "p/0.png", "boxes": [], "classes": []}\n', "has no box at all"),
        ('{"path": "p/0.png", "labels": ["cow"]}\n', "the label 'cow' is no class of the model"),
    ],
)
def test_json_lines_that_cannot_be_used(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError) as e:
        evaluation(listed(tmp_path, text, "l.jsonl"))
    assert message in e.value.message and e.value.hint


def test_missing_files_are_named_up_to_20(tmp_path: Path):
    rows = "".join(f"gone/{i}.png,cat\n" for i in range(25))
    path = listed(tmp_path, f"path,label\np/0.png,cat\n{rows}")
    with pytest.raises(DataError) as e:
        evaluation(path)
    assert "25 of 26 files do not exist below" in e.value.message
    assert "gone/19.png" in e.value.message and "gone/20.png" not in e.value.message
    assert e.value.message.endswith("and 5 more")
    assert "list.csv?images=DIR" in (e.value.hint or "")
    assert evaluation(path, skip_bad=True).skipped == 25


def test_a_list_in_another_encoding(tmp_path: Path):
    path = listed(tmp_path, "")
    path.write_bytes("path,label\np/0.png,kätzchen\n".encode("latin1"))
    with pytest.raises(DataError, match="not UTF-8 text") as e:
        evaluation(path)
    assert "iconv -f latin1" in (e.value.hint or "")


def test_pipes_are_not_read(tmp_path: Path):
    path = listed(tmp_path, "path,label\nq.png,cat\n")
    os.mkfifo(tmp_path / "q.png")
    with pytest.raises(DataError, match=r"q\.png: it is not a regular file"):
        evaluation(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"is a file, not a folder|not a regular file"):
        evaluation(path)
