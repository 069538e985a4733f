"""A client for a model server: a picture in, what the network says of it out.

The program is put together for one engine, as `python.py`'s is. Names of tensors stand in it as
Python's literals of ASCII; class names are read from labels.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_scnet.errors import ArtifactError
from edge_scnet.package import python_answer
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.labels import LABELS_JSON
from edge_scnet.package.python_picture import picture_lines
from edge_scnet.package.reading import Named, PairReading, RawReading, reading_of
from edge_scnet.package.tensors import Tensor, tensors_of

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
def sent(arrays):
    """The inputs of a sample by name, in the types and shapes that the server asks for."""
    if not isinstance(arrays, dict):
        arrays = dict(zip(INPUTS, [arrays]))
    for name, (kind, _, _) in INPUTS.items():
        if not np.can_cast(arrays[name].dtype, kind, "same_kind"):
            sys.exit(f"{name} is {arrays[name].dtype}; the network takes {np.dtype(kind)}")
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
_RAW = '''
def answer(outputs):
    """The shapes and ranges of the outputs: this program does not decode them."""
    told = (
        f"{name!r} {' x '.join(map(str, array.shape))}, {array.min():.4g} to {array.max():.4g}"
        for name, array in zip(OUTPUTS, outputs)
    )
    return ["; ".join(told)]
'''
_MAIN = '''
def main():
    """Prints what the server says of each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--url", default="localhost:8000", help="the server's host and port")
    options = parser.parse_args()
    for path in options.files:
{ANSWERED}
        print(f"{path}: {first}", *more, sep="\\n")


if __name__ == "__main__":
    main()
'''
_ANSWERED = "        first, *more = answer(asked(options.url, sent(prepared(path))))"
_READ = "        first, *more = answer(shaped(asked(options.url, sent(prepared(path)))))"
_PLACED = """        batch, place = prepared(path)
        first, *more = answer(shaped(asked(options.url, sent(batch))), place)"""
_SHAPED = '''
def shaped(outputs):
    """The outputs as the engine gives them: JSON has no types, and a batch of one is left out."""
    return [
        np.asarray(array, kind).reshape(shape) for array, (kind, shape) in zip(outputs, FORMS)
    ]
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
    reading = reading_of(facts)
    outputs = tensors_of(facts).outputs
    if not all(map(_has_form, outputs)):
        reading = RawReading()
    is_raw, is_placed = isinstance(reading, RawReading), python_answer.is_placed(reading)
    if not is_raw:
        yield "# of the outputs: NumPy's type, and the shape with the batch in front"
        yield "FORMS = ["
        yield from (f'    ("{tensor.dtype}", {tensor.shape!r}),' for tensor in outputs)
        yield "]"
    yield from python_answer.constants(reading)
    if isinstance(reading, Named):
        yield from _names(reading, facts)
    if facts.model.takes_pictures:
        yield from picture_lines(facts, tells_place=is_placed)
    else:
        yield _ARRAY.rstrip("\n")
    answered = _ANSWERED if is_raw else _PLACED if is_placed else _READ
    said = (_RAW,) if is_raw else (_SHAPED, *python_answer.functions(reading))
    for part in (_SENT, asked, *said, _MAIN.replace("{ANSWERED}", answered)):
        yield f"\n{part.rstrip()}"


def _has_form(tensor: Tensor) -> bool:
    """Whether a client can give an output the type and shape that the engine gives it."""
    return tensor.dtype != "bfloat16" and tensor.shape.count(-1) <= 1


def _names(reading: Named, facts: PackageFacts) -> Iterator[str]:
    """Yields the lines that read the names, with escapes for what a terminal obeys."""
    if not facts.model.classes:
        yield "LABELS = []"
        return
    path = f'Path(__file__).with_name("{LABELS_JSON}")'
    yield f'LABELS = json.loads({path}.read_text("utf-8"))'
    yield "LABELS = [name if name.isprintable() else ascii(name) for name in LABELS]"
    if isinstance(reading, PairReading) and len(facts.model.classes) == 1:
        yield 'LABELS = [f"not {LABELS[0]}", *LABELS]'
    elif len(reading.names) > len(facts.model.classes):
        yield 'LABELS = ["background", *LABELS]'


def _form(tensor: Tensor) -> str:
    try:
        kind = _TYPES[tensor.dtype]
    except KeyError:
        raise ArtifactError(
            f"KServe's protocol has no type for {tensor.name!r}, which is {tensor.dtype}; it has"
            f" {', '.join(sorted(_TYPES))}"
        ) from None
    return f'("{tensor.dtype}", "{kind}", {tensor.shape!r})'
