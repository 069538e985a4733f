"""The clients, run as users run them, against a server that speaks KServe's protocol.

No Triton and no OpenVINO Model Server can be had here. The server below reads requests as the
protocol's binary extension describes them, runs the real engine, and answers; the engine, the
pictures and the programs are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_scnet.package import ovms
from edge_scnet.pipeline.package import package
from tests.helpers.images import published
from tests.helpers.served import model, of_openvino
from tests.helpers.tool import Built

_TYPES = {"FP32": np.float32, "UINT8": np.uint8}


class Engine:
    """The engine of a package, as a server opens it."""

    def __init__(self, folder: Path) -> None:
        import openvino as ov

        self.compiled = ov.Core().compile_model(
            folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        self.shape = tuple(self.compiled.input(0).shape)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        found: np.ndarray = next(iter(self.compiled(array.reshape(self.shape)).values()))
        return found


def handler(engine: Engine, name: str, asked: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            size = int(self.headers["Inference-Header-Content-Length"])
            head, binary = json.loads(data[:size]), data[size:]
            asked.append(head)
            if self.path != f"/v2/models/{name}/infer":
                self._answer(404, json.dumps({"error": "no such model"}).encode(), {})
                return
            (tensor,) = head["inputs"]
            assert tensor["parameters"]["binary_data_size"] == len(binary)
            array = np.frombuffer(binary, _TYPES[tensor["datatype"]]).reshape(tensor["shape"])
            logits = engine(array)
            (wanted,) = head["outputs"]
            output = {
                "name": wanted["name"],
                "datatype": "FP32",
                # Triton's requests at batch 1 leave the batch out, and so do its answers
                "shape": list(logits.shape[len(engine.shape) - array.ndim :]),
            }
            if wanted.get("parameters", {}).get("binary_data"):
                output["parameters"] = {"binary_data_size": logits.nbytes}
                text = json.dumps({"model_name": name, "outputs": [output]}).encode()
                extra = {"Inference-Header-Content-Length": str(len(text))}
                self._answer(200, text + logits.tobytes(), extra)
            else:
                output["data"] = logits.reshape(-1).tolist()
                self._answer(
                    200, json.dumps({"model_name": name, "outputs": [output]}).encode(), {}
                )

        def _answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


@contextmanager
def serving(folder: Path, name: str, asked: list[dict[str, Any]]) -> Iterator[str]:
    """A server of the engine in a folder; its host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Engine(folder), name, asked))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a package's client where edge-scnet cannot be imported."""
    return subprocess.run(
        [sys.executable, "-I", "client.py", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    images, _ = published("eval")
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image).save(path)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ovms", "triton"])
def test_a_client_says_what_predict_says(
    built: Built, tmp_path: Path, pictures: list[Path], form: str
) -> None:
    from edge_scnet import predict

    if form == "triton":
        pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    out, name = tmp_path / "package", "scnet20-fashion-mnist"
    package(built.folder, form=form, out=out, anyway=True)
    asked: list[dict[str, Any]] = []
    with serving(out / "models" / name / "1", name, asked) as url:
        done = run(out, *pictures, "--url", url)
    assert done.stderr == ""
    said = done.stdout.splitlines()
    expected = [prediction.top[0] for prediction in predict(built.folder, pictures, top=1)]
    assert len(said) == len(expected) == len(asked) == 3
    for path, line, best in zip(pictures, said, expected, strict=True):
        label, share = line.removeprefix(f"{path}: ").split(", ")[0].rsplit(" ", 2)[:2]
        assert label == best[0]
        assert float(share) == pytest.approx(100 * best[1], abs=0.06)


@pytest.mark.slow
def test_a_server_that_refuses_or_is_not_there_is_one_line(
    built: Built, tmp_path: Path, pictures: list[Path]
) -> None:
    out = tmp_path / "package"
    package(built.folder, form="ovms", out=out, anyway=True)
    with serving(out / "models" / "scnet20-fashion-mnist" / "1", "another", []) as url:
        done = run(out, pictures[0], "--url", url)
    assert done.returncode == 1
    assert done.stderr == f'{url}: HTTP Error 404: Not Found: {{"error": "no such model"}}\n'
    done = run(out, pictures[0], "--url", url)
    assert done.returncode == 1
    assert done.stderr == f"{url}: [Errno 111] Connection refused\n"


@pytest.mark.slow
def test_arrays_are_read_from_files_of_numpy_and_outputs_told_by_their_range(
    tmp_path: Path,
) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    signal = ops.parameter([1, 2, 5], np.float32, name="signal")
    signal.output(0).get_tensor().set_names({"signal"})
    kept = ops.reduce_max(signal, np.int64([1]), keep_dims=False)
    kept.output(0).get_tensor().set_names({"kept"})
    ov.save_model(ov.Model([kept], [signal]), tmp_path / "model.xml", compress_to_fp16=False)
    spec = model((), input_shape=(2, 5))
    (tmp_path / "build").mkdir()
    xml = (tmp_path / "model.xml").read_text()
    facts = of_openvino(tmp_path / "build", xml=xml, model=spec, task=None)
    (tmp_path / "client.py").write_text(str(ovms.contents(facts)["client.py"]))
    np.save(tmp_path / "one.npy", np.float64([[1, 2, 3, 4, 5], [9, 0, 0, 0, -7]]))
    np.savez(tmp_path / "two.npz", signal=np.zeros((2, 5)))
    with serving(tmp_path, "net", []) as url:
        done = run(tmp_path, "one.npy", "two.npz", "--url", url)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "one.npy: 'kept' 1 x 5, 2 to 9",
        "two.npz: 'kept' 1 x 5, 0 to 0",
    ]
