"""Sample sets of arrays."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.feeds import feed_of
from edge_scnet.core.spec import InputForm, TensorSpec, engine_spec
from edge_scnet.data.batches import load, load_pixels
from edge_scnet.data.samples import in_memory, open_samples, subset
from edge_scnet.errors import DataError
from tests.helpers.images import RGB, folder, prepared

AUDIO = prepared(replace(RGB, name="audio", input_shape=(2, 16), classes=()), mean=(), std=())
TWO = replace(
    AUDIO,
    input_name="sound",
    more_inputs=(
        TensorSpec(name="gain", shape=(1,)),
        TensorSpec(name="id", shape=(), dtype="int64"),
    ),
)


def sounds(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 2, 16)).astype(np.float32)


def test_files_of_arrays_are_read_one_behind_the_other(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", sounds(3))
    np.savez(tmp_path / "b.npz", sound=sounds(2, seed=1).astype(np.float64))
    found = open_samples(tmp_path, model=AUDIO, role="calibration")
    assert found.entries == ("a.npy[0]", "a.npy[1]", "a.npy[2]", "b.npz[0]", "b.npz[1]")
    assert found.labels is None and found.kind == "arrays"
    values = load(found, AUDIO)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.concatenate([sounds(3), sounds(2, seed=1)]))
    np.testing.assert_array_equal(load(found, AUDIO, [4, 0]), values[[4, 0]])
    half = subset(found, 2)
    np.testing.assert_array_equal(load(half, AUDIO), values[[0, 2]])
    assert half.hash != found.hash and len(set(found.content_hashes)) == 5
    with pytest.raises(DataError, match="arrays, no pictures"):
        load_pixels(found, 0, AUDIO)


def test_one_file_is_a_set_with_labels(tmp_path: Path) -> None:
    file = tmp_path / "set.npz"
    np.savez(file, x=sounds(4), labels=[1, 0, 2, 1])
    found = open_samples(file, model=AUDIO, role="evaluation")
    assert found.labels == (1, 0, 2, 1) and found.label_rule == "labels of the files"
    assert open_samples(file, model=AUDIO, role="evaluation", ignore_labels=True).labels is None


def test_several_inputs_are_read_by_their_names(tmp_path: Path) -> None:
    gains, ids = np.ones((3, 1), np.float32), np.array([7, 8, 9])
    np.savez(tmp_path / "a.npz", id=ids, sound=sounds(3), gain=gains, fixed=[0])
    found = open_samples(tmp_path, model=TWO, role="calibration")
    feed = feed_of(load(found, TWO, [2, 1]), "sound")
    np.testing.assert_array_equal(feed["sound"], sounds(3)[[2, 1]])
    np.testing.assert_array_equal(feed["id"], [9, 8])


@pytest.mark.parametrize(
    ("arrays", "model", "words"),
    [
        ({"x": np.zeros((3, 16, 2))}, AUDIO, "x is 3 x 16 x 2; samples x 2 x 16 is needed"),
        (
            {"x": np.full((3, 2, 16), np.nan)},
            AUDIO,
            "x holds NaN in 3 of 3 samples, from 0: 0, 1, 2",
        ),
        ({"x": np.full((3, 2, 16), -np.inf)}, AUDIO, "x holds infinite values"),
        ({"x": np.full((3, 2, 16), 1e300)}, AUDIO, "or ones that float32 cannot hold"),
        ({"x": np.zeros((1, 2, 16)), "label": [0], "labels": [0]}, AUDIO, "has labels and label"),
        ({"x": np.full((3, 2, 16), "a")}, AUDIO, "numbers are needed"),
        ({"x": np.zeros((0, 2, 16))}, AUDIO, "x is 0 x 2 x 16"),
        (
            {"sound": np.zeros((3, 2, 16))},
            TWO,
            "has arrays sound; the model's inputs are sound, ga",
        ),
        (
            {"sound": np.zeros((3, 2, 16)), "gain": np.zeros((3, 1)), "id": np.full(3, 0.5)},
            TWO,
            "id holds values that int64 cannot",
        ),
        (
            {"sound": np.zeros((3, 2, 16)), "gain": np.zeros((2, 1)), "id": np.zeros(3)},
            TWO,
            "different lengths",
        ),
        ({"x": np.zeros((3, 2, 16)), "labels": np.zeros(2)}, AUDIO, "labels is (2,) for 3 samples"),
        ({"x": np.array([None])}, AUDIO, "cannot read"),
        ({"x": np.zeros((2, 2, 16)), "labels": [0, -1]}, AUDIO, "must be whole numbers from 0"),
        ({"x": np.zeros((2, 2, 16)), "labels": [0, 0.5]}, AUDIO, "must be whole numbers from 0"),
        ({"x": np.zeros((2, 2, 16)), "labels": ["a", "b"]}, AUDIO, "must be whole numbers from"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, arrays: dict[str, np.ndarray], model: object, words: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as caught:
        open_samples(tmp_path, model=model, role="calibration")
    assert words in caught.value.message and "a.npz" in caught.value.message


def claiming(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape})}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(1000)


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_and_headers_that_claim_more_than_there_is(
    tmp_path: Path, packed: bool
) -> None:
    file = tmp_path / ("a.npz" if packed else "a.npy")
    content = claiming("3000000000, 3, 512, 512")
    if packed:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x.npy", content)
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*claims 3000000000 x 3 x 512 x 512") as e:
        open_samples(file, model=AUDIO, role="calibration")
    assert e.value.hint
    np.savez_compressed(tmp_path / "b.npz", x=sounds(50))
    damaged = bytearray((tmp_path / "b.npz").read_bytes())
    damaged[200:400] = bytes(200)
    (tmp_path / "b.npz").write_bytes(damaged)
    with pytest.raises(DataError, match=r"cannot read .*b\.npz"):
        open_samples(tmp_path / "b.npz", model=AUDIO, role="calibration")


def test_ground_truth_is_called_as_in_dicts_and_pictures_may_have_channels_last(
    tmp_path: Path,
) -> None:
    pictures = np.random.default_rng(0).random((4, 3, 4, 4), np.float32)
    last = np.moveaxis(pictures, 1, -1)
    np.save(tmp_path / "a.npy", last)
    np.savez(tmp_path / "b.npz", x=last, label=[1, 0, 2, 1])
    np.savez(tmp_path / "c.npz", x=last, target=np.float32([[1], [2], [3], [4]]))
    for name in ("a.npy", "b.npz", "c.npz"):
        found = open_samples(tmp_path / name, model=RGB, role="evaluation")
        assert found.arrays is not None
        np.testing.assert_array_equal(found.arrays, pictures)
        assert found.labels == ((1, 0, 2, 1) if name == "b.npz" else None)
        assert (found.targets is not None) == (name == "c.npz")
    np.savez(tmp_path / "d.npz", x=last, labels=np.eye(4, 3, dtype=int))
    with pytest.raises(DataError, match=r"labels is \(4, 3\) for 4 samples") as e:
        open_samples(tmp_path / "d.npz", model=RGB, role="evaluation")
    assert "called targets" in (e.value.hint or "")


def test_labels_in_one_file_and_none_in_another(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=sounds(2), labels=[0, 1])
    np.save(tmp_path / "b.npy", sounds(2))
    with pytest.raises(DataError, match=r"b\.npy has no array 'labels', other files have one"):
        open_samples(tmp_path, model=AUDIO, role="calibration")


def test_pictures_for_a_model_that_takes_none_and_arrays_beside_pictures(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "p", ["a.png", "b.png"])
    with pytest.raises(DataError, match="audio takes 2 x 16, which pictures in") as caught:
        open_samples(pictures, model=AUDIO, role="calibration")
    assert caught.value.hint == (
        "--calib DIR with .npy or .npz files: samples along the first axis; or a function that"
        f" reads files: --calib '{pictures}?read=module:function'"
    )
    np.save(pictures / "c.npy", sounds(1))
    with pytest.raises(DataError, match=r"has arrays \(c.npy\) beside images \(a.png\)"):
        open_samples(pictures, model=RGB, role="calibration")


def test_arrays_in_memory() -> None:
    found = in_memory(sounds(3), "samples", labels=[2, 0, 1])
    assert (len(found), found.labels, found.name) == (3, (2, 0, 1), "samples")
    np.testing.assert_array_equal(load(found, AUDIO, [1]), sounds(3)[1:2])


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((3, 16, 2)), "samples are along the first axis: ARRAY.shape is (N, 2, 16)"),
        (np.zeros((0, 2, 16)), "there is no sample in it: save some"),
        (np.full((3, 2, 16), "a"), "ARRAY.astype('float32') before it is saved"),
    ],
)
def test_hints_say_what_an_array_is_to_be(tmp_path: Path, array: np.ndarray, hint: str):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError) as e:
        open_samples(tmp_path / "x.npy", model=AUDIO, role="calibration")
    assert e.value.hint == hint


def test_samples_that_hold_nan_are_named(tmp_path: Path):
    array = np.zeros((30, 2, 16))
    array[3:10, 1, 5] = np.nan
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=r"NaN in 7 of 30 samples, from 0: 3, 4, 5, 6, 7, \.\.\."):
        open_samples(tmp_path / "x.npy", model=AUDIO, role="calibration")


def test_floats_for_an_engine_of_bytes_are_refused_by_what_it_takes(tmp_path: Path) -> None:
    """To save them as uint8, as of other whole numbers, would cut them to 0 and 1."""
    spec = engine_spec(RGB, InputForm(dtype="uint8", layout="NHWC", colour="RGB"))
    sizes = (RGB.height, RGB.width, 3)
    for shape in (sizes, (3, *sizes[:2])):
        np.save(tmp_path / "x.npy", np.full((2, *shape), 0.5, np.float32))
        with pytest.raises(DataError) as caught:
            open_samples(tmp_path, model=spec, role="evaluation")
        wanted = " x ".join(map(str, sizes))
        assert f"the engine takes uint8 samples x {wanted}: pixels as they are" in (
            caught.value.message
        )
        assert caught.value.hint is not None and "--input float" in caught.value.hint
    np.save(tmp_path / "x.npy", np.full((2, *sizes), 7, np.uint8))
    assert load(open_samples(tmp_path, model=spec, role="evaluation"), spec).dtype == np.uint8
