"""Changes of whole files by a seeded generator: values of JSON, bytes, members of archives."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

_CONTROL = "\x1b]0;t\x07\x9b"
TEXTS = (
    "",
    " ",
    "x" * 5000,
    "\0",
    "../x",
    "/etc/passwd",
    f"a\n::error file=y::x{_CONTROL}",
    "[bold]x[/bold]",
    "\ud800",
    "\u202e",
    "１２",
    "nan",
    "1e999",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    10**17,
    10**25,
    -(10**17),
    0.5,
    1e-320,
    1e308,
    -1e308,
    [],
    [[]],
    {},
    {"a": 1},
    [None],
    ["x", 1],
    *TEXTS,
)


def _place(value: Any, rng: random.Random) -> tuple[Any, ...]:
    """The path of some value in JSON's: each level's as likely, whatever long rows there are."""
    path: tuple[Any, ...] = ()
    while isinstance(value, dict | list) and value and (not path or rng.random() < 0.75):
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        path, value = (*path, key), value[key]
    return path


def changed_values(content: Any, rng: random.Random) -> Any:
    """The same with up to three values or keys changed."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = _place(content, rng)
        if not path:
            if rng.random() < 0.05:
                return rng.choice(_VALUES)
            continue
        outer = content
        for key in path[:-1]:
            outer = outer[key]
        _change(outer, path[-1], rng)
    return content


def _change(outer: Any, key: Any, rng: random.Random) -> None:
    """Changes one value of a dict or a list, or its key."""
    way, value = rng.random(), outer[key]
    if way < 0.2:
        del outer[key]
    elif way < 0.3 and isinstance(outer, dict):
        outer[rng.choice(TEXTS)] = outer.pop(key)
    elif way < 0.4 and isinstance(outer, list):
        outer += [copy.deepcopy(value)] * rng.choice((1, 50))
    elif way < 0.5 and isinstance(value, int | float):
        outer[key] = value * rng.choice((-1, 0, 1e6, 1e-6))
    elif way < 0.6:
        for _ in range(rng.choice((3, 40, 70, 250))):
            value = [value]
        outer[key] = value
    else:
        outer[key] = rng.choice(_VALUES)


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """The same bytes, cut, flipped, doubled or with others between them."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        way = rng.randrange(6)
        if way == 0:
            del data[at:]
        elif way == 1 and data:
            data[min(at, len(data) - 1)] = rng.randrange(256)
        elif way == 2:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
        elif way == 3:
            del data[at : at + rng.choice((1, 4, 64))]
        elif way == 4:
            data[at:at] = data[at : at + 200] * rng.choice((1, 20))
        else:
            data[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"9" * 50))
    return bytes(data)


def changed_json(content: Any, rng: random.Random) -> bytes:
    """JSON of changed values, or changed itself."""
    way = rng.random()
    if way < 0.75:
        text = json.dumps(changed_values(content, rng))
        if way < 0.05:
            text = text.replace("1", "9" * 5000, 1)
        return text.encode()
    if way < 0.78:
        return rng.choice((b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"null", b"NaN"))
    return changed_bytes(json.dumps(content).encode(), rng)


def packed(path: Path, members: dict[str, bytes], rng: random.Random, folder: str) -> Path:
    """A tar.gz of files, with members that none should have now and then, and damaged bytes."""
    buffer = io.BytesIO()
    form = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{folder}{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if rng.random() < 0.2:
            info = tarfile.TarInfo(rng.choice((f"{folder}a.log", "../../evil", "/tmp/evil", "a/b")))
            kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
            info.type, info.linkname = rng.choice((tarfile.CHRTYPE, *kinds)), "../../evil"
            archive.addfile(info)
    raw = buffer.getvalue()
    if rng.random() < 0.2:
        raw = changed_bytes(raw, rng)
    data = gzip.compress(raw, 1)
    path.write_bytes(changed_bytes(data, rng) if rng.random() < 0.1 else data)
    return path
