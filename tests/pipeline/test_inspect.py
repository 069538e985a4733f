"""`inspect` of Q/DQ files: our own, foreign ones, and what is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.helpers.foreign import written
from tests.helpers.tool import Built, Outcome


def test_inspect_of_our_own_file_finds_nothing(
    built: Built, invoke: Callable[..., Outcome]
) -> None:
    outcome = invoke("inspect", built.folder / "model.qdq.onnx", "--target", "cpu", "--json")
    # not even the small classifier, which is left in float on purpose
    assert outcome.code == 0 and json.loads(outcome.stdout) == []


def test_inspect_names_the_node_and_the_fix(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    source = written(built, tmp_path / "wide.onnx", placement="openvino", bits=8)
    outcome = invoke("inspect", source, "--target", "cpu-avx2")
    assert outcome.code == 6
    first = outcome.stdout.splitlines()[0]
    assert first.startswith("error: ") and "conv1" in outcome.stdout
    assert outcome.stdout.splitlines()[-1].startswith(f"{source}: ")


def test_inspect_of_anything_else_is_an_error(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    for path, words in (
        (built.folder / "model.onnx", "holds no Q/DQ to check"),
        (tmp_path / "text.onnx", "is no ONNX file that can be read"),
        (tmp_path / "none.onnx", "no such file"),
    ):
        outcome = invoke("inspect", path)
        assert outcome.code == 6 and words in outcome.stderr and outcome.hint
