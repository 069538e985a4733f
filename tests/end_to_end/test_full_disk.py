"""Folders that cannot be written and disks that fill up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_scnet.core.build_folder import BuildFolder
from tests.helpers.refusals import check_refusal, hidden
from tests.helpers.tool import MODEL, Built, Edit, Run


def test_an_output_folder_that_cannot_be_written(
    invoke: Run, tmp_path: Path, calib_120: Path, eval_20: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "b", "Not a directory"),
        (Path("/proc"), ""),
    ):
        outcome = invoke("build", "--calib", calib_120, "--eval", eval_20, "--out", out)
        check_refusal(outcome, 9, f"cannot write to {out}/{MODEL}", reason)
        assert "--out" in outcome.hint


def forget(edit: Edit, folder: Path, *files: str) -> None:
    """Makes the stages of these files run again."""
    edit(folder, lambda content: [content["artifacts"].pop(file) for file in files])
    for file in files:
        (folder / file).unlink()


LIMITED = (
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); from"
    " edge_scnet.cli.root import main; main()"
)


@pytest.mark.parametrize(
    ("file", "stage"), [("model.qdq.onnx", "quantize"), ("model-fp32.bin", "compile")]
)
def test_a_full_disk(
    copied: Built, cli_process: Run, edit_manifest: Edit, file: str, stage: str
) -> None:
    """Acted by a limit on the size of files: a write fails in its middle."""
    size = (copied.folder / file).stat().st_size
    forget(edit_manifest, copied.folder, file)
    kept = {path.name for path in copied.folder.iterdir()}
    command = (stage, "--calib", copied.calib, "--out", copied.folder.parents[1])
    outcome = cli_process(*command, code=LIMITED.format(size // 2))
    check_refusal(outcome, 9, f"cannot write {copied.folder}")
    assert "df -h" in outcome.hint
    assert {path.name for path in copied.folder.iterdir()} == kept
    # what was finished before is still whole
    BuildFolder.open(copied.folder).verified("model.onnx")


def test_a_disk_that_fills_up_at_the_last_step(
    copied: Built, invoke: Run, edit_manifest: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(edit_manifest, copied.folder, "model.qdq.onnx")

    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == "model.qdq.onnx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    outcome = invoke("quantize", "--calib", copied.calib, "--out", copied.folder.parents[1])
    check_refusal(
        outcome, 9, f"cannot write {copied.folder / 'model.qdq.onnx'}: No space left on device"
    )
    assert not hidden(copied.folder) and not (copied.folder / "model.qdq.onnx").exists()
