"""Classes and scales survive being packed into a report."""

from __future__ import annotations

import pytest

from edge_scnet.core.packing import pack_classes, pack_scales, unpack_classes, unpack_scales


@pytest.mark.parametrize("scales", [[1.0], [1e-6, 3.0, 0.02], [2.0**-40, 2.0**40]])
def test_scales_survive_packing(scales: list[float]) -> None:
    assert unpack_scales(pack_scales(scales), len(scales)) == pytest.approx(scales, rel=0.0014)
    with pytest.raises(ValueError, match="bytes"):
        unpack_scales(pack_scales(scales), len(scales) + 1)


@pytest.mark.parametrize("classes", [[0], [255, 3], [256, 0], [70_000, 1]])
def test_classes_survive_packing(classes: list[int]) -> None:
    assert unpack_classes(pack_classes(classes), len(classes)) == tuple(classes)
