"""Code of the user's own is called: whatever it does, one clear error comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edge_scnet.errors import ArtifactError, EdgeError, first_line


@contextlib.contextmanager
def user_code(failed: str, *, hint: str) -> Iterator[None]:
    """Turns all that user's code raises, but Ctrl-C, into an ArtifactError.

    Also `sys.exit`: a script without a main guard ends the process when it is imported, and a build
    that made nothing must not exit with 0.

    Args:
        failed: what failed, in front of the reason.
        hint: of the error.

    Raises:
        ArtifactError: the code raised something.
    """
    try:
        yield
    except (KeyboardInterrupt, EdgeError):
        raise
    except BaseException as error:
        raise ArtifactError(f"{failed}: {_why(error)}", hint=hint) from error


def _why(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it ends the process (SystemExit: {error.code})"
    return f"{type(error).__name__}: {first_line(error)}"
