"""Files and folders whose names no terminal should obey: built, measured and told with escapes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from edge_scnet.report.store import load_report
from tests.helpers.graphs import tiny_onnx
from tests.helpers.hostile import check_fit
from tests.helpers.images import published
from tests.helpers.tool import Run


def images(folder: Path, split: str, count: int) -> Path:
    pictures, labels = published(split)
    for number in range(count):
        path = (
            folder
            / str(labels[number])
            / os.fsdecode(b"bild\xe9 \x1b[31m%03d\xe2\x80\xae.png" % number)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[number]).save(path)
    return folder


@pytest.mark.slow
def test_a_build_with_names_that_are_not_utf_8_and_hostile_ones(
    tmp_path: Path, cli_process: Run
) -> None:
    root = tmp_path / os.fsdecode(b"ordner\xe9") / "\n::error file=x::y\x1b]0;t\x07 \u2066##[z]"
    calib, evaluation = images(root / "c", "calib", 120), images(root / "e", "eval", 40)
    model = tiny_onnx(root / "tiny.onnx", classes=10, size=28)
    data = ["--calib", calib, "--eval", evaluation, "--mean", "0.286", "--std", "0.353"]
    rest = ["--out", root / "out", "--seconds", "0.1", "--max-drop", "5"]
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    done = cli_process("build", model, *data, *rest, env=strict)
    assert done.code in (0, 10, 11, 13), done.stderr
    folder = root / "out" / "tiny" / "cpu"
    assert "ordner\\udce9/" in done.stdout
    page = (folder / "report.html").read_text(encoding="utf-8")
    report = load_report(folder / "report.json")
    assert "ordner\\udce9/" in report.command
    assert "ordner\\udce9/" in page
    json.dumps(json.loads((folder / "report.json").read_text()), ensure_ascii=False).encode()
    image = next(evaluation.rglob("*.png"))
    told = cli_process("predict", folder / "model.xml", image, env=strict)
    assert told.code == 0 and "bild\\udce9" in told.stdout, told.stderr
    for text in (done.stdout, done.stderr, told.stdout, told.stderr, page):
        check_fit(text)
