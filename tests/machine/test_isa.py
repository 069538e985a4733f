"""Floors of the instruction set, from invented flags."""

from __future__ import annotations

import pytest

from edge_scnet.errors import TargetError
from edge_scnet.machine import linux
from edge_scnet.machine.isa import (
    FLOORS,
    check_floor,
    is_elsewhere,
    limited_below_avx512,
    provided_isa,
    provides_bf16,
    resolve_floor,
    target_for_any_machine,
    weight_bits,
)
from tests.helpers.machines import act

AVX2 = frozenset({"sse4_1", "avx", "avx2", "fma"})
ALDER_LAKE = AVX2 | {"avx_vnni"}
SKYLAKE_X = AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
ZEN4 = SKYLAKE_X | {"avx512_vnni", "avx512_bf16"}
ZEN5 = ZEN4 | {"avx_vnni"}
PI5 = frozenset({"fp", "asimd", "asimdhp", "asimddp"})
ALL = ("avx2", "avx2_vnni", "avx512_vnni")


def act_cpu(monkeypatch: pytest.MonkeyPatch, flags: frozenset[str]) -> None:
    act(monkeypatch, {"/proc/cpuinfo": f"processor\t: 0\nflags\t\t: {' '.join(sorted(flags))}\n"})


@pytest.mark.parametrize(
    ("flags", "limit", "floors"),
    [
        (frozenset(), "DEFAULT", ()),
        (frozenset({"avx"}), "DEFAULT", ()),
        (PI5, "DEFAULT", ("asimd", "asimddp")),
        (PI5 - {"asimddp"}, "DEFAULT", ("asimd",)),
        (PI5 | {"i8mm", "sve"}, "AVX2", ("asimd", "asimddp", "i8mm")),  # the limit is oneDNN's
        (AVX2, "DEFAULT", ("avx2",)),
        (ALDER_LAKE, "DEFAULT", ("avx2", "avx2_vnni")),
        (SKYLAKE_X, "DEFAULT", ("avx2",)),
        (ZEN4, "DEFAULT", ALL),
        (ZEN4, "ALL", ALL),
        (ZEN5, "AVX512_CORE_AMX", ALL),
        (ZEN4 - {"avx512vl"}, "DEFAULT", ("avx2",)),  # VNNI without what oneDNN builds on
        (ZEN5, "SSE41", ()),
        (ZEN5, "AVX", ()),
        (ZEN5, "AVX2", ("avx2",)),
        (ZEN5, "avx2", ("avx2",)),
        (ZEN5, "AVX2_VNNI", ("avx2", "avx2_vnni")),
        (ZEN5, "AVX2_VNNI_2", ("avx2", "avx2_vnni")),
        (
            ZEN4,
            "AVX2_VNNI",
            ("avx2",),
        ),  # it has only the other encoding, and that is beyond the limit
        (ZEN5, "AVX512_CORE", ("avx2",)),  # neither VNNI
        (ZEN5, "AVX512_CORE_VNNI", ALL),
        (ALDER_LAKE, "AVX512_CORE_BF16", ("avx2",)),
        (ALDER_LAKE, "AVX512_CORE_FP16", ("avx2", "avx2_vnni")),
        (AVX2, "AVX512_CORE_AMX", ("avx2",)),  # a limit grants nothing
    ],
)
def test_provided_floors(flags: frozenset[str], limit: str, floors: tuple[str, ...]):
    assert provided_isa(flags, limit) == floors


def test_the_environment_limits(monkeypatch: pytest.MonkeyPatch):
    assert provided_isa(ZEN4) == ALL
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    assert provided_isa(ZEN4) == ALL
    monkeypatch.setenv(
        "DNNL_MAX_CPU_ISA", "AVX2"
    )  # oneDNN's older name, and the newer one goes first
    assert provided_isa(ZEN4) == ("avx2",) and limited_below_avx512()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
    assert provided_isa(ZEN4) == ALL and not limited_below_avx512()
    for name in ("avx2_vnni_2", "SSE41"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", name)
        assert limited_below_avx512()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX3")
    with pytest.raises(
        TargetError, match="ONEDNN_MAX_CPU_ISA is 'AVX3'\nallowed: SSE41, AVX, AVX2"
    ):
        provided_isa(ZEN4)


def test_native_is_the_highest_floor_and_others_stay(monkeypatch: pytest.MonkeyPatch):
    for flags, expected in ((AVX2, "avx2"), (ALDER_LAKE, "avx2_vnni"), (ZEN4, "avx512_vnni")):
        linux.cpuinfo.cache_clear()
        act_cpu(monkeypatch, flags)
        assert resolve_floor("native") == expected
        assert resolve_floor("avx512_vnni") == "avx512_vnni"
    with pytest.raises(TargetError, match="unknown instruction set 'avx3'\nallowed: native, avx2"):
        resolve_floor("avx3")


def act_arm(monkeypatch: pytest.MonkeyPatch, features: str) -> None:
    act(
        monkeypatch,
        {"/proc/cpuinfo": f"processor : 0\nFeatures : {features}\nCPU part : 0xd0b\n"},
    )
    monkeypatch.setattr("platform.machine", lambda: "aarch64")


def test_native_on_arm_is_its_highest_floor(monkeypatch: pytest.MonkeyPatch):
    act_arm(monkeypatch, "fp asimd asimddp")
    assert resolve_floor("native") == "asimddp"
    assert not is_elsewhere("asimddp") and target_for_any_machine() == "arm64"
    check_floor("asimd", what="model-int8.onnx")
    with pytest.raises(TargetError) as caught:
        check_floor("avx2_vnni", what="model.xml")
    assert caught.value.message == "model.xml needs avx2_vnni; this machine provides asimd, asimddp"
    assert caught.value.hint == "edge-scnet build --target arm64"


def test_a_raspberry_pi_4_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch):
    act_arm(monkeypatch, "fp asimd evtstrm crc32 cpuid")
    with pytest.raises(TargetError) as caught:
        check_floor("asimddp", what="target pi5")
    assert caught.value.message == "target pi5 needs asimddp; this machine provides asimd"
    assert caught.value.hint == "edge-scnet build --target arm64"


def test_a_processor_of_another_kind_says_why_not(monkeypatch: pytest.MonkeyPatch):
    act(monkeypatch, {"/proc/cpuinfo": "processor : 0\nisa : rv64gcv\n"})
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(TargetError, match="an x86-64 processor with AVX2, or 64-bit Arm") as caught:
        resolve_floor("native")
    assert "riscv64" in caught.value.message


def test_engines_for_arm_are_made_elsewhere(monkeypatch: pytest.MonkeyPatch):
    act_cpu(monkeypatch, ZEN4)
    assert is_elsewhere("asimd") and is_elsewhere("i8mm")
    assert not is_elsewhere("avx2_vnni") and not is_elsewhere("none")
    with pytest.raises(TargetError, match="needs asimd; this machine provides avx2"):
        check_floor("asimd", what="model-int8.onnx")


def test_an_engine_beyond_the_machine_is_refused(monkeypatch: pytest.MonkeyPatch):
    act_cpu(monkeypatch, ZEN4)
    for floor in ALL:
        check_floor(floor, what="model.xml")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    check_floor("avx2", what="model.xml")
    with pytest.raises(TargetError) as caught:
        check_floor("avx512_vnni", what="build/x/model.xml")
    assert (
        caught.value.message
        == "build/x/model.xml needs avx512_vnni; this machine provides avx2 (limited by"
        " ONEDNN_MAX_CPU_ISA=AVX2)"
    )
    assert caught.value.hint == "edge-scnet build --target cpu-avx2"
    with pytest.raises(TargetError, match="avx2_vnni"):
        check_floor("avx2_vnni", what="model.xml")


def test_weights_take_seven_bits_where_two_products_saturate():
    assert {floor: weight_bits(floor) for floor in FLOORS if weight_bits(floor) != 8} == {"avx2": 7}
    assert 2 * 255 * 64 <= 2**15 - 1 < 2 * 255 * 127
    with pytest.raises(TargetError):
        weight_bits("avx512")


@pytest.mark.parametrize(
    ("flags", "limit", "provided"),
    [
        (ZEN4, None, True),
        ((ZEN4 - {"avx512_bf16"}) | {"amx_bf16"}, None, True),
        (ZEN4 - {"avx512_bf16"}, None, False),
        # without AVX-512 OpenVINO computes in FP32
        ({"avx2", "avx512_bf16"}, None, False),
        (ZEN4, "AVX512_CORE_VNNI", False),
        (ZEN4, "AVX512_CORE_BF16", True),
    ],
)
def test_bf16_is_told_by_the_processor_and_the_limit(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], limit: str | None, provided: bool
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert provides_bf16(frozenset(flags), limit) is provided
