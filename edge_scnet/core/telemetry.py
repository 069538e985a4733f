"""The telemetry of the runtimes, switched off in this process: nothing of a build is sent anywhere.

ONNX Runtime 1.32 collects and sends unless its environment variable is set before its import;
`disable_telemetry_events()` comes too late. OpenVINO's package asks `openvino_telemetry`, which
sends where that is installed and its user did not opt out in a file of the home folder; no such
file is touched here: the package is hidden from OpenVINO instead, which then takes the stand-in it
has for where it is not installed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import cast

_ORT_VARIABLE = "ORT_DISABLE_TELEMETRY"
_OPENVINO_TELEMETRY = "openvino_telemetry"


def switch_off() -> None:
    """Switches it off for all of this process and those that it starts: for processes of our own.

    It comes before anything is imported, for a user's factory may import a runtime itself.
    """
    os.environ[_ORT_VARIABLE] = "1"
    # an import of a module that is None fails as that of one that is not installed
    sys.modules.setdefault(_OPENVINO_TELEMETRY, cast(ModuleType, None))


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Switches it off for runtimes that are imported meanwhile: for processes of others.

    What the process's owner imported before, and the environment of other children, stay as they
    are.
    """
    hidden = _OPENVINO_TELEMETRY not in sys.modules
    before = os.environ.get(_ORT_VARIABLE)
    switch_off()
    try:
        yield
    finally:
        if hidden:
            del sys.modules[_OPENVINO_TELEMETRY]
        # ONNX Runtime looks at it once, when it is imported
        if before is None:
            del os.environ[_ORT_VARIABLE]
        else:
            os.environ[_ORT_VARIABLE] = before
