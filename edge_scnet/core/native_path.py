"""Paths for libraries that take UTF-8 alone."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[str]:
    """Yields a path that is UTF-8: the file's own, or one through a link, for the block's time.

    Files beside it are found from there too.
    """
    if _is_utf8(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "beside", path.name)
        if _is_utf8(path.name):
            Path(folder, "beside").symlink_to(path.parent.resolve())
        else:
            file = Path(folder, f"file{path.suffix}")
            file.symlink_to(path.resolve())
        yield str(file)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
