"""Samples of any iterable: what an item is, what is read, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from edge_scnet.data.iterables import ONLY, Axes, Collected, Samples
from edge_scnet.errors import DataError

PICTURES = np.arange(7 * 3 * 4 * 4, dtype=np.float32).reshape(7, 3, 4, 4)
CLASSES = np.arange(7) % 3


def collected(source: Any, axes: Axes, **settings: Any) -> Collected:
    limit = settings.pop("limit", None)
    return Samples(source, "samples", **settings).collect(axes, limit=limit)


class Squares(Dataset[Any]):
    """A data set with a length, and no end by itself."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Any:
        return torch.from_numpy(PICTURES[index % 7]), int(CLASSES[index % 7])


def batches() -> Iterator[np.ndarray]:
    yield PICTURES[:4]
    yield PICTURES[4:]


LOADER = DataLoader(TensorDataset(torch.from_numpy(PICTURES), torch.from_numpy(CLASSES)), 4)


@pytest.mark.parametrize(
    ("source", "axes", "labelled"),
    [
        (PICTURES, "batches", False),
        (torch.from_numpy(PICTURES), "batches", False),
        (list(PICTURES), "samples", False),
        ([PICTURES[:4], PICTURES[4:]], "batches", False),
        (batches(), "batches", False),
        ((torch.from_numpy(picture) for picture in PICTURES), "samples", False),
        (LOADER, "batches", True),
        (Squares(), "samples", True),
        (list(zip(PICTURES, CLASSES, strict=True)), "samples", True),
        ((PICTURES, CLASSES), "batches", True),
        ([(picture, {"boxes": []}) for picture in PICTURES], "samples", False),
        ([(picture, 0.5) for picture in PICTURES], "samples", False),
        ([picture.tolist() for picture in PICTURES], "samples", False),
        ([[picture] for picture in PICTURES], "samples", False),
        ({"x": PICTURES, "labels": CLASSES}, "batches", True),
        ([{"x": torch.from_numpy(p).requires_grad_()} for p in PICTURES], "samples", 0),
    ],
)
def test_every_kind_of_iterable_gives_the_same_samples(source: Any, axes: Axes, labelled: bool):
    found = collected(source, axes)
    (array,) = found.arrays.values()
    np.testing.assert_array_equal(array, PICTURES)
    assert len(found) == 7
    if labelled:
        assert found.labels is not None and found.labels.tolist() == CLASSES.tolist()
    else:
        assert found.labels is None


@pytest.mark.parametrize(
    ("source", "known"),
    [
        (PICTURES, "batches"),
        ({"x": PICTURES}, "batches"),
        ((PICTURES, CLASSES), "batches"),
        (LOADER, "batches"),
        (Squares(), "samples"),
        (list(PICTURES), None),
        (batches(), None),
        ((PICTURES[0], PICTURES[1]), None),
        (DataLoader(Squares(), batch_size=None), None),
    ],
)
def test_what_an_item_is_follows_from_the_kind_where_it_tells(source: Any, known: Axes | None):
    assert Samples(source, "samples").known_axes == known


@pytest.mark.parametrize(
    "item",
    [
        {"image": np.zeros((3, 4)), "state": np.zeros(2)},
        (np.zeros((3, 4)), np.zeros(2)),
        (np.zeros((3, 4)), np.zeros(2), 1),
        ((np.zeros((3, 4)), np.zeros(2)), 1),
        ({"image": np.zeros((3, 4)), "state": np.zeros(2)}, 1),
    ],
)
def test_items_of_several_inputs(item: Any):
    samples = Samples([item, item], "samples", inputs=("image", "state"))
    found = samples.collect("samples")
    assert {name: array.shape for name, array in found.arrays.items()} == {
        "image": (2, 3, 4),
        "state": (2, 2),
    }
    assert samples.shape_of("state", "samples") == (2,)
    has_label = isinstance(item, tuple) and item[-1] is not None and np.ndim(item[-1]) == 0
    assert (found.labels is not None) == has_label


@pytest.mark.parametrize("name", ["label", "target", ""])
def test_as_many_numbers_as_channels_are_no_class_index(name: str):
    truth = np.array([1, 0, 1])
    items = [{"x": p, name: truth} if name else (p, truth) for p in PICTURES]
    found = collected(items, "samples")
    assert found.labels is None and found.targets is not None
    np.testing.assert_array_equal(found.targets[6], truth)
    one = collected([(p, np.array([2])) for p in PICTURES], "samples")
    assert one.labels is not None and one.labels.tolist() == [2] * 7


def test_no_more_is_read_than_is_needed():
    read = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            read.append(1)
            yield PICTURES[0]

    assert len(collected(endless(), "samples", limit=5)) == 5
    assert len(read) == 5
    assert len(collected(iter(PICTURES[:, None]), "batches", limit=5)) == 5
    assert len(collected([PICTURES, PICTURES], "batches", limit=9)) == 9


def bad(position: int, item: Any) -> Sequence[Any]:
    items: list[Any] = [*PICTURES[:3]]
    items[position] = item
    return items


def broken() -> Iterator[np.ndarray]:
    yield PICTURES[0]
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "samples gave nothing: it is empty, or a generator that was used up"),
        (iter(()), "gave nothing"),
        (3, "samples of type int cannot be iterated over"),
        ("folder", "samples is the text 'folder'"),
        (["a.png"], "samples: item 0 is a builtins.str"),
        ([None], "samples: item 0 is a builtins.NoneType"),
        (bad(0, np.array(["a"])), "samples: item 0 is of <U1; numbers are needed"),
        (bad(2, np.zeros((3, 4, 5))), "samples: item 2 is 3 x 4 x 5, item 0 3 x 4 x 4"),
        (bad(1, PICTURES[0] * np.nan), "samples: item 1 holds NaN or infinite values"),
        (bad(1, np.full_like(PICTURES[0], np.inf)), "samples: item 1 holds NaN or infinite values"),
        ([{"x": PICTURES[0] * np.nan}], "samples: item 0 x holds NaN"),
        (bad(1, ()), "samples: item 1 is an empty tuple"),
        (bad(1, {"x": PICTURES[1]}), "samples: item 1 has arrays x, item 0"),
        (bad(1, {}), "samples: item 1 is a dict without arrays"),
        (bad(1, (PICTURES[1], 3)), "samples: item 0 has no label, others have one"),
        (
            [{"x": p, "target": [0.5]} for p in PICTURES[:2]] + [{"x": PICTURES[2]}],
            "item 2 has no t",
        ),
        (bad(2, (PICTURES[2], [0.5])), "samples: item 0 has no target, others have one"),
        (broken(), "samples: reading item 1 failed: OSError: the disk is gone"),
        ([torch.zeros(2, device="meta")], "samples: item 0 is a Tensor that is no array"),
        ({"x": PICTURES, "y": PICTURES[:2]}, "different or no length along the first axis: x 7, y"),
        ({"x": PICTURES, "labels": CLASSES[:1]}, "samples has 1 labels for 7 samples"),
        (PICTURES[:0], "different or no length"),
    ],
)
def test_what_cannot_be_used_is_one_error_that_names_the_item(source: Any, message: str):
    axes: Axes = "batches" if isinstance(source, (dict, np.ndarray)) else "samples"
    with pytest.raises(DataError) as caught:
        collected(source, axes)
    assert message in caught.value.message and caught.value.hint


def test_a_generator_that_was_used_up():
    generator = batches()
    collected(generator, "batches")
    with pytest.raises(DataError, match="used up") as caught:
        collected(generator, "batches")
    assert "make the generator anew" in str(caught.value.hint)


def test_ctrl_c_while_samples_are_read_is_no_error_of_theirs():
    def interrupted() -> Iterator[np.ndarray]:
        yield PICTURES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collected(interrupted(), "samples")


def test_tensors_of_types_that_numpy_has_not():
    found = collected([torch.ones(2, dtype=torch.bfloat16)], "samples")
    assert found.arrays[ONLY].dtype == np.float32


def test_an_array_of_one_input_has_no_name():
    assert list(Samples(PICTURES, "samples").first.arrays) == [ONLY]
