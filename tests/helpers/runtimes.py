"""The runtimes that are libraries, and a target for each."""

from __future__ import annotations

import pytest

from edge_scnet.runtimes import RUNTIMES

TARGETS = {"onnxruntime": "onnxruntime", "tensorrt": "jetson", "tensorrt_rtx": "rtx"}
LIBRARIES = tuple(RUNTIMES)
# what holds for a runtime that is a library, and not for one in memory
of_libraries = pytest.mark.parametrize("runtime", LIBRARIES, indirect=True)
