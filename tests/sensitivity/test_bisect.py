"""The module that a planted fault is blamed on."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.graph.run import run_images
from edge_scnet.pipeline.explain import explaining_images, float_graph
from edge_scnet.sensitivity import bisect
from edge_scnet.stats.accuracy import relative_noise
from tests.helpers.graphs import TENSOR, scaled
from tests.helpers.tool import Built


def test_bisecting_blames_the_planted_fault(built: Built, tmp_path: Path) -> None:
    folder = BuildFolder.open(built.folder)
    wrong = ir.load(scaled(built.folder / "model.qdq.onnx", tmp_path / "wrong.onnx", TENSOR, 0.25))
    reference, images = float_graph(folder, wrong), explaining_images(folder)[:12]
    sound = bisect.bisect(ir.load(built.folder / "model.qdq.onnx"), reference, images)
    found = bisect.bisect(wrong, reference, images)
    assert (
        found.sqnr_db is not None
        and sound.sqnr_db is not None
        and found.sqnr_db < sound.sqnr_db - 3
    )
    readers = {"layer2.1", "layer3.0", "layer2.0"}
    assert found.blocks[0].name in readers and found.blocks[0].share > 0.5
    assert found.blocks[0].share > sound.blocks[0].share
    assert [relief.share for relief in found.blocks] == sorted(
        (r.share for r in found.blocks), reverse=True
    )
    # all of it in float is the float graph
    everything = [str(node.name) for node in wrong.graph]
    alike = relative_noise(
        run_images(reference, images),
        run_images(bisect.in_float(wrong, reference, everything), images),
    )
    assert alike < 1e-10
