"""Work in child processes whose records are kept: of quantizers in environments of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_scnet.core.files import sha256_file, write_text

HERE = Path(__file__).parent / "peers"
# pip's calls, in this order. ModelOpt's "onnx" extra is spelt out: by itself it brings
# onnxruntime-gpu and cupy.
INSTALLS: dict[str, tuple[str, ...]] = {
    "ours": (),
    "nncf": ("nncf==3.4.0 openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6",),
    "ort": ("onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6",),
    "modelopt": (
        "torch==2.13.0",
        (
            "nvidia-modelopt==0.47.0 onnx==1.21.0 onnxruntime==1.24.4 onnx-graphsurgeon==0.6.1"
            " onnxslim==0.1.98 onnxconverter-common==1.16.0 polygraphy==0.53.6 lief==1.0.0"
            " cppimport==26.4.17 onnxscript==0.7.2 onnx-ir==1.1.0 ml_dtypes==0.6.0 numpy==2.4.6"
        ),
    ),
}


class Failed(Exception):
    """A child process failed; the message is the last line that it printed."""


def step(
    stem: Path,
    python: Path,
    job: dict[str, Any],
    files: dict[str, Path],
    *,
    key: Any,
    out: Path | None,
    fresh: bool,
    variables: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The record of a child's work on `files`: kept, with its job and log, and reused while nothing
    it depends on changed.

    Raises:
        Failed: it did not end well.
    """
    script = HERE / job.get("script", "engine.py" if "task" in job else "quantize.py")
    kept, job_file, record, log = (
        stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "job", "record", "log")
    )
    # an IR's weights are beside it
    read = [*files.items(), ("script", script)]
    read += [
        (f"{name}.bin", file.with_suffix(".bin"))
        for name, file in files.items()
        if file.suffix == ".xml"
    ]
    # `key` has the code of a checkout, which may lie anywhere
    kept_variables = {k: v for k, v in (variables or {}).items() if k != "PYTHONPATH"}
    full_key = [job, key, kept_variables, {name: sha256_file(file) for name, file in read}]
    full_key = json.loads(json.dumps(full_key))
    if not fresh and kept.is_file() and (out is None or out.is_file()):
        known = json.loads(kept.read_text())
        if known["key"] == full_key:
            return dict(known["record"])
    for stale in (kept, record, *([out] if out else [])):
        stale.unlink(missing_ok=True)
    paths = {name: str(file) for name, file in files.items()}
    job_file.write_text(json.dumps({**job, **paths, "out": str(out), "record": str(record)}))
    with log.open("wb") as output:
        # NNCF_CI switches NNCF's telemetry off
        done = subprocess.run(
            [python, script, job_file],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NNCF_CI": "1", **(variables or {})},
        )
    if done.returncode or not record.is_file():
        cause = (
            signal.Signals(-done.returncode).name
            if done.returncode < 0
            else f"exit code {done.returncode}"
        )
        raise Failed(f"{_last_line(log.read_text(errors='replace'))} ({cause})")
    result = json.loads(record.read_text())
    write_text(kept, json.dumps({"key": full_key, "record": result}))
    return dict(result)


def _last_line(text: str) -> str:
    return next(
        (line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "no output"
    )


def python_of(group: str, work: Path) -> Path:
    """The interpreter of a quantizer, installed first where it is not there or has other versions.

    Raises:
        Failed: pip does not install it.
    """
    if group == "ours":
        return Path(sys.executable)
    folder = work / "venvs" / group
    python, marker = folder / "bin" / "python", folder / "installed.json"
    wanted = json.dumps(INSTALLS[group])
    if not (marker.is_file() and marker.read_text() == wanted):
        print(f"install {group}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        calls: list[list[Any]] = [[sys.executable, "-m", "venv", folder]]
        calls += [
            [python, "-m", "pip", "install", "-q", *packages.split()]
            for packages in INSTALLS[group]
        ]
        for call in calls:
            done = subprocess.run(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                raise Failed(f"installation: {_last_line(done.stdout)}")
        marker.write_text(wanted)
    return python
