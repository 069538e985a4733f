"""The machine: what a measurement must name, and which instruction sets it provides.

Reads /proc, /sys and package metadata; imports no measured package and not numpy. It knows nothing of targets or engines.

Floors of the instruction set, low to high: `avx2`, `avx2_vnni`, `avx512_vnni`. An engine built for one runs on machines that
provide it or a higher one.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edge_scnet.errors import TargetError

FLOORS = ("avx2", "avx2_vnni", "avx512_vnni")
NO_FLOOR = "none"  # of targets that no processor computes

# What each value lets oneDNN use. The sets are partially ordered (oneDNN's cpu_isa_traits.hpp): AVX512_CORE has no VNNI of
# either kind, and AVX512_CORE_VNNI has not the VEX-coded one, which comes back with AVX512_CORE_FP16.
_VEX, _EVEX = "avx_vnni", "avx512_vnni"
_LIMITS: dict[str, frozenset[str]] = {
    "SSE41": frozenset(),
    "AVX": frozenset(),
    "AVX2": frozenset({"avx2"}),
    "AVX2_VNNI": frozenset({"avx2", _VEX}),
    "AVX2_VNNI_2": frozenset({"avx2", _VEX}),
    "AVX512_CORE": frozenset({"avx2"}),
    "AVX512_CORE_VNNI": frozenset({"avx2", _EVEX}),
    "AVX512_CORE_BF16": frozenset({"avx2", _EVEX}),
}
_LIMITS |= {
    name: frozenset({"avx2", _VEX, _EVEX})
    for name in (
        "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16", "AVX10_1_512", "AVX10_1_512_AMX",
        "AVX10_1_512_AMX_FP16", "AVX10_2", "AVX10_2_512", "AVX10_2_512_AMX_2", "DEFAULT", "ALL",
    )
}  # fmt: skip

_BELOW_AVX512 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"})

# oneDNN's AVX512_CORE needs all four; VNNI comes on top.
_AVX512_CORE = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})
# The flags of /proc/cpuinfo that change which kernels run.
_FEATURES = (
    "sse4_1", "avx", "avx2", "fma", "avx_vnni", "avx_vnni_int8", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "sve", "bf16",
)  # fmt: skip
_PACKAGES = (
    "edge-scnet", "numpy", "openvino", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "torch", "pillow", "safetensors",
    "tensorrt", "tensorrt-rtx", "cuda-bindings", "pycuda",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what something was measured. No host or user name: two boards of a kind are equal."""

    architecture: str
    cpu_model: str
    cores: int  # this process may run on (affinity), not what the machine has
    cpu_quota_cores: float | None  # processor time granted by the control group, in cores
    memory_bytes: int | None
    features: tuple[str, ...]  # instruction sets that change which kernels run
    virtual: bool  # a hypervisor is underneath
    system: str
    kernel: str
    python: str
    packages: tuple[tuple[str, str], ...]  # name, version; installed ones only
    governor: str | None  # of the first core; None where the kernel does not say
    frequency_driver: str | None
    jetson_model: str | None
    jetson_l4t: str | None  # "36.4.3"
    onednn_max_cpu_isa: str | None  # the environment variable, which makes a machine act a lesser one

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of what makes two latencies comparable.

        In it: processor, cores and their quota, memory in whole GiB, instruction sets and their limit, virtual or not,
        governor, system, and the Jetson and its release. Not in it: the kernel (a patch release would silence a latency gate
        for little: the timed loop makes few system calls), Python, and the packages (a slower runtime is what a gate is to
        catch).
        """
        gib = None if self.memory_bytes is None else round(self.memory_bytes / 2**30)
        facts = (
            self.architecture, self.cpu_model, self.cores, self.cpu_quota_cores, gib, self.features, self.virtual, self.system,
            self.governor, self.frequency_driver, self.jetson_model, self.jetson_l4t, self.onednn_max_cpu_isa,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the packages as one object and the fingerprint included."""
        return {**asdict(self), "packages": dict(self.packages), "fingerprint": self.fingerprint}


def collect() -> Environment:
    """This machine, as this process sees it."""
    info = _cpuinfo()
    flags = machine_flags()
    return Environment(
        architecture=platform.machine(),
        cpu_model=_cpu_model(info),
        cores=usable_cores(),
        cpu_quota_cores=_cpu_quotausable_cores(),
        memory_bytes=_memory_bytes(),
        features=tuple(name for name in _FEATURES if name in flags),
        virtual="hypervisor" in flags,
        system=platform.system(),
        kernel=platform.release(),
        python=platform.python_version(),
        packages=package_versions(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        frequency_driver=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"),
        jetson_model=_jetson_model(),
        jetson_l4t=_jetson_l4t(),
        onednn_max_cpu_isa=_limit_name(None),
    )


def package_versions(names: tuple[str, ...] = _PACKAGES) -> tuple[tuple[str, str], ...]:
    """Versions of the installed ones among `names`, from their metadata: nothing is imported."""
    import importlib.metadata  # 25 ms, which `--help` has no use for

    found = []
    for name in names:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


def machine_flags() -> frozenset[str]:
    """The processor's features as /proc/cpuinfo spells them (`flags` on x86, `Features` on Arm); empty where there is none."""
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def provided_isa(cpu_flags: frozenset[str] | None = None, limit: str | None = None) -> tuple[str, ...]:
    """The floors this machine provides, low to high; empty on anything but x86-64 with AVX2.

    Args:
        cpu_flags: flags in the spelling of /proc/cpuinfo; None: this machine's.
        limit: a value of ONEDNN_MAX_CPU_ISA; None: the environment's.

    `avx2_vnni` means 8-bit products summed in 32 bits, whichever encoding does it: AVX512-VNNI provides it as well.
    Arm has its dot product (asimddp), but no target for it exists yet.

    Raises:
        TargetError: an unknown limit; oneDNN itself would ignore it without a word.
    """
    flags = machine_flags() if cpu_flags is None else cpu_flags
    allowed = _LIMITS[_limit_name(limit) or "DEFAULT"]
    if "avx2" not in flags & allowed:
        return ()
    evex = _EVEX in flags & allowed and flags >= _AVX512_CORE
    vex = _VEX in flags & allowed
    return ("avx2", *(("avx2_vnni",) if vex or evex else ()), *(("avx512_vnni",) if evex else ()))


def limited_below_avx512() -> bool:
    """Whether ONEDNN_MAX_CPU_ISA keeps oneDNN from AVX-512.

    Raises:
        TargetError: a value that oneDNN does not know.
    """
    return _limit_name(None) in _BELOW_AVX512


def resolve_floor(isa: str) -> str:
    """`native` becomes the highest floor this machine provides; a floor stays what it is, provided here or not.

    Raises:
        TargetError: not a floor, or `native` where no floor is provided.
    """
    if isa in FLOORS or isa == NO_FLOOR:
        return isa
    if isa != "native":
        raise TargetError(f"unknown instruction set {isa!r}\nallowed: native, {', '.join(FLOORS)}, {NO_FLOOR}")
    if not (provided := provided_isa()):
        raise TargetError(
            f"CPU targets need an x86-64 processor with AVX2; this machine provides {_provided_words(provided)}",
            hint="edge-scnet targets",
        )
    return provided[-1]


def check_floor(floor: str, *, what: str, hint: str = "edge-scnet build --target cpu-avx2") -> None:
    """Refuses an engine that was built for more than this machine has.

    Args:
        what: the engine, as the message is to name it.
        hint: the command that builds one for this machine.

    Raises:
        TargetError: this machine does not provide `floor`.
    """
    provided = provided_isa()
    if floor != NO_FLOOR and resolve_floor(floor) not in provided:
        raise TargetError(
            f"{what} needs {floor}; this machine provides {_provided_words(provided)}",
            hint=hint if provided else "edge-scnet targets",
        )


def weight_bits(floor: str) -> int:
    """Bits of a quantized weight that are safe at `floor`: 7 without VNNI (codes -64 to 64), else 8.

    AVX2 multiplies u8 by s8 with vpmaddubsw, which adds two products in a signed 16-bit lane and saturates: 2 * 255 * 127 =
    64,770 is beyond 32,767, 2 * 255 * 64 = 32,640 is not (oneDNN #1354). VNNI sums four products in 32 bits.

    Raises:
        TargetError: not a floor.
    """
    return 7 if resolve_floor(floor) == "avx2" else 8


def _provided_words(provided: tuple[str, ...]) -> str:
    words = ", ".join(provided)
    if not provided:
        machine = platform.machine() or "an unknown processor"
        words = f"none of {', '.join(FLOORS)} ({machine})"
    limit = _limit_name(None)
    return f"{words} (limited by ONEDNN_MAX_CPU_ISA={limit})" if limit else words


def _limit_name(limit: str | None) -> str | None:
    # oneDNN's own order of names, and its letters count in either case.
    value = limit if limit is not None else os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA")
    if not value:
        return None
    if value.upper() not in _LIMITS:
        raise TargetError(f"ONEDNN_MAX_CPU_ISA is {value!r}\nallowed: {', '.join(_LIMITS)}", hint="unset ONEDNN_MAX_CPU_ISA")
    return value.upper()


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo, and what stands after the last one (boards name themselves there)."""
    info: dict[str, str] = {}
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    return info


def _cpu_model(info: dict[str, str]) -> str:
    if "model name" in info:
        # Hypervisors shorten the name ("AMD EPYC"); the numbers still tell the generations apart.
        numbers = [f"{key.removeprefix('cpu ')} {info[key]}" for key in ("cpu family", "model", "stepping") if key in info]
        return f"{info['model name']} ({', '.join(numbers)})" if numbers else info["model name"]
    if "CPU part" in info:
        return f"Arm implementer {info.get('CPU implementer', '?')} part {info['CPU part']}"
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _cpu_quotausable_cores() -> float | None:
    if text := _read("/sys/fs/cgroup/cpu.max"):  # "200000 100000" or "max 100000"
        quota, _, period = text.partition(" ")
    else:
        quota = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or ""
        period = _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or ""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) > 0 else None


def _memory_bytes() -> int | None:
    """The machine's memory, or the control group's limit where that is lower."""
    limits = [
        int(text)
        for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        if (text := _read(path)) and text.isdecimal()
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def available_memory_bytes() -> int | None:
    """Memory a new process can take without swapping: of the machine and of its control group, whichever is less."""
    free = []
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit and used and limit.isdecimal() and used.isdecimal():
        free.append(int(limit) - int(used))
    return min(free, default=None)


def used_memory_bytes(root: Path = Path("/")) -> int | None:
    """Memory of the machine in use, file caches not counted: on a Jetson what the GPU has taken is in it."""
    found = {}
    for line in (_read(str(root / "proc/meminfo")) or "").splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            found[name] = int(rest.split()[0]) * 1024
    return found["MemTotal"] - found["MemAvailable"] if len(found) == 2 else None


def return_freed_memory() -> None:
    """Collects dropped graphs, whose values refer to each other, and gives back to the system what the C library keeps.

    Graphs and sessions that come one after the other otherwise add up. Outside glibc, which has malloc_trim, only the first.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _jetson_model() -> str | None:
    model = _read("/proc/device-tree/model")
    return model if model and "jetson" in model.lower() else None


def _jetson_l4t() -> str | None:
    """From `# R36 (release), REVISION: 4.3, ...`."""
    head, _, rest = (_read("/etc/nv_tegra_release") or "").partition("(release), REVISION:")
    revision = rest.partition(",")[0].strip()
    return f"{head.strip('# ').removeprefix('R').strip()}.{revision}" if revision else None


def _read(path: str) -> str | None:
    """A small text file of the system, without the NUL that device trees end with; None where it is not readable."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").rstrip("\0\n") or None
    except OSError:
        return None
