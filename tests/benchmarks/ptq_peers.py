"""Compares our quantizer with NNCF, ONNX Runtime and ModelOpt.

All get one float model and the same calibration and test images.

    python tests/benchmarks/ptq_peers.py --work DIR --out peers.json --markdown peers.md
        [--models fashion,cifar10,scnet50 --cifar10 DIR [--cifar10-weights FILE.safetensors]
        --clothing DIR] [--only ours,nncf-onnx] [--fresh]

--cifar10 holds cifar10_train.npz and cifar10_test.npz; the weights are the zoo's where it has them.
--clothing holds calib/ and eval/, class folders of photographs; SCNet-50's weights are drawn, so
only its times and memory mean something. Each peer gets a virtual environment under --work,
installed by pip from the versions below; ModelOpt needs torch, of which pip takes the large CUDA
build unless told otherwise.

Quantizers run one after another, each in a process of its own (peers/quantize.py). `s` is from
before the float model is read until the file is written, imports apart; `MB` is that process's
VmHWM. `compiled` is the OpenVINO engine against the float32 engine, `simulated` the Q/DQ file in
ONNX Runtime with optimisations off against the float file there. Latency is of three engines timed
in turn in one process (peers/engine.py): float32, our default, and the row's. Without VNNI, engines
of 8-bit weights saturate; where the processor has it, `compiled` is done again as on AVX2, by
ONEDNN_MAX_CPU_ISA. What is finished is kept under --work and reused while its inputs and settings
are the same; what failed is tried again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from child_steps import INSTALLS, Failed, python_of, step
from envelope import begin
from ptq_rows import MANY, Row, all_rows
from ptq_tables import cells, markdown

import edge_scnet
from edge_scnet.config import model_options
from edge_scnet.core.files import sha256_file, write_atomic, write_text
from edge_scnet.data import batches, checks, idx, images
from edge_scnet.data import samples as dataset
from edge_scnet.machine import environment, isa
from edge_scnet.stats import accuracy as metrics
from edge_scnet.stats.figures import AccuracyStats

SAMPLES = {"fashion": 1024, "cifar10": 1024, "scnet50": 300}
EVAL_PHOTOGRAPHS = 50  # enough to see an engine that is broken
RUNS = {"compiled": {}, "compiled_avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "simulated": {}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with its preprocessed images, as files."""

    folder: Path
    model: Path
    labels: np.ndarray | None

    def array(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


# The inputs: a float model and arrays of images, the same for every row.


def prepare(name: str, args: argparse.Namespace) -> Case:
    folder: Path = args.work / name
    folder.mkdir(parents=True, exist_ok=True)
    model, options = (
        {"fashion": "scnet20-fashion-mnist", "cifar10": "scnet20-cifar10"}.get(name, ""),
        model_options.ModelOptions(),
    )
    if name == "cifar10" and args.cifar10_weights:
        model, options = (
            str(args.cifar10_weights),
            model_options.ModelOptions(arch="scnet20", name=model),
        )
    if name == "scnet50":
        from scnet50_224 import make_checkpoint

        model, options = str(folder / "scnet50.pth"), model_options.ModelOptions(arch="scnet50")
        if not Path(model).exists():
            make_checkpoint("scnet50", args.clothing / "calib", Path(model))
    parity_images = args.clothing / "calib" if name == "scnet50" else None
    built = edge_scnet.build(
        model, calib=parity_images, out=folder / "build", model_options=options, until="export"
    )
    spec, labels = built.manifest.model, None
    pixels: dict[str, list[np.ndarray]]
    if name == "cifar10":
        from edge_scnet.training import split_held_out

        train, train_labels = idx.read_published("cifar10", args.cifar10, "train")
        held, (test, labels) = (
            split_held_out(train_labels)[1],
            idx.read_published("cifar10", args.cifar10, "test"),
        )
        pixels = {
            "calib": list(train[held[np.arange(SAMPLES[name]) * len(held) // SAMPLES[name]]]),
            "test": list(test),
        }
    else:
        roots = (
            dataset.bundled_sets(spec.dataset)
            if spec.dataset
            else (args.clothing / "calib", args.clothing / "eval")
        )
        calib = dataset.open_samples(roots[0], model=spec, role="calibration", limit=SAMPLES[name])
        test = dataset.open_samples(
            roots[1],
            model=spec,
            role="evaluation",
            ignore_labels=not spec.dataset,
            limit=None if spec.dataset else EVAL_PHOTOGRAPHS,
        )
        checks.check_overlap(calib, test)
        labels = None if test.labels is None else np.array(test.labels)
        sets = (("calib", calib), ("test", test))
        pixels = {key: [batches.load_pixels(s, i, spec) for i in range(len(s))] for key, s in sets}
    case = Case(folder=folder, model=built.folder / "model.onnx", labels=labels)
    for key, pictures in pixels.items():
        with write_atomic(case.array(key)) as temporary:
            np.save(temporary, np.stack([images.preprocess(picture, spec) for picture in pictures]))
    if name == "scnet50":
        _augment(case.array("calib"), case.array("many"))
    return case


def _augment(source: Path, out: Path) -> None:
    """MANY images from fewer: each turn through them is flipped or not, and cropped elsewhere."""
    rng, pad, few = np.random.default_rng(0), 16, np.load(source, mmap_mode="r")
    side = few.shape[-1]
    with write_atomic(out) as temporary:
        file = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.float32, shape=(MANY, *few.shape[1:])
        )
        for i, row in enumerate(file):
            image = few[i % len(few)][:, :, :: -1 if i // len(few) % 2 else 1]
            y, x = rng.integers(0, 2 * pad + 1, 2)
            row[:] = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")[
                :, y : y + side, x : x + side
            ]
        file.flush()


# A row: the file, what it computes, how fast.


def measure(
    case: Case, row: Row, default: Path, args: argparse.Namespace, runs: Iterable[str]
) -> dict[str, Any]:
    """Every figure of a row; where a step failed, "error" says why, and the figures behind it are
    missing.
    """
    result: dict[str, Any] = {**asdict(row)}
    try:
        file, result["quantize"] = quantize(case, row, args)
        if row.many:
            return result
        for how in runs:
            if row.openvino if how != "simulated" else file.suffix == ".onnx":
                # the float model's are the machine's, not the row's: --fresh does not renew them
                reference, _ = logits(case, case.model, how, case.folder / "fp32", fresh=False)
                found, record = logits(case, file, how, file.parent, fresh=args.fresh)
                result[how] = {
                    **_flat(metrics.accuracy_stats(found, reference, case.labels)),
                    **record,
                }
        if row.openvino:
            others = {"ours": default} if default.is_file() and default != file else {}
            result["latency"] = step(
                file.parent / "latency",
                Path(sys.executable),
                {"task": "latency", "rounds": args.rounds},
                {"fp32": case.model, **others, "row": file, "images": case.array("test")},
                key=environment.package_versions(("openvino",)),
                out=None,
                fresh=args.fresh,
            )
    except (Failed, ValueError) as error:
        result["error"] = str(error)
    return result


def quantize(case: Case, row: Row, args: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    folder = case.folder / row.name
    folder.mkdir(exist_ok=True)
    model = folder / "float.onnx"  # a copy: some quantizers leave files beside the model
    shutil.copyfile(case.model, model)
    package = Path(edge_scnet.__file__).parent
    code = (
        sorted([*(package / "quantizer").rglob("*.py"), *(package / "graph").rglob("*.py")])
        if row.group == "ours"
        else []
    )
    job = {
        "group": row.group,
        "options": row.options,
        "memory_limit_bytes": int(args.memory_limit_gib * 2**30),
    }
    files = {"model": model, "calib": case.array("many" if row.many else "calib")}
    key = [INSTALLS[row.group], [sha256_file(file) for file in code]]
    out, python = folder / row.file, python_of(row.group, args.work)
    return out, step(folder / "quantize", python, job, files, key=key, out=out, fresh=args.fresh)


def logits(
    case: Case, model: Path, how: str, folder: Path, *, fresh: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    out, key = folder / f"{how}.npy", environment.package_versions(("openvino", "onnxruntime"))
    job, files = (
        {"task": "logits", "how": how.partition("_")[0]},
        {
            "model": model,
            "images": case.array("test"),
        },
    )
    record = step(
        folder / how,
        Path(sys.executable),
        job,
        files,
        key=key,
        out=out,
        fresh=fresh,
        variables=RUNS[how],
    )
    return np.load(out), record


def _flat(stats: AccuracyStats) -> dict[str, Any]:
    """Accuracy with the figures that need labels beside the others."""
    figures = asdict(stats)
    labelled = figures.pop("labels")
    return {**figures, **(labelled or {})}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="environments, models, and what is finished"
    )
    parser.add_argument("--out", type=Path, help="JSON")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--models", default="fashion", help=f"of {','.join(SAMPLES)}")
    parser.add_argument(
        "--only", default=",".join(INSTALLS), help=f"of {','.join(INSTALLS)}, or names of rows"
    )
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--cifar10-weights", type=Path)
    parser.add_argument("--clothing", type=Path)
    parser.add_argument("--rounds", type=int, default=20, help="of blocks timed in turn")
    parser.add_argument(
        "--memory-limit-gib",
        type=float,
        default=12.0,
        help="of a quantizer's process (RLIMIT_DATA)",
    )
    parser.add_argument("--fresh", action="store_true", help="measure the chosen rows again")
    args = parser.parse_args()
    args.work = args.work.resolve()
    chosen, only, floor = (
        args.models.split(","),
        set(args.only.split(",")),
        isa.resolve_floor("native"),
    )
    rows = all_rows(isa.weight_bits(floor))
    if strange := {*chosen} - {*SAMPLES} | only - {*INSTALLS} - {row.name for row in rows}:
        parser.error(f"unknown: {', '.join(sorted(strange))}")
    for model, needed in (("cifar10", "cifar10"), ("scnet50", "clothing")):
        if model in chosen and getattr(args, needed) is None:
            parser.error(f"--models {model} needs --{needed} DIR")
    begun = begin()
    report: dict[str, Any] = {
        "installs": INSTALLS,
        "runs": [how for how in RUNS if how != "compiled_avx2" or floor != "avx2"],
        "models": {},
    }
    for name in chosen:
        case, results = prepare(name, args), list[dict[str, Any]]()
        count = len(np.load(case.array("test"), mmap_mode="r"))
        report["models"][name] = {
            "calibration_images": SAMPLES[name],
            "test_images": count,
            "rows": results,
        }
        for row in rows:
            if not {row.name, row.group} & only or (row.many and name != "scnet50"):
                continue
            default = case.folder / rows[0].name / rows[0].file
            results.append(measure(case, row, default, args, report["runs"]))
            print(f"{name}: {' | '.join(cells(results[-1], report['runs']))}", file=sys.stderr)
            result = begun.write(report, args.out, peers_of(report))
            if args.markdown:
                write_text(args.markdown, markdown(result))
    print(markdown(result))


def peers_of(report: dict[str, Any]) -> dict[str, str]:
    """The versions of the quantizers that were measured, beside ours."""
    packages = {"nncf": "nncf", "ort": "onnxruntime", "modelopt": "nvidia-modelopt"}
    made = [
        (packages[row["group"]], row["quantize"]["versions"])
        for model in report["models"].values()
        for row in model["rows"]
        if row["group"] in packages and "quantize" in row
    ]
    return {name: versions[name] for name, versions in made if name in versions}


if __name__ == "__main__":
    main()
