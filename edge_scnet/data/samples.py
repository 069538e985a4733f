"""The one door to samples: whatever a source is, it comes out as a `SampleSet`.

What a name means is decided here; each kind of source has a module of its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.foreign import exists
from edge_scnet.core.resources import bundled
from edge_scnet.core.source import COLUMNS, LISTS, SETTINGS, parse_source
from edge_scnet.data import coco, data_yaml, listed, mask_folders, yolo
from edge_scnet.data.array_files import arrays_among, open_array_files
from edge_scnet.data.folders import open_folder
from edge_scnet.data.held import open_code
from edge_scnet.data.idx import is_idx_images
from edge_scnet.data.idx_set import open_idx
from edge_scnet.data.image_list import SKIP_BAD
from edge_scnet.data.labels import Role
from edge_scnet.data.listing import contents
from edge_scnet.data.read_by import open_read
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import (
    SampleSet,
    chosen,
    in_memory,
    spread,
    subset,
    unlabelled,
    without_copies,
)
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

__all__ = [
    "FEW_CALIBRATION",
    "MIN_CALIBRATION",
    "SKIP_BAD",
    "SampleSet",
    "bundled_sets",
    "chosen",
    "in_memory",
    "open_samples",
    "spread",
    "subset",
    "unlabelled",
    "without_copies",
]

MIN_CALIBRATION, FEW_CALIBRATION = 100, 300


def open_samples(
    source: Path | str,
    *,
    model: ModelSpec | None,
    role: Role,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    limit: int | None = None,
) -> SampleSet:
    """Lists the samples of a source.

    It is a folder of images (no labels), of class folders of images, of `images` and `masks`, of
    `images` and YOLO's `labels`, of one pair of idx files, or of .npy or .npz files; a .csv, .jsonl
    or .txt list; a COCO .json; a data.yaml; or a function package.module:samples. What
    `core.source` describes may stand behind its name. Hidden files (macOS writes `._x.jpg`) and
    other suffixes are no samples; class folders are searched to any depth. Every image's header is
    read here, its pixels later: `load_pixels` refuses a file that is cut short, by name.

    Args:
        source: its name.
        model: whose classes the labels are (`labels.folder_labels`); None: unknown.
        skip_bad: decodes every image once here, and leaves out and counts those that cannot be, so
            that all engines see the same list.
        ignore_labels: leaves labels and all other ground truth out.
        limit: takes that many, evenly spaced over the sorted list: of sorted classes the first N
            would be one class.

    Raises:
        DataError: no such source, nothing usable in it, labels that do not fit the model, an
            unreadable image or file.
    """
    if limit is not None and limit < 1:
        raise DataError(
            f"a limit of {limit} leaves no sample; at least 1",
            hint="leave it out to take all samples",
        )
    reading = Reading(
        source=parse_source(source),
        role=role,
        model=model,
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
        limit=limit,
    )
    if reading.setting("duplicates") != "drop":
        return _open(reading)
    # copies are found first, so that as many are left as there can be
    return _within(without_copies(_open(replace(reading, limit=None))), limit)


def _within(samples: SampleSet, limit: int | None) -> SampleSet:
    picked = spread(len(samples), limit)
    return samples if len(picked) == len(samples) else chosen(samples, picked)


def _open(reading: Reading) -> SampleSet:
    path, model = reading.path, reading.model
    use = (
        f"{reading.option} DATA: a folder of images, of class folders of images, of one pair of idx"
        " files, or of .npy or .npz files; a .csv, .jsonl or .txt list; a COCO .json; a YOLO .yaml;"
        " package.module:samples"
    )
    if reading.source.is_code:
        if model is None:
            raise DataError(f"{reading.source.where}: samples of a function need a model", hint=use)
        return open_code(reading, model)
    if not exists(path):
        kind = "file" if path.suffix else "folder"
        raise DataError(f"the {reading.role} {kind} {path} does not exist", hint=use)
    if model is not None and reading.setting("read"):
        _check_settings(reading, *COLUMNS, "read", "images", "masks", "foreground")
        return open_read(reading, model)
    if path.suffix.lower() in LISTS and path.is_file():
        _check_takes_pictures(reading)
        _check_settings(reading, *COLUMNS, "images", "masks", "foreground")
        return listed.open_table(reading)
    if path.suffix.lower() == ".json" and path.is_file():
        _check_takes_pictures(reading)
        _check_settings(reading, "images", "as", "classes")
        return coco.open_coco(reading)
    if path.suffix.lower() in data_yaml.SUFFIXES and path.is_file():
        _check_takes_pictures(reading)
        _check_settings(reading, "split", "images", "as", "classes", "lines")
        return yolo.open_data_yaml(reading)
    return _open_folder(reading, use)


def _open_folder(reading: Reading, use: str) -> SampleSet:
    """The set of a folder, or of one file of arrays."""
    path = reading.path
    files, folders = contents(path, reading.role, use)
    if reading.model is not None:
        if of_arrays := arrays_among(path, files, use):
            _check_settings(reading)
            return open_array_files(reading, of_arrays, reading.model)
        _check_takes_pictures(reading)
    if any(is_idx_images(file) for file in files):
        _check_settings(reading)
        return open_idx(reading, files)
    if mask_folders.has_masks(reading, folders):
        _check_settings(reading, "images", "masks", "foreground")
        return mask_folders.open_mask_folders(reading)
    if (pair := yolo.label_folder(reading)) is not None:
        _check_settings(reading, "as", "classes", "lines")
        return yolo.open_yolo(reading, *pair)
    _check_settings(reading)
    return open_folder(reading, use)


def _check_settings(reading: Reading, *allowed: str) -> None:
    """Refuses settings that such a source has no use for.

    Raises:
        DataError: names the first of them.
    """
    for name in reading.source.settings:
        if name not in (*allowed, "duplicates"):
            kinds = ", ".join((*allowed, "duplicates"))
            raise DataError(
                f"{reading.path} has no use for {name} ({SETTINGS[name]})",
                hint=f"for such a source there is {kinds}: leave {name} out",
            )


def _check_takes_pictures(reading: Reading) -> None:
    """Refuses pictures for a model that they cannot feed.

    Raises:
        DataError: says what it takes.
    """
    model = reading.model
    if model is None or model.takes_pictures:
        return
    more = f" and {len(model.more_inputs)} more inputs" if model.more_inputs else ""
    raise DataError(
        f"{model.name} takes {' x '.join(map(str, model.input_shape))}{more}, which pictures in"
        f" {reading.path} cannot fill",
        hint=(
            f"{reading.option} DIR with .npy or .npz files: samples along the first axis; or a"
            f" function that reads files: {reading.with_setting('read', 'module:function')}"
        ),
    )


def bundled_sets(dataset: str) -> tuple[Path, Path]:
    """The (calibration, evaluation) folders of a data set that ships with the package.

    Raises:
        DataError: no such set.
    """
    folder = bundled("calib_data") / dataset
    if not (dataset and (folder / "calib").is_dir() and (folder / "eval").is_dir()):
        names = ", ".join(sorted(f.parent.name for f in bundled("calib_data").glob("*/calib")))
        hint = "bring your own: edge-scnet build --calib DIR --eval DIR"
        raise DataError(
            f"no data set {dataset!r} ships with edge-scnet; there is {names}", hint=hint
        )
    return folder / "calib", folder / "eval"
