"""The machine that a measurement was made on.

/proc, /sys and package metadata are read; neither a measured package nor numpy is imported.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from edge_scnet.machine import jetson, linux
from edge_scnet.machine.isa import limit_name
from edge_scnet.machine.linux import (
    cpu_quota_cores,
    cpuinfo,
    machine_flags,
    usable_cores,
)
from edge_scnet.machine.memory import total_memory_bytes

# The flags of /proc/cpuinfo that change which kernels run.
_FEATURES = (
    "sse4_1",
    "avx",
    "avx2",
    "fma",
    "avx_vnni",
    "avx_vnni_int8",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512dq",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "sve",
    "bf16",
)
_PACKAGES = (
    "edge-scnet",
    "numpy",
    "openvino",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxscript",
    "torch",
    "pillow",
    "safetensors",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
    "pycuda",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what something was measured.

    There is no host or user name in it: two boards of a kind are equal.
    """

    architecture: str
    cpu_model: str
    # that this process may run on (affinity), not what the machine has
    cores: int
    # processor time granted by the control group, in cores
    cpu_quota_cores: float | None
    memory_bytes: int | None
    # instruction sets that change which kernels run
    features: tuple[str, ...]
    # a hypervisor is underneath
    virtual: bool
    system: str
    kernel: str
    python: str
    # name and version of the installed ones
    packages: tuple[tuple[str, str], ...]
    # of the first core; None where the kernel does not say
    governor: str | None
    frequency_driver: str | None
    # as the device tree names it; None: this machine is no Jetson
    jetson_model: str | None
    # as in "36.4.3"
    jetson_l4t: str | None
    # the environment variable, which makes a machine act a lesser one
    onednn_max_cpu_isa: str | None

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of what makes two latencies comparable.

        Included are the processor, the cores and their quota, memory in whole GiB, instruction sets
        and their limit, whether it is virtual, governor, system, and the Jetson and its release.
        Left out are the kernel (a patch release would silence a latency gate for little: the timed
        loop makes few system calls), Python, and the packages (a gate is to catch a slower
        runtime).
        """
        gib = None if self.memory_bytes is None else round(self.memory_bytes / 2**30)
        facts = (
            self.architecture,
            self.cpu_model,
            self.cores,
            self.cpu_quota_cores,
            gib,
            self.features,
            self.virtual,
            self.system,
            self.governor,
            self.frequency_driver,
            self.jetson_model,
            self.jetson_l4t,
            self.onednn_max_cpu_isa,
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The record for JSON, with the packages as one object and the fingerprint."""
        return {**asdict(self), "packages": dict(self.packages), "fingerprint": self.fingerprint}


def collect() -> Environment:
    """Describes this machine as this process sees it."""
    info = cpuinfo()
    flags = machine_flags()
    return Environment(
        architecture=platform.machine(),
        cpu_model=_cpu_model(info),
        cores=usable_cores(),
        cpu_quota_cores=cpu_quota_cores(),
        memory_bytes=total_memory_bytes(),
        features=tuple(name for name in _FEATURES if name in flags),
        virtual="hypervisor" in flags,
        system=platform.system(),
        kernel=platform.release(),
        python=platform.python_version(),
        packages=package_versions(),
        governor=linux.read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        frequency_driver=linux.read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"),
        jetson_model=jetson.model(),
        jetson_l4t=jetson.l4t(),
        onednn_max_cpu_isa=limit_name(),
    )


@cache
def package_versions(names: tuple[str, ...] = _PACKAGES) -> tuple[tuple[str, str], ...]:
    """Names and versions of the installed packages among `names`, from their metadata."""
    import importlib.metadata  # 25 ms, which `--help` has no use for

    versions = []
    for name in names:
        try:
            versions.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(versions)


def _cpu_model(info: dict[str, str]) -> str:
    if "model name" in info:
        # Hypervisors shorten the name ("AMD EPYC"); the numbers still tell the generations apart.
        numbers = [
            f"{key.removeprefix('cpu ')} {info[key]}"
            for key in ("cpu family", "model", "stepping")
            if key in info
        ]
        return f"{info['model name']} ({', '.join(numbers)})" if numbers else info["model name"]
    if "CPU part" in info:
        return f"Arm implementer {info.get('CPU implementer', '?')} part {info['CPU part']}"
    return platform.processor() or platform.machine() or "unknown"
