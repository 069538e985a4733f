"""Labels of class folders: which of the model's outputs the images of a folder belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

Role = Literal["calibration", "evaluation"]

SORTED_RULE = "folders in sorted order are the classes"
NO_LABELS = "evaluate without labels: --ignore-labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Class indices, of folders or of samples, and where they come from."""

    indices: tuple[int, ...]
    # how they were found, in words
    rule: str
    # what they index; None: nobody named the classes
    names: tuple[str, ...] | None


def known_classes(model: ModelSpec | None) -> tuple[tuple[str, ...], int]:
    """The names of a model's classes, if any, and their number, 0 where it is not known."""
    if model is None:
        return (), 0
    return model.classes, len(model.classes) or model.num_classes or 0


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
    index = {_comparable(name): i for i, name in enumerate(names)}
    wanted = [_comparable(name) for name in folders]
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


def _misfit(root: Path, folders: list[str], model: ModelSpec, count: int) -> DataError:
    names = model.classes
    index = {_comparable(name) for name in names}
    strange = next((name for name in folders if _comparable(name) not in index), folders[0])
    allowed = (
        ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        if names
        else f"0 to {count - 1}"
    )
    return DataError(
        f"{root} has {len(folders)} class folders and {model.name} has {count} classes; the folder"
        f" {strange!r} is not one of them: {allowed}",
        hint=(
            f"name the folders after the classes, or by index from 0 to {count - 1}; or is it"
            f" --num-classes {len(folders)}? or {NO_LABELS}"
        ),
    )


def _comparable(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold())
