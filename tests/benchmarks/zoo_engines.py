"""The engines of `zoo.py`: quantized, compiled, run and timed in child processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from child_steps import INSTALLS, step
from zoo_figures import Powers, agreement_percent, powers_of, quality_of
from zoo_networks import CALIBRATION_IMAGES, Files, Network

from edge_scnet.core.files import sha256_file, write_text
from edge_scnet.machine import environment

_SIMULATED_BITS = 8
_MEMORY_BYTES = 12 * 2**30
# What a search is to reach.
_LEAST_DB = 25.0
# A file for the simulation, and one for this machine.
_Pair = tuple[Path | None, Path | None]


@dataclass(frozen=True, kw_only=True)
class Quantizer:
    """What makes an INT8 file of a float graph: a checkout of the project, or NNCF."""

    name: str
    checkout: Path | None = None
    # of NNCF's environment
    python: Path = Path(sys.executable)
    # more arguments of a checkout's `build`
    options: Mapping[str, Any] = field(default_factory=dict)
    # a file for VNNI, and one for this machine too, where its weights have other bits: of what
    # takes minutes only one is made
    simulated: bool = True
    compiled: bool = True


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of a quantizer's files, and its engine for this machine where it has one."""

    figures: dict[str, Any]
    engine: Path | None
    # by how its file was run
    powers: dict[str, Powers]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of one network, each kept.

    `bits` are those of weights that suit this machine.
    """

    network: Network
    files: Files
    bits: int
    fresh: bool

    def measure(self, quantizer: Quantizer) -> Measured:
        """Quantizes, compiles, runs.

        Raises:
            Failed: a step did not end well.
        """
        folder = self.files.folder / quantizer.name
        folder.mkdir(exist_ok=True)
        if quantizer.checkout is not None:
            (simulated, native), made = self._ours(quantizer, folder)
        else:
            (simulated, native), made = self._nncf(quantizer, folder)
        figures: dict[str, Any] = {"quantize": made, "weight_bits": self.bits}
        powers = dict[str, Powers]()
        if simulated is not None:
            figures["simulated"], powers["simulated"] = self._quality(
                simulated, "simulated", folder
            )
        engine = None
        if native is not None:
            engine = self._compile(native, folder)
            figures["compiled"], powers["compiled"] = self._quality(engine, "compiled", folder)
        return Measured(figures=figures, engine=engine, powers=powers)

    def latency(self, engines: Mapping[str, Path], rounds: int) -> dict[str, Any]:
        """Times FP32 and the engines in turn; ratios are of ours to each other."""
        own, others = engines["ours"], {n: e for n, e in engines.items() if n != "ours"}
        fp32 = self._compile(self.files.model, self._float_folder())
        timed = {"fp32": fp32, **others, "ours": own}
        return step(
            self.files.folder / "latency",
            Path(sys.executable),
            {"task": "latency", "rounds": rounds, "names": [*timed]},
            {**timed, "images": self.files.images("eval")},
            key=environment.package_versions(("openvino",)),
            out=None,
            fresh=self.fresh,
        )

    def _ours(self, quantizer: Quantizer, folder: Path) -> tuple[_Pair, dict[str, Any]]:
        """The Q/DQ files of a checkout: for the simulation, and for this machine."""
        assert quantizer.checkout is not None
        build, out = folder / "build", folder / "model.qdq.onnx"
        build.mkdir(exist_ok=True)
        write_text(build / "zoo.toml", _target(quantizer.checkout))
        bits = [_SIMULATED_BITS] if quantizer.simulated else []
        if quantizer.compiled and self.bits not in bits:
            bits.append(self.bits)
        job = {
            "script": "checkout.py",
            "build": str(build),
            "bits": bits,
            "options": dict(quantizer.options),
            "search": "search_seconds" in quantizer.options,
        }
        package = quantizer.checkout / "edge_scnet"
        key = [
            {str(f.relative_to(package)): sha256_file(f) for f in sorted(package.rglob("*.py"))},
            sha256_file(build / "zoo.toml"),
            environment.package_versions(),
        ]
        images = {name: self.files.images(name) for name in ("calib", "eval")}
        for part in ("export", "quantize"):
            made = step(
                folder / part,
                quantizer.python,
                {**job, "step": part},
                {"model": self.files.model, **images},
                key=key,
                out=out if part == "quantize" else None,
                fresh=self.fresh,
                variables={"PYTHONPATH": str(quantizer.checkout)},
            )
        of_bits = {bits[0]: out} | {
            more: out.with_name(f"{out.stem}-{more}{out.suffix}") for more in bits[1:]
        }
        simulated = of_bits.get(_SIMULATED_BITS) if quantizer.simulated else None
        return (simulated, of_bits.get(self.bits)), made

    def _nncf(self, quantizer: Quantizer, folder: Path) -> tuple[_Pair, dict[str, Any]]:
        """NNCF's files: of its ONNX backend for the simulation, of its OpenVINO backend here.

        Its figures of time and memory are the latter's, which its users take for this runtime.
        """
        results = {}
        for stem, suffix, options in (
            ("onnx", ".onnx", {}),
            ("openvino", ".xml", {"overflow_fix": True} if self.bits < _SIMULATED_BITS else {}),
        ):
            out = folder / f"{stem}{suffix}"
            job = {"group": "nncf", "options": options, "memory_limit_bytes": _MEMORY_BYTES}
            made = step(
                folder / f"quantize-{stem}",
                quantizer.python,
                job,
                {"model": self.files.model, "calib": self.files.images("calib")},
                key=INSTALLS["nncf"],
                out=out,
                fresh=self.fresh,
            )
            results[stem] = (out, made)
        engine, made = results["openvino"]
        return (results["onnx"][0], engine), made

    def _compile(self, model: Path, folder: Path) -> Path:
        """The engine that `build` would make of an ONNX file; an IR is one."""
        if model.suffix == ".xml":
            return model
        out = folder / "model.xml"
        step(
            folder / "compile",
            Path(sys.executable),
            {"task": "compile"},
            {"model": model},
            key=environment.package_versions(("openvino",)),
            out=out,
            fresh=self.fresh,
        )
        return out

    def _float_folder(self) -> Path:
        folder = self.files.folder / "fp32"
        folder.mkdir(exist_ok=True)
        return folder

    def _quality(self, model: Path, how: str, folder: Path) -> tuple[dict[str, Any], Powers]:
        """The figures of a file's outputs against the float graph's, both run the same way."""
        reference = self.files.model
        if how == "compiled":
            reference = self._compile(reference, self._float_folder())
        wanted, _ = self._outputs(reference, how, "eval", self._float_folder())
        found, facts = self._outputs(model, how, "eval", folder)
        images = len(np.load(self.files.images("eval"), mmap_mode="r"))
        powers = powers_of(wanted, found, images)
        quality = {**facts, **quality_of(powers), "agreement_percent": None}
        if self.network.classifies:
            wanted, _ = self._outputs(reference, how, "more", self._float_folder())
            found, _ = self._outputs(model, how, "more", folder)
            quality["agreement_percent"] = agreement_percent(wanted[0], found[0])
            quality["agreement_images"] = len(wanted[0])
        return quality, powers

    def _outputs(
        self, model: Path, how: str, images: str, folder: Path
    ) -> tuple[list[np.ndarray], dict[str, Any]]:
        out = folder / f"{how}-{images}.npz"
        facts = step(
            folder / f"{how}-{images}",
            Path(sys.executable),
            {"task": "outputs", "how": how},
            {"model": model, "images": self.files.images(images)},
            key=environment.package_versions(("openvino", "onnxruntime")),
            out=out,
            # the float model's are the machine's, not the quantizer's
            fresh=self.fresh and folder != self._float_folder(),
        )
        with np.load(out) as arrays:
            return [arrays[str(i)] for i in range(len(arrays.files))], facts


def _target(checkout: Path) -> str:
    """The checkout's target `cpu`, for these images, with a limit that a search heeds."""
    shipped = (checkout / "targets" / "cpu.toml").read_text()
    samples = f"[quant]\nsamples = {CALIBRATION_IMAGES}\n"
    limit = f"[gates]\nmin_sqnr_db = {_LEAST_DB}\n"
    return shipped.replace("[quant]\n", samples).replace("[gates]\n", limit)
