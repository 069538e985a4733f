"""A client for a model server: a picture in, its classes out.

The program is put together for one engine, as `python.py`'s is. Names of tensors stand in it as
Python's literals of ASCII; class names are read from labels.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_scnet.errors import ArtifactError
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.labels import LABELS_JSON
from edge_scnet.package.python_picture import picture_lines
from edge_scnet.package.tensors import Tensor

CLIENT = "client.py"
# What a program imports, by what shows in its text that it does.
_STANDARD = {
    "import argparse": r"\bargparse\.",
    "import json": r"\bjson\.",
    "import sys": r"\bsys\.",
    "from pathlib import Path": r"\bPath\(",
    "from urllib.error import HTTPError, URLError": r"\bURLError\b",
    "from urllib.request import Request, urlopen": r"\bRequest\(",
}
_INSTALLED = {
    "import cv2": r"\bcv2\.",
    "import numpy as np": r"\bnp\.",
    "import tritonclient.http as http": r"\bhttp\.",
    "from PIL import Image, ImageOps": r"\bImage\.",
}
# KServe's open inference protocol, version 2: its names of NumPy's types.
_TYPES = {
    "bool": "BOOL",
    "bfloat16": "BF16",
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}
_ARRAY = '''
def prepared(path):
    """The sample of an .npy file, or of an .npz file with an array for each input by its name."""
    file = np.load(path)
    return file if isinstance(file, np.ndarray) else dict(file)
'''
_SENT = '''
def sent(path):
    """The inputs of a sample by name, in the types and shapes that the server asks for."""
    arrays = prepared(path)
    if not isinstance(arrays, dict):
        arrays = dict(zip(INPUTS, [arrays]))
    return {
        name: np.ascontiguousarray(arrays[name], kind).reshape(shape)
        for name, (kind, _, shape) in INPUTS.items()
    }
'''
_TRITON = '''
def asked(url, arrays):
    """The outputs for some inputs, as the server sends them."""
    client = http.InferenceServerClient(url)
    inputs = []
    for name, array in arrays.items():
        inputs.append(http.InferInput(name, list(array.shape), INPUTS[name][1]))
        inputs[-1].set_data_from_numpy(array)
    outputs = [http.InferRequestedOutput(name) for name in OUTPUTS]
    result = client.infer(MODEL, inputs, outputs=outputs)
    return [result.as_numpy(name) for name in OUTPUTS]
'''
_KSERVE = '''
def asked(url, arrays):
    """The outputs for some inputs: KServe's protocol, the arrays' bytes behind the JSON."""
    inputs = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": INPUTS[name][1],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    head = json.dumps({"inputs": inputs, "outputs": [{"name": name} for name in OUTPUTS]}).encode()
    body = head + b"".join(array.tobytes() for array in arrays.values())
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    request = Request(f"http://{url}/v2/models/{MODEL}/infer", body, headers)
    try:
        with urlopen(request, timeout=60) as answered:
            outputs = json.load(answered)["outputs"]
    except HTTPError as error:
        sys.exit(f"{url}: {error}: {error.read(2000).decode(errors='replace')}")
    except URLError as error:
        sys.exit(f"{url}: {error.reason}")
    found = {each["name"]: np.reshape(each["data"], each["shape"]) for each in outputs}
    return [found[name] for name in OUTPUTS]
'''
_CLASSES = '''
def said(outputs):
    """The five most probable classes, best first."""
    scores = np.reshape(outputs[0], (BATCH, -1))[0].astype(np.float64)
    if scores.min() < 0 or abs(scores.sum() - 1) > 1e-3:  # no probabilities yet: softmax
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    best = np.argsort(-scores, kind="stable")[:5]
    names = [LABELS[i] if i < len(LABELS) else f"class {i}" for i in best]
    shown = [name if name.isprintable() else ascii(name) for name in names]
    return ", ".join(f"{name} {100 * scores[i]:.1f} %" for name, i in zip(shown, best))
'''
_RAW = '''
def said(outputs):
    """The shapes and ranges of the outputs: this program does not decode them."""
    return "; ".join(
        f"{name!r} {' x '.join(map(str, array.shape))}, {array.min():.4g} to {array.max():.4g}"
        for name, array in zip(OUTPUTS, outputs)
    )
'''
_MAIN = '''
def main():
    """Prints what the server says of each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--url", default="localhost:8000", help="the server's host and port")
    options = parser.parse_args()
    for path in options.files:
        print(f"{path}: {said(asked(options.url, sent(path)))}")


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a server's clients have to know of a model."""

    # in the server's addresses
    name: str
    # with the shapes of requests and answers
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def triton_client(facts: PackageFacts, served: Served) -> str:
    """A client that asks through Triton's own package."""
    return _program(facts, served, _TRITON)


def kserve_client(facts: PackageFacts, served: Served) -> str:
    """A client that asks through HTTP alone, by KServe's protocol."""
    return _program(facts, served, _KSERVE)


def client_packages(facts: PackageFacts) -> str:
    """What a client imports beside the server's own package, as pip's arguments."""
    if not facts.model.takes_pictures:
        return "numpy"
    uses_opencv = facts.model.preprocessing.library == "opencv"
    return "numpy pillow" + " opencv-python-headless" * uses_opencv


def _program(facts: PackageFacts, served: Served, asked: str) -> str:
    what = "PICTURE" if facts.model.takes_pictures else "FILE.npy"
    body = "\n".join(_body(facts, served, asked)) + "\n"
    head = f'"""Asks a model server: python {CLIENT} {what}... --url localhost:8000"""'
    return f"{head}\n\n{_imports(body)}\n{body}"


def _imports(body: str) -> str:
    """The lines that import what a program's text uses, each group sorted."""
    groups = [
        [line for line, used in imports.items() if re.search(used, body)]
        for imports in (_STANDARD, _INSTALLED)
    ]
    return "\n".join("".join(f"{line}\n" for line in group) for group in groups)


def _body(facts: PackageFacts, served: Served, asked: str) -> Iterator[str]:
    yield f"MODEL, BATCH = {served.name!r}, {facts.batch}"
    yield "# by name: NumPy's type, the protocol's, and the shape"
    yield "INPUTS = {"
    yield from (f"    {tensor.name!a}: {_form(tensor)}," for tensor in served.inputs)
    yield "}"
    yield f"OUTPUTS = [{', '.join(ascii(tensor.name) for tensor in served.outputs)}]"
    if facts.is_classifier:
        path = f'Path(__file__).with_name("{LABELS_JSON}")'
        text = f'json.loads({path}.read_text("utf-8"))' if facts.model.classes else "[]"
        yield f"LABELS = {text}"
    yield from picture_lines(facts) if facts.model.takes_pictures else (_ARRAY.rstrip("\n"),)
    for part in (_SENT, asked, _CLASSES if facts.is_classifier else _RAW, _MAIN):
        yield f"\n{part.rstrip()}"


def _form(tensor: Tensor) -> str:
    try:
        kind = _TYPES[tensor.dtype]
    except KeyError:
        raise ArtifactError(
            f"KServe's protocol has no type for {tensor.name!r}, which is {tensor.dtype}; it has"
            f" {', '.join(sorted(_TYPES))}"
        ) from None
    return f'("{tensor.dtype}", "{kind}", {tensor.shape!r})'
