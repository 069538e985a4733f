"""What a bundle carries for a search on the board."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.compile import search_part
from edge_scnet.compile.search_part import CALIBRATION, SEARCH, SearchOnBoard
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.data.batches import load as load_samples
from edge_scnet.data.samples import SampleSet, in_memory
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.models import zoo

CLASSES = SearchOnBoard(task=TaskSpec(kind="classification"), max_drop_pp=0.5)
SPEC = replace(zoo.MODELS[zoo.DEFAULT_MODEL], input_shape=(1, 5, 4))


def pictures(count: int = 130) -> SampleSet:
    """As of an idx file: all 256 codes occur, but not all in the first 64 pictures."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 5, 4)).astype(np.uint8)
    pixels[:64] //= 2
    labels = tuple(int(label) for label in rng.integers(0, 10, count))
    hashes = tuple(f"{i:064x}" for i in range(count))
    return replace(
        in_memory(np.zeros((count, 1, 5, 4), np.float32), "set", labels),
        arrays=None,
        pixels=pixels,
        kind="idx",
        content_hashes=hashes,
    )


def written(
    folder: Path, samples: SampleSet, spec: ModelSpec = SPEC, search: SearchOnBoard = CLASSES
) -> Path:
    for name, data in search_part.to_files(search, samples, spec).items():
        (folder / name).write_bytes(data)
    return folder


def test_pictures_travel_as_bytes_and_come_out_to_the_bit(tmp_path: Path) -> None:
    samples = pictures()
    search, found = search_part.load(written(tmp_path, samples), SPEC)
    assert search == CLASSES
    assert found.labels == samples.labels and found.content_hashes == samples.content_hashes
    assert found.entries == samples.entries and found.hash == samples.hash
    wanted = load_samples(samples, SPEC)
    assert wanted.dtype == np.float32 and len(np.unique(wanted)) == 256
    assert np.array_equal(load_samples(found, SPEC), wanted)
    with np.load(tmp_path / CALIBRATION) as arrays:
        assert arrays["codes"].dtype == np.uint8 and "samples" not in arrays


@pytest.mark.parametrize("shape", [(1, 5, 4), (20,)])
def test_samples_of_more_values_than_a_byte_has_stay_float32(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    batch = np.random.default_rng(1).standard_normal((70, *shape)).astype(np.float32)
    spec = replace(SPEC, input_shape=shape)
    found = search_part.load(written(tmp_path, in_memory(batch, "set"), spec), spec)[1]
    assert found.labels is None and np.array_equal(load_samples(found, spec), batch)


def test_samples_of_several_inputs_keep_their_fields(tmp_path: Path) -> None:
    batch = np.zeros(3, dtype=[("a", np.float32, (2,)), ("b", np.int64, (1,))])
    batch["a"] = [[1, 2], [3, 4], [5, 6]]
    spec = replace(SPEC, input_shape=(2,), input_name="a")
    found = search_part.load(written(tmp_path, in_memory(batch, "set"), spec), spec)[1]
    assert np.array_equal(load_samples(found, spec), batch)


def changed(folder: Path, **fields: Any) -> None:
    record = json.loads((folder / SEARCH).read_text())
    (folder / SEARCH).write_text(json.dumps(record | fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task": {"kind": "os:system", "arguments": {}}}, "judged by 'os:system'"),
        (
            {"task": {"kind": "detection", "arguments": {"decode": "evil.code:run"}}},
            "judged by 'evil.code:run'",
        ),
        ({"entries": ["a"]}, "has 1 entries for 130 samples"),
        ({"labels": [0] * 130}, "sha256 in search.json is not"),
        ({"labels": "none"}, "search needs cannot be read"),
        ({"max_drop_pp": None}, "max_drop_pp"),
    ],
)
def test_a_part_that_is_not_ours_is_refused_and_nothing_of_it_is_imported(
    fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    changed(written(tmp_path, pictures()), **fields)
    with pytest.raises(ArtifactError) as caught:
        search_part.load(tmp_path, SPEC)
    assert words in caught.value.message and "--search-on-board" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"samples": np.zeros((130, 1, 5, 5), np.float32)},
        {"samples": np.zeros((130, 1, 5, 4), np.float64)},
        {"codes": np.zeros((130, 1, 5, 4), np.uint8), "values": np.zeros((1, 9), np.float32)},
        {"codes": np.zeros((130, 1, 5, 4), np.int32), "values": np.zeros((1, 256), np.float32)},
    ],
)
def test_samples_that_do_not_fit_the_model_are_refused(
    arrays: dict[str, Any], tmp_path: Path
) -> None:
    np.savez(written(tmp_path, pictures()) / CALIBRATION, **arrays)
    with pytest.raises(ArtifactError, match="search needs cannot be read"):
        search_part.load(tmp_path, SPEC)


def test_samples_that_are_too_many_for_a_bundle_are_refused_before_they_are_read() -> None:
    spec = replace(SPEC, input_shape=(3, 1024, 1024))
    samples = pictures(400)
    with pytest.raises(DataError, match=r"400 calibration samples take 1\.2 GiB") as caught:
        search_part.check_size(samples, spec)
    assert "quant.samples = 341" in (caught.value.hint or "")
    search_part.check_size(pictures(341), spec)
    # of rows of numbers each value takes four bytes
    with pytest.raises(DataError, match="take"):
        search_part.check_size(pictures(341), replace(spec, input_shape=(3 * 1024 * 1024,)))
