"""Code of the user's own, named "package.module:object": imported and called.

Whatever it does, one clear error comes of it.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_scnet.errors import ArtifactError, EdgeError, first_line

# package.module:object?argument=value&...
OBJECT = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)(?:\?(.*))?", re.DOTALL)
_PACKAGE = Path(__file__).parent.parent
_MAIN_GUARD = "put what a script does on its own behind: if __name__ == '__main__':"


@contextlib.contextmanager
def user_code(failed: str, *, hint: str, raises: type[EdgeError] = ArtifactError) -> Iterator[None]:
    """Turns all that user's code raises, but Ctrl-C, into one error.

    Also `sys.exit`: a script without a main guard ends the process when it is imported, and a build
    that made nothing must not exit with 0.

    Args:
        failed: what failed, in front of the reason.
        hint: of the error.
        raises: the class of the error.

    Raises:
        EdgeError: of that class: the code raised something.
    """
    try:
        yield
    except (KeyboardInterrupt, EdgeError):
        raise
    except BaseException as error:
        raise raises(f"{failed}: {why(error)}", hint=hint) from error


def why(error: BaseException) -> str:
    """The last line of an exception's traceback."""
    if isinstance(error, SystemExit):
        return f"it ends the process (SystemExit: {error.code})"
    return f"{type(error).__name__}: {first_line(error)}"


def place(error: BaseException) -> str:
    """File and line where an exception was raised, in brackets behind a blank; empty: unknown."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or Path(frames[-1].filename).is_relative_to(_PACKAGE):
        return ""  # raised by the call itself
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"


def imported(module: str, attribute: str, *, raises: type[EdgeError] = ArtifactError) -> Any:
    """What "module:attribute" stands for, the module imported.

    Args:
        raises: the class of the error.

    Raises:
        EdgeError: of that class: the module cannot be imported, or has no such attribute.
    """
    # a console script does not have the working directory on sys.path, and that is where the user's
    # module is
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    failed = f"{module}:{attribute} cannot be called"
    try:
        with user_code(failed, hint=f"is it on PYTHONPATH? {_MAIN_GUARD}", raises=raises):
            found: Any = importlib.import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
    except EdgeError as error:
        if isinstance(error.__cause__, SystemExit):
            raise raises(f"{error.message} when it is imported", hint=_MAIN_GUARD) from error
        if isinstance(error.__cause__, AttributeError) and module in sys.modules:
            names = [name for name in vars(sys.modules[module]) if not name.startswith("_")]
            close = difflib.get_close_matches(attribute, names, n=1)
            meant = f"did you mean {module}:{close[0]}? " if close else ""
            error.hint = f"{meant}python -c 'import {module}; print(dir({module}))'"
        raise
    return found
