"""The format `python`: a program of the engine's runtime, NumPy and Pillow.

The program is put together for one engine: it has the lines that its preprocessing, runtime and
task need, and no others. Nothing from a file stands in it but numbers and plain file names; class
names are in labels.txt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge_scnet.package import python_answer
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Content, Format, check_pictures
from edge_scnet.package.python_picture import picture_lines
from edge_scnet.package.reading import Named, Reading, labels_of, reading_of
from edge_scnet.package.reading_words import reading_words
from edge_scnet.package.readme import readme

# What the program reads, in a sentence.
PICTURES = "Pictures of 8 bits, all that Pillow reads; where one is transparent, white shows."
PROGRAM, LABELS, REQUIREMENTS = "run.py", "labels.txt", "requirements.txt"

_MODULES = {
    "openvino": ("import openvino as ov",),
    "onnxruntime": ("import onnxruntime as ort",),
    "tensorrt": ("import tensorrt as trt", "from cuda.bindings import runtime as cuda"),
}
_OPENED: dict[str, str] = {
    "openvino": '''
def opened():
    """The engine: called with an input, it returns its outputs."""
    settings = {SETTINGS}
    engine = ov.Core().compile_model(HERE / "ENGINE", "CPU", settings)
    return lambda batch: list(engine(batch).values())
''',
    "onnxruntime": '''
def opened():
    """The engine: called with an input, it returns its outputs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS  # 0: as many as there are cores
    session = ort.InferenceSession(HERE / "ENGINE", options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {session.get_inputs()[0].name: batch})
''',
    "tensorrt": '''
def done(result):
    """What a call of CUDA gives; it ends the program where that failed."""
    code, *values = result
    if code != cuda.cudaError_t.cudaSuccess:
        sys.exit(f"CUDA: {code}")
    return values[0] if values else None


def opened():
    """The engine: called with an input, it returns its outputs."""
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(
        (HERE / "ENGINE").read_bytes()
    )
    if engine is None:
        sys.exit("TensorRT cannot load the plan: it belongs to the board and version that built it")
    context = engine.create_execution_context()
    stream = done(cuda.cudaStreamCreate())
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    host = {
        name: np.empty(
            tuple(engine.get_tensor_shape(name)), trt.nptype(engine.get_tensor_dtype(name))
        )
        for name in names
    }
    device = {name: done(cuda.cudaMalloc(array.nbytes)) for name, array in host.items()}
    for name in names:
        context.set_tensor_address(name, int(device[name]))
    inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
    to_device = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
    to_host = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost

    def infer(batch):
        array = host[inputs[0]]
        array[...] = batch
        done(cuda.cudaMemcpy(device[inputs[0]], array.ctypes.data, array.nbytes, to_device))
        context.execute_async_v3(int(stream))
        done(cuda.cudaStreamSynchronize(stream))
        outputs = [name for name in names if name not in inputs]
        for name in outputs:
            done(cuda.cudaMemcpy(host[name].ctypes.data, device[name], host[name].nbytes, to_host))
        return [host[name] for name in outputs]

    return infer
''',
}
_MAIN = '''
def main():
    """Prints what the engine says of each picture."""
    if not sys.argv[1:]:
        sys.exit(__doc__)
    infer = opened()
    for path in sys.argv[1:]:
{ANSWERED}
        print(f"{path}: {first}", *more, sep="\\n")


if __name__ == "__main__":
    main()
'''
_ANSWERED = "        first, *more = answer(infer(prepared(path)))"
_PLACED = """        batch, place = prepared(path)
        first, *more = answer(infer(batch), place)"""


def contents(facts: PackageFacts) -> Mapping[str, Content]:
    """The files of the package.

    Raises:
        ArtifactError: the network takes no pictures.
    """
    check_pictures(FORMAT, facts)
    files: dict[str, Content] = {part.name: part for part in facts.files}
    files[PROGRAM] = program(facts)
    files[REQUIREMENTS] = requirements(facts)
    reading = reading_of(facts)
    if isinstance(reading, Named):
        files[LABELS] = labels_of(reading)
    files["README.md"] = readme(FORMAT, facts, steps=_STEPS, notes=tuple(_notes(facts, reading)))
    return files


_STEPS = """python3 -m venv .venv
.venv/bin/pip install -r requirements.txt
.venv/bin/python run.py photo.jpg"""


def program(facts: PackageFacts) -> str:
    """The text of run.py."""
    return "\n".join(_program(facts)) + "\n"


def _program(facts: PackageFacts) -> Iterator[str]:
    yield '"""Runs pictures through the engine beside it: python run.py PICTURE..."""'
    yield ""
    yield "import sys"
    yield "from pathlib import Path"
    yield ""
    uses_opencv = facts.model.preprocessing.library == "opencv"
    first, *others = _MODULES[facts.runtime]
    modules = ["import numpy as np", first, *others, "from PIL import Image, ImageOps"]
    if uses_opencv:
        modules.append("import cv2")
    yield from sorted(modules, key=_isorted)
    yield ""
    yield "HERE = Path(__file__).resolve().parent"
    reading = reading_of(facts)
    yield from python_answer.constants(reading)
    if isinstance(reading, Named):
        yield f'LABELS = (HERE / "{LABELS}").read_text("utf-8").split("\\n")[:-1]'
    is_placed = python_answer.is_placed(reading)
    yield from picture_lines(facts, tells_place=is_placed)
    yield ""
    yield (
        _OPENED[facts.runtime]
        .replace("ENGINE", facts.engine.name)
        .replace("{SETTINGS}", _settings(facts))
        .replace("THREADS", str(facts.target.threads))
    )
    yield from python_answer.functions(reading)
    yield _MAIN.replace("{ANSWERED}", _PLACED if is_placed else _ANSWERED).rstrip("\n")


def _isorted(line: str) -> tuple[bool, str]:
    """Imports of modules before those from modules, as linters sort them."""
    return line.startswith("from"), line


def _settings(facts: PackageFacts) -> str:
    """OpenVINO's settings: those that the engine was judged with."""
    pairs = ['"PERFORMANCE_HINT": "LATENCY"']
    if facts.opened_in != "default":
        # not stored in the IR
        pairs.append(f'"INFERENCE_PRECISION_HINT": "{facts.opened_in}"')
    if facts.target.threads:
        pairs.append(f'"INFERENCE_NUM_THREADS": {facts.target.threads}')
    return "{" + ", ".join(pairs) + "}"


def requirements(facts: PackageFacts) -> str:
    """The text of requirements.txt: what run.py imports."""
    at_least = f">={facts.runtime_version}" if facts.runtime_version else ""
    packages = ["numpy>=1.26", "pillow>=11"]
    if facts.model.preprocessing.library == "opencv":
        packages.append("opencv-python-headless>=4.10")
    if facts.runtime == "tensorrt":
        # the driver of JetPack 6, with its Python 3.10, takes CUDA 12 at most
        packages.append("cuda-bindings>=12.6,<13; python_version < '3.12'")
        packages.append("cuda-bindings>=13; python_version >= '3.12'")
    else:
        packages.append(f"{facts.runtime}{at_least}")
    return "".join(f"{name}\n" for name in sorted(packages))


def _notes(facts: PackageFacts, reading: Reading) -> Iterator[str]:
    yield PICTURES
    if facts.runtime == "tensorrt":
        yield (
            "TensorRT comes with JetPack: make the environment with `--system-site-packages`. This"
            " program was written for a board and not run on one."
        )
    yield from reading_words(reading)


FORMAT = Format(
    name="python",
    title="a program in Python",
    runtimes=("openvino", "onnxruntime", "tensorrt"),
    contents=contents,
)
