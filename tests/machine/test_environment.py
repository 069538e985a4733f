"""The machine from an invented /proc, and its fingerprint."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_scnet.machine.environment import collect, package_versions
from tests.helpers.machines import act


def test_collect_describes_a_jetson(monkeypatch: pytest.MonkeyPatch):
    act(
        monkeypatch,
        {
            "/proc/cpuinfo": (
                "processor : 0\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\nCPU part :"
                " 0xd42\n"
            ),
            "/etc/nv_tegra_release": (
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic"
            ),
            "/proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
            "/sys/fs/cgroup/cpu.max": "150000 100000",
            "/sys/fs/cgroup/memory.max": "1073741824",
        },
    )
    found = collect()
    assert (found.jetson_l4t, found.jetson_model) == (
        "36.4.3",
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
    )
    assert (found.cpu_model, found.features) == (
        "Arm implementer 0x41 part 0xd42",
        ("asimd", "asimddp"),
    )
    assert (found.governor, found.cpu_quota_cores, found.memory_bytes) == ("schedutil", 1.5, 2**30)


def test_collect_reads_a_hypervisors_guest(monkeypatch: pytest.MonkeyPatch):
    cpuinfo = (
        "cpu family : 25\nmodel : 17\nmodel name : AMD EPYC\nstepping : 1\nflags : avx avx2"
        " hypervisor\n\nmodel : 99\n"
    )
    act(
        monkeypatch,
        {
            "/proc/cpuinfo": cpuinfo,
            "/sys/fs/cgroup/cpu.max": "max 100000",
            "/proc/device-tree/model": "QEMU",
        },
    )
    found = collect()
    assert found.cpu_model == "AMD EPYC (family 25, model 17, stepping 1)"
    assert (found.virtual, found.features) == (True, ("avx", "avx2"))
    assert (found.cpu_quota_cores, found.jetson_model, found.jetson_l4t, found.governor) == (
        None,
        None,
        None,
        None,
    )


def test_collect_on_this_machine_survives_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    found = collect()
    assert found.cores >= 1
    assert found.memory_bytes is None or found.memory_bytes > 2**20
    assert found.onednn_max_cpu_isa == "AVX2"
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["fingerprint"] == found.fingerprint
    assert data["packages"]["numpy"] == dict(found.packages)["numpy"]


def test_package_versions_leave_out_what_is_missing():
    assert [name for name, _ in package_versions(("no-such-package-here", "numpy"))] == ["numpy"]


def test_fingerprint_changes_with_what_changes_latency():
    base = replace(collect(), memory_bytes=8 * 2**30)
    for changed in (
        replace(base, cpu_model="another"),
        replace(base, cores=base.cores + 1),
        replace(base, cpu_quota_cores=0.5),
        replace(base, memory_bytes=16 * 2**30),
        replace(base, features=("avx2", "avx512_vnni")),
        replace(base, governor="another"),
        replace(base, jetson_l4t="36.4.4"),
        replace(base, onednn_max_cpu_isa="AVX512_CORE"),
    ):
        assert changed.fingerprint != base.fingerprint
    same = replace(
        base,
        memory_bytes=8 * 2**30 - 2**20,
        kernel="9.9",
        python="3.99.0",
        packages=(("openvino", "1"),),
    )
    assert same.fingerprint == base.fingerprint
    assert len(base.fingerprint) == 64
