"""The instruction sets of this machine, and the weight bits that are right on each.

Floors of the instruction set, low to high: `avx2`, `avx2_vnni`, `avx512_vnni` of x86-64; `asimd`,
`asimddp` (the dot product), `i8mm` of 64-bit Arm, in the spelling of its /proc/cpuinfo. An engine
built for one runs on machines that provide it or a higher one of the same family.
"""

from __future__ import annotations

import itertools
import os
import platform

from edge_scnet.errors import TargetError
from edge_scnet.machine.linux import machine_flags

X86_FLOORS = ("avx2", "avx2_vnni", "avx512_vnni")
ARM_FLOORS = ("asimd", "asimddp", "i8mm")
FLOORS = (*X86_FLOORS, *ARM_FLOORS)
NO_FLOOR = "none"  # of targets that no processor computes

# What each value of ONEDNN_MAX_CPU_ISA lets oneDNN use. The sets are partially ordered (oneDNN's
# cpu_isa_traits.hpp): AVX512_CORE has no VNNI of either kind, and AVX512_CORE_VNNI has not the
# VEX-coded one, which comes back with AVX512_CORE_FP16.
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
        "AVX512_CORE_FP16",
        "AVX512_CORE_AMX",
        "AVX512_CORE_AMX_FP16",
        "AVX10_1_512",
        "AVX10_1_512_AMX",
        "AVX10_1_512_AMX_FP16",
        "AVX10_2",
        "AVX10_2_512",
        "AVX10_2_512_AMX_2",
        "DEFAULT",
        "ALL",
    )
}

_WITHOUT_BF16 = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
)
_BELOW_AVX512 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"})
# oneDNN's AVX512_CORE needs all four; VNNI comes on top.
_AVX512_CORE = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})


def provided_isa(
    cpu_flags: frozenset[str] | None = None, limit: str | None = None
) -> tuple[str, ...]:
    """The floors that a machine provides, low to high.

    Empty on anything but x86-64 with AVX2 and 64-bit Arm. `avx2_vnni` means 8-bit products summed
    in 32 bits, whichever encoding does it: AVX512-VNNI provides it as well. `asimd` is all 64-bit
    Arm; each further floor of it needs those below, as every processor that has it does.

    Args:
        cpu_flags: flags in the spelling of /proc/cpuinfo; None: this machine's.
        limit: a value of ONEDNN_MAX_CPU_ISA; None: the environment's.

    Raises:
        TargetError: an unknown limit; oneDNN itself would ignore it without a word.
    """
    flags = machine_flags() if cpu_flags is None else cpu_flags
    allowed = _LIMITS[limit_name(limit) or "DEFAULT"]
    if ARM_FLOORS[0] in flags:  # oneDNN's limits are of x86-64
        return tuple(itertools.takewhile(flags.__contains__, ARM_FLOORS))
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
    return limit_name() in _BELOW_AVX512


def provides_bf16(cpu_flags: frozenset[str] | None = None, limit: str | None = None) -> bool:
    """Whether oneDNN multiplies BF16 numbers here: by AVX512-BF16 or AMX.

    Args:
        cpu_flags, limit: as `provided_isa`.

    Raises:
        TargetError: an unknown limit.
    """
    flags = machine_flags() if cpu_flags is None else cpu_flags
    if limit_name(limit) in _WITHOUT_BF16 or not flags >= _AVX512_CORE:
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"})


def resolve_floor(isa: str) -> str:
    """The floor that a target's `isa` means on this machine.

    `native` becomes the highest floor that the machine provides; a floor stays what it is, provided
    here or not.

    Raises:
        TargetError: not a floor, or `native` where no floor is provided.
    """
    if isa in FLOORS or isa == NO_FLOOR:
        return isa
    if isa != "native":
        raise TargetError(
            f"unknown instruction set {isa!r}\nallowed: native, {', '.join(FLOORS)}, {NO_FLOOR}"
        )
    if not (provided := provided_isa()):
        raise TargetError(
            "CPU targets need an x86-64 processor with AVX2, or 64-bit Arm; this machine provides"
            f" {_provided_words(provided)}",
            hint="edge-scnet targets",
        )
    return provided[-1]


def is_elsewhere(floor: str) -> bool:
    """Whether only machines of another kind run an engine of this floor: Arm's, seen from x86-64.

    Its files are made here all the same: they are good for every machine of their kind, and
    measured on one.
    """
    return floor in ARM_FLOORS and ARM_FLOORS[0] not in provided_isa()


def target_for_any_machine() -> str:
    """The target whose engines run on every machine of this one's kind."""
    return "arm64" if ARM_FLOORS[0] in provided_isa() else "cpu-avx2"


def check_floor(floor: str, *, what: str, hint: str | None = None) -> None:
    """Refuses an engine that was built for more than this machine provides.

    Args:
        what: the engine, as the message is to name it.
        hint: what to do; None: the command that builds an engine for this machine.

    Raises:
        TargetError: this machine does not provide `floor`.
    """
    provided = provided_isa()
    if floor != NO_FLOOR and resolve_floor(floor) not in provided:
        command = hint or f"edge-scnet build --target {target_for_any_machine()}"
        raise TargetError(
            f"{what} needs {floor}; this machine provides {_provided_words(provided)}",
            hint=command if provided else "edge-scnet targets",
        )


def weight_bits(floor: str) -> int:
    """The bits of a quantized weight that are right at `floor`.

    7 where nothing but AVX2 is sure (codes -64 to 64), else 8.

    AVX2 multiplies u8 by s8 with vpmaddubsw, which adds two products in a signed 16-bit lane and
    saturates: 2 * 255 * 127 = 64,770 is beyond 32,767, 2 * 255 * 64 = 32,640 is not (oneDNN #1354).
    VNNI sums four products in 32 bits, Arm's dot product too; without it two products of signed
    codes are added in 16 bits, and 2 * 128 * 127 = 32,512 fits.

    Raises:
        TargetError: not a floor.
    """
    return 7 if resolve_floor(floor) == "avx2" else 8


def _provided_words(provided: tuple[str, ...]) -> str:
    words = ", ".join(provided)
    if not provided:
        machine = platform.machine() or "an unknown processor"
        words = f"none of {', '.join(FLOORS)} ({machine})"
    limit = limit_name()
    return f"{words} (limited by ONEDNN_MAX_CPU_ISA={limit})" if limit else words


def limit_name(limit: str | None = None) -> str | None:
    """The limit of the instruction set in oneDNN's spelling; None: there is none.

    Args:
        limit: a value of ONEDNN_MAX_CPU_ISA, upper or lower case; None: the environment's, under
            the newer of oneDNN's two names first.

    Raises:
        TargetError: a value that oneDNN does not know.
    """
    value = (
        limit
        if limit is not None
        else os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA")
    )
    if not value:
        return None
    if value.upper() not in _LIMITS:
        raise TargetError(
            f"ONEDNN_MAX_CPU_ISA is {value!r}\nallowed: {', '.join(_LIMITS)}",
            hint="unset ONEDNN_MAX_CPU_ISA",
        )
    return value.upper()
