"""Which of the network's classes a category of a COCO file is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edge_scnet.data.labels import NO_LABELS, comparable
from edge_scnet.data.reading import Reading
from edge_scnet.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A category of a COCO file."""

    id: int
    name: str
    # names of the points of its objects
    keypoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The class index of each category, by id."""

    index: Mapping[int, int]
    # how they were found, in words
    rule: str
    # what indices mean; empty: not told by index
    names: tuple[str, ...]


def mapped(
    categories: Sequence[Category],
    used: Collection[int],
    reading: Reading,
    *,
    background: bool = False,
) -> Mapped:
    """The classes of categories: as said, or by the first rule that fits.

    All names are class names of the model; where its classes have no names: as many categories as
    classes, in the order of their ids; ids that are class indices (torchvision's detectors). Where
    the number of classes is not known: in the order of their ids.

    Args:
        used: ids of the categories that objects have; others need no class.
        background: pixels of no category are a class too, the first.

    Raises:
        DataError: they do not fit the model.
    """
    wanted = sorted((item for item in categories if item.id in used), key=lambda item: item.id)
    said, count = reading.setting("classes"), reading.class_count
    index = {comparable(name): i for i, name in enumerate(reading.class_names)}
    unknown = [item.name for item in wanted if comparable(item.name) not in index]
    if said == "names" or (said is None and index):
        if unknown:
            raise _misfit(unknown, categories, reading)
        return Mapped(
            index={item.id: index[comparable(item.name)] for item in wanted},
            rule="categories are classes by name",
            names=reading.class_names,
        )
    first = 1 if background and count != len(categories) else 0
    fits_order = not count or count == len(categories) + first
    fits_ids = all(0 <= item.id < count for item in wanted) if count else True
    if said == "ids" or (said is None and not fits_order and fits_ids):
        if not fits_ids:
            raise _misfit([f"id {item.id}" for item in wanted if item.id >= count], wanted, reading)
        return Mapped(
            index={item.id: item.id for item in wanted},
            rule="category ids are class indices",
            names=reading.class_names,
        )
    if said == "order" and count and len(categories) + first > count:
        raise _misfit([item.name for item in categories[count - first :]], categories, reading)
    if said is None and not fits_order:
        raise _misfit([item.name for item in wanted], categories, reading)
    ordered = sorted(categories, key=lambda item: item.id)
    names = tuple(item.name for item in ordered)
    return Mapped(
        index={item.id: i + first for i, item in enumerate(ordered)},
        rule="categories in the order of their ids are the classes"
        + (", behind the background" if first else ""),
        names=("background", *names) if first else names,
    )


def _misfit(strange: Sequence[str], categories: Sequence[Category], reading: Reading) -> DataError:
    names, count = reading.class_names, reading.class_count
    model = reading.model.name if reading.model is not None else "the model"
    allowed = (
        ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        if names
        else f"0 to {count - 1}"
    )
    shown = ", ".join(map(repr, strange[:5])) + (", ..." if len(strange) > 5 else "")
    said = reading.setting("classes")
    ways = [
        way
        for way, fits in (
            ("order", len(categories) == count),
            ("ids", all(0 <= item.id < count for item in categories)),
        )
        if fits and way != said
    ]
    other = (
        f"or say how categories are classes: {reading.with_setting('classes', ways[0])}; "
        if ways
        else ""
    )
    return DataError(
        f"{reading.path} has {len(categories)} categories and {model} has {count} classes;"
        f" {shown} {'is' if len(strange) == 1 else 'are'} none of them: {allowed}",
        hint=(f"name the classes in the model's order: --class-names FILE; {other}or {NO_LABELS}"),
    )
