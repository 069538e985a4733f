"""Builds strangers' networks and says of each whether the result is right.

    python tests/benchmarks/cases.py --cases DIR --targets cpu,jetson,rtx [--only A01,B05] [--json]

The folder has `models/*.onnx`, generators `gen_*.py` that write `gen/NN/*.onnx` into a copy of it,
and beside it `data/clothing/{calib,eval}`. Each network is built from 100 and judged on 20 of those
photographs. A row is right where the build ends with a verdict (any verdict: the networks are not
trained for these photographs), as many layers execute in INT8 as are to, and its outputs keep at
least the signal-to-noise ratio asked for; or where it is refused in the words that are wanted.
Exit code 1 when a row is not right.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

RAW = ("--mean", "0,0,0", "--std", ",".join(["0.00392156862745098"] * 3))  # pixels 0 to 255
UNIT = ("--mean", "0,0,0", "--std", "1,1,1")  # pixels 0 to 1
HALF = ("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
SIDE_64 = ("--resize", "64")
# Photographs of clothing have no face or text: the scores of what finds those are 0.001 and
# less throughout, and their noise says nothing.
NOTHING_SEEN_DB = 0.0
_JUDGED = (0, 10, 11, 13)
_CALIBRATION_IMAGES, _EVALUATION_IMAGES = 100, 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and what is right for it."""

    name: str
    file: str
    arguments: tuple[str, ...] = UNIT
    # how many convolutions execute in INT8; None: any number but 0
    int8: int | None = None
    # of the INT8 engine's outputs against FP32
    least_db: float = 10.0
    # it may be refused, in words that match
    refused: str | None = None
    # arrays of so many channels, height and width are fed
    arrays: tuple[int, ...] | None = None
    grey_idx: bool = False
    # targets where another answer is right: what refuses it there
    refused_on: dict[str, str] = field(default_factory=dict)


CASES = (
    Case(
        name="A01",
        file="models/yunet_dynamic.onnx",
        arguments=("--input-size", "320", "--resize", "320", *RAW),
        int8=59,
        least_db=NOTHING_SEEN_DB,
    ),
    Case(
        name="A01",
        file="models/yunet_320.onnx",
        arguments=("--resize", "320", *RAW),
        int8=59,
        least_db=NOTHING_SEEN_DB,
    ),
    Case(
        name="A02",
        file="models/rfb320.onnx",
        arguments=("--mean", "0.498,0.498,0.498", "--std", "0.50196,0.50196,0.50196"),
    ),
    Case(name="A03", file="models/FastestDet.onnx", arguments=("--resize", "352", *UNIT)),
    Case(
        name="A03 batch 4",
        file="models/FastestDet.onnx",
        arguments=("--resize", "352", *UNIT, "--batch", "4"),
        refused="Reshape",
    ),
    Case(name="A04", file="models/nanodet.onnx", arguments=("--resize", "320", *UNIT)),
    Case(
        name="A05",
        file="models/ppocr_cls.onnx",
        arguments=("--input-shape", "3x48x192", *HALF),
    ),
    Case(
        name="A06",
        file="models/ppocrv3_det.onnx",
        arguments=("--input-size", "320", *HALF),
        least_db=NOTHING_SEEN_DB,
    ),
    # a mask: 0.88 of its area is the same
    Case(name="A07", file="models/selfie_nhwc.onnx", least_db=9.0),
    Case(
        name="A08",
        file="models/sinet.onnx",
        arguments=(
            *("--mean", "0.4977,0.43629,0.40349", "--std", "66.355705,62.82138,62.93292"),
            *("--resize", "320"),
        ),
    ),
    Case(
        name="A09",
        file="models/GridFoodCollector.onnx",
        arguments=("--fix", "action_masks=1"),
        arrays=(5, 40, 40),
        refused="RandomNormal|Multinomial|random",
    ),
    Case(name="A11", file="models/pfld.onnx", arguments=(*UNIT, "--resize", "112"), least_db=30),
    Case(
        name="A13",
        file="models/minifasnet_v2.onnx",
        arguments=("--resize", "80", "--colour", "BGR", "--pixel-max", "255"),
    ),
    Case(
        name="A16",
        file="models/superres_inner.onnx",
        arguments=("--mean", "0", "--std", "1"),
        least_db=40,
    ),
    Case(
        name="A17",
        file="models/mnist_cntk.onnx",
        arguments=("--mean", "0", "--std", "0.00392156862745098"),
        int8=2,
        grey_idx=True,
    ),
    Case(name="B01", file="gen/01/eca_attributes.onnx"),
    Case(name="B01", file="gen/01/eca_defaults.onnx"),
    Case(name="B02", file="gen/02/convnext_erf.onnx"),
    Case(name="B02", file="gen/02/convnext_relu.onnx"),
    Case(name="B03", file="gen/03/anchors.onnx"),
    Case(name="B03", file="gen/03/crnn.onnx"),
    Case(name="B04", file="gen/04/fixed_batch.onnx"),
    Case(
        name="B04 batch 4",
        file="gen/04/fixed_batch.onnx",
        arguments=(*UNIT, "--batch", "4"),
        refused="Reshape",
    ),
    Case(name="B05", file="gen/05/resize10_linear2.onnx"),
    Case(name="B05", file="gen/05/upsample9_linear2.onnx"),
    Case(name="B05", file="gen/05/resize10_nearest1.5.onnx"),
    Case(name="B05", file="gen/05/upsample9_nearest2.onnx"),
    Case(name="B06", file="gen/06/groupnorm21.onnx", refused="GroupNormalization"),
    Case(name="B06", file="gen/06/reducemax18.onnx"),
    Case(name="B06", file="gen/06/reducemax22.onnx"),
    Case(name="B06", file="gen/06/resize18.onnx"),
    Case(name="B06", file="gen/06/resize19.onnx", refused="Resize"),
    Case(name="B06", file="gen/06/resize22.onnx", refused="Resize"),
    Case(name="B06", file="gen/06/split18.onnx"),
    Case(name="B06", file="gen/06/split22.onnx"),
    Case(name="B07", file="gen/07/argmax.onnx"),
    Case(name="B07", file="gen/07/cast.onnx"),
    Case(name="B07", file="gen/07/instance_norm.onnx"),
    # TensorRT-RTX's builder has no kernel for it
    Case(name="B07", file="gen/07/nms.onnx", refused_on={"rtx": "no kernel for NonMaxSuppression"}),
    Case(name="B07", file="gen/07/pad_clip.onnx"),
    Case(name="B07", file="gen/07/prelu.onnx"),
    Case(name="B07", file="gen/07/resize_shared.onnx"),
    Case(name="B07", file="gen/07/where.onnx"),
    Case(name="B08", file="gen/08/constant.onnx"),
    Case(name="B08", file="gen/08/dead.onnx"),
    Case(name="B08", file="gen/08/pruned.onnx"),
    Case(name="B09", file="gen/09/float.onnx"),
    Case(name="B11", file="gen/11/yolo.onnx"),
    Case(name="B12", file="gen/12/log0.onnx"),
    Case(name="B12", file="gen/12/mask.onnx"),
    Case(name="B15", file="gen/15/anchors.onnx", arguments=(*UNIT, "--input-size", "64")),
    Case(name="B15", file="gen/15/assign.onnx"),
    Case(name="B15", file="gen/15/condition.onnx"),
    Case(name="B16", file="gen/16/keep_io.onnx"),
    Case(name="B16", file="gen/16/stored.onnx"),
    Case(name="B16", file="gen/16/whole.onnx"),
    Case(name="B18", file="gen/18/names.onnx"),
    Case(name="B18", file="gen/18/binary.onnx"),
    Case(name="B18", file="gen/18/many.onnx"),
    Case(name="B18", file="gen/18/embedding.onnx"),
    Case(name="B18", file="gen/18/landmarks.onnx"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a case on a target."""

    name: str
    file: str
    target: str
    is_right: bool
    exit_code: int
    sqnr_db: float | None
    # executed precisions of the INT8 engine's convolutions
    convolutions: dict[str, int]
    words: str
    seconds: float


def data(folder: Path, source: Path) -> None:
    """Writes 100 and 20 photographs, as pictures and as arrays, and grey ones as idx files."""
    for split, count in (("calib", _CALIBRATION_IMAGES), ("eval", _EVALUATION_IMAGES)):
        files = sorted(source.glob(f"{split}/*/*.jpg"))
        chosen = [files[i * len(files) // count] for i in range(count)]
        flat = folder / "pictures" / split
        flat.mkdir(parents=True)
        for number, file in enumerate(chosen):
            shutil.copyfile(file, flat / f"{number:03d}.jpg")
        grey = np.stack([np.asarray(Image.open(f).convert("L").resize((28, 28))) for f in chosen])
        idx = folder / "grey" / split
        idx.mkdir(parents=True)
        head = bytes([0, 0, 8, 3]) + np.array(grey.shape, ">u4").tobytes()
        (idx / "t10k-images-idx3-ubyte").write_bytes(head + grey.tobytes())
        rgb = [np.asarray(Image.open(f).convert("RGB").resize((40, 40))) for f in chosen]
        five = np.stack([np.concatenate([a, a[..., :2]], axis=2) for a in rgb]) / np.float32(255)
        (folder / "arrays" / split).mkdir(parents=True)
        np.save(folder / "arrays" / split / "five.npy", five.transpose(0, 3, 1, 2).astype("f4"))


def target_files(cases: Path, folder: Path, names: list[str]) -> dict[str, str]:
    """The targets: those of the folder that ask for 20 dB, the shipped one for others."""
    found = {}
    for name in names:
        file = cases / f"{name}20.toml"
        found[name] = str(shutil.copyfile(file, folder / file.name)) if file.is_file() else name
    return found


def run(case: Case, target: str, file: str, folder: Path, cases: Path) -> Row:
    """Builds a case for a target and judges what came of it."""
    kind = "arrays" if case.arrays else "grey" if case.grey_idx else "pictures"
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "edge_scnet", "build", str(cases / case.file)]
    command += [*case.arguments, "--target", file, "--out", str(out), "--json"]
    command += ["--calib", str(folder / kind / "calib"), "--eval", str(folder / kind / "eval")]
    command += ["--ignore-labels", "--seconds", "0.1", "--name", "case"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    seconds = round(time.perf_counter() - started, 1)
    words = next((x for x in done.stderr.splitlines() if x.startswith("error")), "")
    sqnr, convolutions = None, dict[str, int]()
    if done.returncode in _JUDGED and done.stdout.strip():
        report = json.loads(done.stdout)
        int8 = next(row for row in reversed(report["engines"]) if row["role"] == "int8")
        sqnr, convolutions = int8["accuracy"]["sqnr_db"], int8["convolutions"]
        words = report["verdict"]
    return Row(
        name=case.name,
        file=case.file,
        target=target,
        is_right=_is_right(case, target, done.returncode, sqnr, convolutions, done.stderr),
        exit_code=done.returncode,
        sqnr_db=sqnr,
        convolutions=convolutions,
        words=words,
        seconds=seconds,
    )


def _is_right(
    case: Case,
    target: str,
    code: int,
    sqnr: float | None,
    convolutions: dict[str, int],
    stderr: str,
) -> bool:
    if code in (3, 6) and (words := case.refused_on.get(target, case.refused)) is not None:
        return re.search(words, stderr) is not None
    if code not in _JUDGED:
        return False
    int8 = sum(n for precision, n in convolutions.items() if precision in ("u8", "i8"))
    executes = not convolutions or (int8 == case.int8 if case.int8 is not None else int8 > 0)
    return executes and (sqnr is None or sqnr >= case.least_db)


def main() -> None:
    """Builds the cases and prints a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--targets", default="cpu")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    wanted = set(filter(None, arguments.only.split(",")))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cases = folder / "cases"
        shutil.copytree(arguments.cases, cases)
        for path in [cases, *cases.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        for generator in sorted(cases.glob("gen_*.py")):
            if not wanted or f"B{generator.name[4:6]}" in wanted:
                subprocess.run([sys.executable, generator.name], cwd=cases, check=True)
        data(folder, arguments.cases.parent / "data" / "clothing")
        rows = []
        targets = target_files(cases, folder, arguments.targets.split(","))
        for case in CASES:
            if wanted and case.name.split()[0] not in wanted:
                continue
            for target, file in targets.items():
                rows.append(row := run(case, target, file, folder, cases))
                quality = "" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB"
                print(
                    f"{'right' if row.is_right else 'WRONG'}  {row.name:12} {row.file:34}"
                    f" {row.target:7} exit {row.exit_code:2}  {quality:9} {row.convolutions}"
                    f"  {row.seconds} s  {row.words[:110]}",
                    file=sys.stderr if arguments.json else sys.stdout,
                    flush=True,
                )
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    right = sum(row.is_right for row in rows)
    print(f"{right} of {len(rows)} right", file=sys.stderr)
    sys.exit(right < len(rows))


if __name__ == "__main__":
    main()
