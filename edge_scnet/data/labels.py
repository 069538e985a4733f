"""Labels of class folders and of lists: which of the model's outputs a sample belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

Role = Literal["calibration", "evaluation"]

SORTED_RULE = "folders in sorted order are the classes"
LISTED_RULE = "labels in sorted order are the classes"
# tasks whose outputs are no classes
_NO_CLASSES = ("embedding", "regression", "keypoints", "features")
NO_LABELS = "evaluate without labels: --ignore-labels"
# pandas writes whole numbers as 1.0 where a column has gaps
_INDEX = re.compile(r"(\d{1,18})(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Class indices, of folders or of samples, and where they come from."""

    indices: tuple[int, ...]
    # how they were found, in words
    rule: str
    # what they index; None: nobody named the classes
    names: tuple[str, ...] | None


def known_classes(model: ModelSpec | None) -> tuple[tuple[str, ...], int]:
    """The names of a model's classes, if any, and their number, 0 where it is not known.

    An output of one column has two classes. The columns of embeddings, values and points are none.
    """
    if model is None:
        return (), 0
    if model.task is not None and model.task.kind in _NO_CLASSES:
        return model.classes, len(model.classes)
    count = len(model.classes) or model.num_classes or 0
    return model.classes, 2 if count == 1 else count


def folder_labels(root: Path, folders: list[str], *, model: ModelSpec | None, role: Role) -> Labels:
    """The class index of each folder below `root`, by the first rule that fits.

    Folder names are class names (case and punctuation aside: no folder can be called
    `T-shirt/top`), some or all of them; folder names are class indices; as many folders as classes,
    in sorted order (torchvision's ImageFolder). Where even the number of classes is unknown:
    indices, else sorted order; the caller then holds the labels to the number of outputs. For
    calibration labels only tell which classes are covered, and any folders will do.

    Raises:
        DataError: the folders of an evaluation set do not fit the model.
    """
    names, count = known_classes(model)
    index = {comparable(name): i for i, name in enumerate(names)}
    wanted = [comparable(name) for name in folders]
    if len(index) == len(names) and len(set(wanted)) == len(wanted) and set(wanted) <= set(index):
        return Labels(
            indices=tuple(index[name] for name in wanted),
            rule="folder names are class names",
            names=names,
        )
    if all(name.isascii() and name.isdecimal() for name in folders):
        numbers = tuple(int(name) for name in folders)
        if not count or max(numbers) < count:
            return Labels(
                indices=numbers, rule="folder names are class indices", names=names or None
            )
    in_order = tuple(range(len(folders)))
    if not count or len(folders) == count:
        return Labels(indices=in_order, rule=SORTED_RULE, names=names or tuple(folders))
    if role == "calibration":
        return Labels(indices=in_order, rule="folder names", names=tuple(folders))
    assert model is not None
    raise _misfit(root, folders, model, count)


def listed_labels(
    where: str, values: Sequence[str], *, model: ModelSpec | None, role: Role
) -> Labels:
    """The class index of each label of a list, by the first rule that fits.

    Labels are class names (case and punctuation aside); they are class indices, `1.0` being 1;
    where the model's classes have no names, as many labels as classes, in sorted order, numbers
    aside. For calibration labels only tell which classes are covered, and any will do.

    Args:
        where: the list and its column, for messages.
        values: by sample.

    Raises:
        DataError: the labels of an evaluation set do not fit the model.
    """
    names, count = known_classes(model)
    index = {comparable(name): i for i, name in enumerate(names)}
    distinct = sorted(set(values))
    if len(index) == len(names) and {comparable(value) for value in distinct} <= set(index):
        return Labels(
            indices=tuple(index[comparable(value)] for value in values),
            rule="labels are class names",
            names=names,
        )
    whole = [_INDEX.fullmatch(value) for value in values]
    if all(whole):
        numbers = tuple(int(match[1]) for match in whole if match)
        if not count or max(numbers) < count:
            return Labels(indices=numbers, rule="labels are class indices", names=names or None)
        if role == "evaluation":
            raise _out_of_range(where, numbers, count)
    elif role == "evaluation" and all(map(_NUMBER.fullmatch, distinct)):
        raise _no_index(where, values)
    order = {value: i for i, value in enumerate(distinct)}
    in_order = tuple(order[value] for value in values)
    if not names and (not count or len(distinct) == count):
        return Labels(indices=in_order, rule=LISTED_RULE, names=tuple(distinct))
    if role == "calibration":
        return Labels(indices=in_order, rule="labels", names=tuple(distinct))
    assert model is not None
    strange = next((value for value in distinct if comparable(value) not in index), distinct[0])
    raise DataError(
        f"{where} has {len(distinct)} different labels and {model.name} has {count} classes; the"
        f" label {strange!r} is not one of them: {_allowed(names, count)}",
        hint=(
            "name the classes in the model's order: --class-names FILE; or is it another column:"
            f" --columns label=NAME; or {NO_LABELS}"
        ),
    )


def _no_index(where: str, values: Sequence[str]) -> DataError:
    i = next(i for i, value in enumerate(values) if not _INDEX.fullmatch(value))
    return DataError(
        f"{where} has numbers that are no class index: {values[i]} of sample {i + 1}; whole numbers"
        " from 0, or names, are needed",
        hint=f"are they values to predict? --columns values=NAME; or {NO_LABELS}",
    )


def _out_of_range(where: str, numbers: Sequence[int], count: int) -> DataError:
    wrong = [i for i, number in enumerate(numbers) if number >= count]
    from_one = min(numbers) == 1 and max(numbers) == count
    return DataError(
        f"{where} has labels from {min(numbers)} to {max(numbers)}; the model has {count} classes,"
        f" from 0 to {count - 1}: {len(wrong)} of {len(numbers)} are out of range, the first is"
        f" that of sample {wrong[0] + 1}",
        hint=(
            "they count from 1: subtract 1 from each label"
            if from_one
            else f"is it --num-classes {max(numbers) + 1}? or {NO_LABELS}"
        ),
    )


def _allowed(names: Sequence[str], count: int) -> str:
    if not names:
        return f"0 to {count - 1}"
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _misfit(root: Path, folders: list[str], model: ModelSpec, count: int) -> DataError:
    names = model.classes
    index = {comparable(name) for name in names}
    strange = next((name for name in folders if comparable(name) not in index), folders[0])
    return DataError(
        f"{root} has {len(folders)} class folders and {model.name} has {count} classes; the folder"
        f" {strange!r} is not one of them: {_allowed(names, count)}",
        hint=(
            f"name the folders after the classes, or by index from 0 to {count - 1}; or is it"
            f" --num-classes {len(folders)}? or {NO_LABELS}"
        ),
    )


def comparable(name: str) -> str:
    """A name without what file systems and people write differently."""
    return re.sub(r"[\W_]+", "_", name.casefold())
