"""Samples of a user's functions, and ground truth that comes with arrays."""

from __future__ import annotations

import pickle
import sys
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.spec import TaskSpec, TensorSpec
from edge_scnet.data.held import set_of
from edge_scnet.data.iterables import Samples
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import DataError
from tests.helpers.images import RGB

FLAT = replace(RGB, input_shape=(4,), classes=(), num_classes=3)
X = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes a module that the working directory has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = []

    def write(text: str) -> str:
        name = f"own_{len(names)}_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\n{text}")
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def opened(source: str | Path, model: Any = FLAT, **options: Any) -> SampleSet:
    return open_samples(source, model=model, role="evaluation", **options)


def truth(samples: SampleSet) -> list[Any]:
    assert samples.targets is not None
    at = pickle.loads(pickle.dumps(samples.targets)).at
    return [at(i) for i in range(len(samples))]


def test_a_function_yields_samples_with_labels(module: Any):
    name = module(
        "def samples(n=2, **more):\n"
        "    for i in range(n):\n"
        "        yield {'x': np.full(4, i, 'f4'), 'label': i}\n"
    )
    samples = opened(f"{name}:samples?n=3")
    assert (samples.kind, samples.labels, samples.name) == ("arrays", (0, 1, 2), f"{name}:samples")
    assert samples.arrays is not None and samples.arrays[2].tolist() == [2, 2, 2, 2]
    assert opened(f"{name}:samples?n=3", ignore_labels=True).labels is None
    assert len(open_samples(f"{name}:samples?n=9", model=FLAT, role="calibration", limit=4)) == 4
    with pytest.raises(DataError, match=r"labels from 0 to 4; the model has 3 classes"):
        opened(f"{name}:samples?n=5")


def test_a_functions_targets_are_part_of_the_hash(module: Any):
    name = module(
        "def samples(y):\n"
        "    return [{'x': np.zeros(4, 'f4'), 'target': [y, 0.5]} for _ in range(2)]\n"
        "several = [{'a': np.zeros(4, 'f4'), 'b': np.ones(2, 'f4')}]\n"
    )
    samples = opened(f"{name}:samples?y=1.5")
    np.testing.assert_array_equal(truth(samples), [[1.5, 0.5]] * 2)
    assert samples.hash != opened(f"{name}:samples?y=2.5").hash
    assert len(opened(f"{name}:samples?y=1&duplicates=drop")) == 1
    two = replace(FLAT, input_name="a", more_inputs=(TensorSpec(name="b", shape=(2,)),))
    arrays = opened(f"{name}:several", two).arrays
    assert arrays is not None and arrays["b"].tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such split')", "failed: ValueError: no such split (own_0"),
        ("return []", "gave nothing: it is empty"),
        ("return 3", "of type int cannot be iterated over"),
        ("yield {'x': np.zeros(4)}; raise KeyError('b')", "reading item 1 failed: KeyError: 'b'"),
        ("yield {'x': np.zeros(4)}; yield {'z': np.zeros(4)}", "item 1 has arrays z, item 0 x"),
        ("yield {'x': np.zeros(4)}; yield {'x': np.zeros(5)}", "item 1 x is 5, item 0 4"),
        ("yield {'x': np.zeros(5)}", "x is 1 x 5; samples x 4 is needed"),
        ("yield {'x': np.full(4, np.nan)}", "holds NaN"),
        ("yield {'x': np.zeros((2, 2, 4))}", "item 0 is 2 x 2 x 4; the model takes samples of 1"),
        ("yield {'x': np.zeros(4), 'label': 1}; yield {'x': np.zeros(4)}", "item 1 has no label"),
        ("yield {'x': np.zeros(4), 'target': [float('nan')]}", "a target holds NaN"),
        ("yield {'x': np.zeros(4), 'target': {'boxes': []}}", "boxes and labels are needed"),
        ("yield {'x': np.zeros(4), 'target': 'cat'}", "a target is of <U3; numbers are needed"),
        ("yield {'x': np.zeros(4), 'target': [.5], 'label': 1}", "item 0 has label and target"),
        ("yield {'label': 1}", "is a dict without arrays"),
    ],
)
def test_functions_that_cannot_be_used(module: Any, body: str, message: str):
    name = module(f"def samples():\n    {body}\n")
    with pytest.raises(DataError) as e:
        opened(f"{name}:samples")
    assert message in e.value.message and e.value.hint


def test_a_function_that_is_not_there(module: Any):
    name = module("samples = [1]\n")
    with pytest.raises(DataError, match="has no attribute 'sample'"):
        opened(f"{name}:sample")
    with pytest.raises(DataError, match="No module named 'nowhere_at_all'"):
        opened("nowhere_at_all:samples")
    with pytest.raises(DataError, match="is a list, and takes no arguments"):
        opened(f"{name}:samples?n=1")


def of_items(items: Any, task: str | None = None, axes: Any = "samples") -> SampleSet:
    model = replace(FLAT, task=None if task is None else TaskSpec(kind=task))
    return set_of(Samples(items, "samples").collect(axes), "samples", model, "evaluation")


@pytest.mark.parametrize(
    ("target", "task", "kind", "expected"),
    [
        ([0.5, 2], None, "values", [0.5, 2]),
        (0.5, None, "values", [0.5]),
        ([1, 0, 1], None, "labels", [1, 0, 1]),
        ([1, 0, 2], None, "values", [1, 0, 2]),
        ([1, 0, 1], "regression", "values", [1, 0, 1]),
        (np.uint8([[0, 1], [255, 2]]), None, "mask", [[0, 1], [255, 2]]),
        (np.float32([[3, 4], [5, 6]]), None, "keypoints", [[3, 4, 1], [5, 6, 1]]),
        (np.float32([[3, 4, 0]]), "keypoints", "keypoints", [[3, 4, 0]]),
    ],
)
def test_what_a_target_is(target: Any, task: str | None, kind: str, expected: Any):
    samples = of_items([{"x": row, "target": target} for row in X], task)
    assert samples.targets is not None and samples.targets.kind == kind
    np.testing.assert_array_equal(truth(samples)[2], expected)
    behind = of_items([(row, target) for row in X], task)
    assert behind.targets is not None and behind.targets.hash == samples.targets.hash


def test_boxes_as_torchvision_has_them():
    target = {"boxes": [[1, 2, 3, 5]], "labels": [2], "iscrowd": [1]}
    samples = of_items([{"x": row, "target": target} for row in X])
    boxes = truth(samples)[0]
    assert (boxes.corners.tolist(), boxes.classes.tolist()) == ([[1, 2, 3, 5]], [2])
    assert (boxes.crowd.tolist(), boxes.areas.tolist()) == ([True], [6])
    with pytest.raises(DataError, match="1 boxes have 2 labels"):
        of_items([{"x": X[0], "target": {"boxes": [[1, 2, 3, 5]], "labels": [2, 3]}}])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"boxes": [[3, 1, 2, 2]], "labels": [0]}, "sample 0: the box 3, 1, 2, 2 is none"),
        ({"boxes": [[9, 9, 12, 12]], "labels": [0]}, "sample 0: the box 9, 9, 12, 12 .* outside"),
        ({"boxes": [[0, 0, 2, 2]], "labels": [9]}, "sample 0: a box has the class 9"),
        (np.full((4, 4), 7), "sample 0: the mask has the value 7; the model has 3 classes"),
        (np.full((4, 2), 1), "sample 0: the mask is 2 x 4 pixels, the input 4 x 4"),
    ],
)
def test_boxes_and_masks_that_do_not_fit_the_input(target: Any, message: str):
    item = {"x": np.zeros((3, 4, 4), np.float32), "target": target}
    with pytest.raises(DataError, match=message) as e:
        set_of(Samples([item], "s").collect("samples"), "s", RGB, "evaluation")
    assert e.value.hint


def test_targets_of_batches_and_of_labels():
    samples = of_items(
        [(X[:2], np.float32([[1], [2]])), (X[2:], np.float32([[3]]))], axes="batches"
    )
    assert [row.tolist() for row in truth(samples)] == [[1], [2], [3]]
    with pytest.raises(DataError, match="item 0 has 2 targets for 3 samples"):
        of_items([(X, np.float32([[1], [2]]))], axes="batches")
    identities = of_items([(row, i % 2) for i, row in enumerate(X)], "embedding")
    assert truth(identities) == [0, 1, 0] and identities.labels is None
    with pytest.raises(DataError, match="the target of sample 1 is of float64 3, that of sample 0"):
        of_items([{"x": X[0], "target": [0.5]}, {"x": X[1], "target": [0.5, 1, 2]}])


def test_targets_of_files(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=X, targets=np.float32([[1], [2], [3]]))
    samples = opened(tmp_path / "a.npz")
    assert [row.tolist() for row in truth(samples)] == [[1], [2], [3]]
    np.savez(tmp_path / "a.npz", x=X, targets=np.float32([[1], [2]]))
    with pytest.raises(DataError, match=r"targets is \(2, 1\) for 3 samples; a row each"):
        opened(tmp_path / "a.npz")


READ = """
import wave
def sound(path):
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(4), np.int16)
    return (frames / 32768).astype('f4')
def labelled(path):
    return {'x': sound(path), 'label': 2}
def valued(path):
    return sound(path), [0.5]
def broken(path):
    raise RuntimeError('no codec')
"""


def sounds(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(root / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.full(4, 100 * (i + 1), np.int16).tobytes())
    return root


def test_a_function_reads_each_file(tmp_path: Path, module: Any):
    name = module(READ)
    root = sounds(tmp_path / "wav", "0/a.wav", "1/b.wav", "1/c.wav")
    samples = opened(f"{root}?read={name}:sound")
    assert samples.entries == ("0/a.wav", "1/b.wav", "1/c.wav") and samples.labels == (0, 1, 1)
    assert samples.root == root and samples.kind == "arrays"
    assert samples.arrays is not None
    np.testing.assert_allclose(samples.arrays[2], np.full(4, 300 / 32768), rtol=1e-6)
    (tmp_path / "l.csv").write_text("path,target\nwav/1/c.wav,0.5\nwav/0/a.wav,1.5\n")
    listed = opened(f"{tmp_path / 'l.csv'}?read={name}:sound")
    assert truth(listed) == [[0.5], [1.5]] and listed.content_hashes[0] == samples.content_hashes[2]
    assert opened(f"{root / '1'}?read={name}:labelled").labels == (2, 2)
    assert truth(opened(f"{root / '1'}?read={name}:valued")) == [[0.5], [0.5]]
    with pytest.raises(DataError, match=r"labelled returns a label .*folder names are") as e:
        opened(f"{root}?read={name}:labelled")
    assert "--ignore-labels" in (e.value.hint or "")
    assert opened(f"{root}?read={name}:labelled", ignore_labels=True).labels is None
    flat = opened(f"{root / '1'}?read={name}:sound")
    assert flat.labels is None and len(flat) == 2


def test_files_that_the_function_cannot_read(tmp_path: Path, module: Any):
    name = module(READ)
    root = sounds(tmp_path / "wav", "a.wav", "b.wav")
    (root / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"cannot read .*a\.wav: EOFError") as e:
        opened(f"{root}?read={name}:sound")
    assert "--skip-bad" in (e.value.hint or "")
    samples = opened(f"{root}?read={name}:sound", skip_bad=True)
    assert (samples.entries, samples.skipped) == (("b.wav",), 1)
    with pytest.raises(
        DataError, match=r"none of the 2 files .* no codec \(own_0_.*\.py:13\)"
    ) as e:
        opened(f"{root}?read={name}:broken", skip_bad=True)
    assert "broken is called with the path, and returns an array" in (e.value.hint or "")
    with pytest.raises(DataError, match=r"read is 'sound'; package\.module:function is needed"):
        opened(f"{root}?read=sound")


def test_functions_that_never_end(module: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edge_scnet.data.arrays._memory_bytes", lambda: 40_000)
    name = module("def samples():\n    while True:\n        yield {'x': np.zeros(4, 'f4')}\n")
    with pytest.raises(DataError, match=r"samples take 0\.0 GiB and more; this machine has") as e:
        opened(f"{name}:samples")
    assert "does it end?" in (e.value.hint or "")
    assert len(open_samples(f"{name}:samples", model=FLAT, role="calibration", limit=9)) == 9


def test_an_iterator_is_refused_where_a_function_is_wanted(module: Any):
    name = module("def f():\n    yield np.zeros(4, 'f4')\ngen = f()\nheld = list(f())\n")
    with pytest.raises(DataError, match="gen is a generator, which can be read once") as caught:
        opened(f"{name}:gen")
    assert "a function that returns it" in (caught.value.hint or "")
    assert len(opened(f"{name}:f")) == len(opened(f"{name}:held")) == 1
