"""What the code uses of TensorRT, held to what its releases offer.

The table was made from their public sources and wheels, which it names. A new use needs a new row.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from tests.helpers.data import DATA
from tests.helpers.tensorrt import needs_rtx
from tests.helpers.tensorrt_api import used

TABLE: dict[str, Any] = json.loads((DATA / "tensorrt-api.json").read_text())
RELEASES = list(TABLE["sources"])
OFFERED: dict[str, list[str]] = TABLE["attributes"]
# Where the first is missing the second is used.
OTHERWISE = {
    "ICudaEngine.device_memory_size_v2": "ICudaEngine.device_memory_size",
    "IOutputAllocator.reallocate_output_async": "IOutputAllocator.reallocate_output",
}
# Looked up by names that are put together as the program runs.
BY_VERSION = {
    "BuilderFlag.FP16",
    "BuilderFlag.INT8",
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
}
# Their methods come from Python: the package has them as names only.
_CALLED_BACK = ("IOutputAllocator.",)


def test_the_table_has_what_is_used_and_nothing_else() -> None:
    found = used()
    assert found.names | found.looked_up | found.overridden | BY_VERSION == set(OFFERED)
    # the reader sees what it is to see
    assert {"Builder.build_serialized_network", "TensorIOMode.INPUT"} <= found.names
    assert "ICudaEngine.device_memory_size_v2" in found.looked_up
    assert "IProfiler.report_layer_time" in found.overridden


@pytest.mark.parametrize("release", RELEASES)
def test_each_release_offers_what_is_used_without_looking(release: str) -> None:
    found = used()
    missing = {
        name for name in (found.names | found.overridden) if release not in OFFERED[name]
    } - found.looked_up
    for name, other in OTHERWISE.items():
        assert release in OFFERED[name] or release in OFFERED[other]
        missing -= {name, other}
    # methods of a class that is looked up itself
    missing = {name for name in missing if name.partition(".")[0] not in found.looked_up}
    assert not missing


@needs_rtx
def test_the_column_of_tensorrt_rtx_is_what_is_installed() -> None:
    rtx = importlib.import_module("tensorrt_rtx_bindings")
    for name, releases in OFFERED.items():
        if name.startswith(_CALLED_BACK):
            continue
        found: Any = rtx
        for part in name.split("."):
            found = getattr(found, part, None)
        assert (found is not None) is ("RTX 1.7" in releases), name
