"""`data.yaml`: the parts of a set with YOLO's labels, and the names of its classes.

The format: docs.ultralytics.com/datasets. Nothing is downloaded, and scalars are taken as they are
written: a class may be called `no` or `010`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_scnet.core.optional import require
from edge_scnet.core.source import PARTS
from edge_scnet.data.reading import Reading
from edge_scnet.data.tables import read_text
from edge_scnet.errors import DataError

SUFFIXES = (".yaml", ".yml")
_MOST_CHARACTERS = 1_000_000
_SPLITS = {"calibration": "train", "evaluation": "val"}
# other names of a part
_ALSO = {"val": ("validation",)}
_NULL = "tag:yaml.org,2002:null"
_USE = "data.yaml has train, val, maybe test and path, and names; docs.ultralytics.com/datasets"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataYaml:
    """What such a file says."""

    where: Path
    # by part, folders or lists as they are written
    parts: Mapping[str, tuple[str, ...]]
    # what the parts are relative to, as it is written; None: the file's own folder
    root: str | None
    # of classes, by index; empty: they have none
    names: tuple[str, ...]
    # of classes
    count: int
    # points of an object, and numbers of a point: 2 or 3; None: there are no points
    points: tuple[int, int] | None


def read_data_yaml(path: Path) -> DataYaml:
    """Reads the file.

    Raises:
        DataError: it is no YAML, lacks a key, or a key has a value that it cannot have.
        MissingRuntimeError: PyYAML is not installed.
    """
    keys = _keys(path)
    parts = {}
    for part in PARTS:
        known = (part, *_ALSO.get(part, ()))
        node = next((keys[name] for name in known if name in keys), None)
        if node is not None:
            parts[part] = _paths(part, node, path)
    if not parts:
        found = ", ".join(keys) or "nothing"
        raise DataError(f"{path} has none of {', '.join(PARTS)}; it has {found}", hint=_USE)
    names, count = _names(keys, path)
    root = keys.get("path")
    return DataYaml(
        where=path,
        parts=parts,
        root=None if root is None else _text(root, "path", path),
        names=names,
        count=count,
        points=_points(keys["kpt_shape"], path) if "kpt_shape" in keys else None,
    )


def class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes alone.

    Raises:
        DataError, MissingRuntimeError: as `read_data_yaml`; or it has none.
    """
    names, count = _names(_keys(path), path)
    if not names:
        raise DataError(f"{path} has no names of its {count} classes", hint=_USE)
    return names


def part_of(content: DataYaml, reading: Reading) -> tuple[str, tuple[Path, ...]]:
    """The part that is meant, and its folders or lists.

    It is `train` for calibration and `val` for evaluation, or what `split` says. Paths are from
    `path`, which is from the file's own folder; or from the one above, from `datasets` beside that,
    or from the working folder, where Ultralytics may look. The setting `images` stands in its
    place.

    Raises:
        DataError: there is no such part, or one of its paths does not exist; says what was tried.
    """
    part = reading.setting("split") or _SPLITS[reading.role]
    if part not in content.parts:
        ways = " or ".join(reading.with_setting("split", name) for name in content.parts)
        raise DataError(
            f"{content.where} has no {part}; it has {', '.join(content.parts)}",
            hint=f"take another part: {ways}",
        )
    roots = _roots(content, reading)
    return part, tuple(_found(name, part, roots, content, reading) for name in content.parts[part])


def plain(path: Path) -> Path:
    """A path without "..", links kept: labels are found by the names of folders."""
    return Path(os.path.normpath(path))


def _roots(content: DataYaml, reading: Reading) -> tuple[Path, ...]:
    """Where parts may be, the likeliest first."""
    if (said := reading.folder("images")) is not None:
        return (said,)
    beside = content.where.parent
    if content.root is None:
        return (beside,)
    root = Path(content.root)
    if root.is_absolute():
        return (root,)
    own = (beside,) if beside.resolve().name == root.name else ()
    return (beside / root, *own, beside / ".." / root, beside / ".." / "datasets" / root, root)


def _found(
    name: str, part: str, roots: Sequence[Path], content: DataYaml, reading: Reading
) -> Path:
    """A part's folder or list.

    Raises:
        DataError: says what was tried.
    """
    tried = [plain(root / name) for root in roots]
    if name.startswith("../"):
        # what Roboflow writes of folders beside the file
        tried += [plain(root / name.removeprefix("../")) for root in roots]
    for path in tried:
        if path.exists():
            return path
    far = "; nothing is downloaded" if "://" in name or "://" in (content.root or "") else ""
    shown = "".join(f"\n  {path}" for path in dict.fromkeys(tried))
    raise DataError(
        f"{content.where}: {part} is {name}, which does not exist{far}; tried:{shown}",
        hint=f"say what its paths are from: {reading.with_setting('images', 'DIR')}",
    )


def _keys(path: Path) -> dict[str, Any]:
    """The nodes of the file's keys, without those that are null.

    Raises:
        DataError: it is no YAML, or no mapping, or has a key twice.
    """
    yaml = require("yaml", extra="detection")
    text = read_text(path)
    if len(text) > _MOST_CHARACTERS:
        raise DataError(f"{path} has {len(text):,} characters and is no data.yaml", hint=_USE)
    try:
        # the loader in Python: the one in C has no end of nesting but the stack's
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        problem = problem.splitlines()[0]
        raise DataError(
            f"{path}{line} is not YAML: {problem}",
            hint=f"sed -n {mark.line + 1}p {path}" if mark is not None else _USE,
        ) from error
    if not hasattr(root, "value") or root.id != "mapping":
        raise DataError(f"{path} has no keys, and is no data.yaml", hint=_USE)
    keys: dict[str, Any] = {}
    for key, node in root.value:
        name = key.value if key.id == "scalar" else ""
        if name in keys:
            raise DataError(
                f"{path}, line {_line(key)}: {name} is there twice", hint="leave one out"
            )
        keys[name] = node
    return {name: node for name, node in keys.items() if node.tag != _NULL}


def _names(keys: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...], int]:
    """The names of the classes, if there are any, and how many they are.

    Raises:
        DataError: neither is told, or they do not fit.
    """
    count = _whole(keys["nc"], "nc", path) if "nc" in keys else None
    if "names" not in keys:
        if count is None:
            raise DataError(
                f"{path} has neither names nor nc: its classes are not told; it has"
                f" {', '.join(keys)}",
                hint=_USE,
            )
        return (), count
    node = keys["names"]
    if node.id == "sequence":
        names = tuple(_text(item, "a name", path) for item in node.value)
    elif node.id == "mapping":
        names = _by_index(node, path)
    else:
        raise _wrong(node, "names", "a list, or 0: NAME, 1: NAME and so on", path)
    if count is not None and count != len(names):
        raise DataError(
            f"{path}: nc is {count}, and names has {len(names)}",
            hint=f"correct one: nc: {len(names)}",
        )
    if not names:
        raise DataError(f"{path}: names is empty", hint=_USE)
    return names, len(names)


def _by_index(node: Any, path: Path) -> tuple[str, ...]:
    """Names by index.

    Raises:
        DataError: indices are not 0, 1, 2 and so on.
    """
    by_index: dict[int, str] = {}
    for key, value in node.value:
        index = _whole(key, "an index of names", path)
        if index in by_index:
            raise DataError(
                f"{path}, line {_line(key)}: names has {index} twice", hint="leave one out"
            )
        by_index[index] = _text(value, f"names, {index}", path)
    missing = next((i for i in range(len(by_index)) if i not in by_index), None)
    if missing is not None:
        raise DataError(
            f"{path}: names has {len(by_index)} classes and no {missing}; indices are from 0 on,"
            " without gaps",
            hint=f"add it: {missing}: NAME",
        )
    return tuple(by_index[i] for i in range(len(by_index)))


def _paths(part: str, node: Any, path: Path) -> tuple[str, ...]:
    items = node.value if node.id == "sequence" else [node]
    if not items or any(item.id != "scalar" for item in items):
        raise _wrong(node, part, "a folder, a list of images (.txt), or several in [ ]", path)
    return tuple(_text(item, part, path) for item in items)


def _points(node: Any, path: Path) -> tuple[int, int]:
    words = "[points, 2 or 3], as [17, 3]"
    if node.id != "sequence" or len(node.value) != 2:
        raise _wrong(node, "kpt_shape", words, path)
    points, numbers = (_whole(item, "kpt_shape", path) for item in node.value)
    if not points or numbers not in (2, 3):
        raise _wrong(node, "kpt_shape", words, path)
    return points, numbers


def _whole(node: Any, name: str, path: Path) -> int:
    text = node.value if node.id == "scalar" else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise _wrong(node, name, "a whole number from 0", path)
    return int(text)


def _text(node: Any, name: str, path: Path) -> str:
    if node.id != "scalar" or not node.value.strip() or "\0" in node.value:
        raise _wrong(node, name, "a text", path)
    text: str = node.value
    return text


def _wrong(node: Any, name: str, wanted: str, path: Path) -> DataError:
    found = {
        "scalar": lambda: repr(node.value[:60]),
        "sequence": lambda: f"a list of {len(node.value)}",
        "mapping": lambda: f"a mapping of {len(node.value)} keys",
    }[node.id]()
    return DataError(
        f"{path}, line {_line(node)}: {name} is {found}; {wanted} is needed",
        hint=f"sed -n {_line(node)}p {path}",
    )


def _line(node: Any) -> int:
    line: int = node.start_mark.line
    return line + 1
