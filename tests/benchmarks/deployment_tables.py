"""Tables of what stands around an engine: bytes in, programs of packages, loading, other runtimes,
boards and workers.
"""

from __future__ import annotations

from typing import Any

from figure_marks import Results, Tables
from table_text import Section, ratio_text, shown, table

_INTERVAL = ("ratio", "low", "high")


def input_bytes(results: Results) -> str:
    """Engines of bytes and engines of floats of the same builds."""
    result = results["input_bytes"]
    rows = []
    for name, found in result.figures.items():
        beside = found["overhead_beside_one_core"]
        rows.append(
            [
                name,
                _interval(found["infer_ratio"]),
                _interval(found["end_to_end_ratio"]),
                *(f"{beside[form]:.2f}" for form in ("float", "uint8")),
                *(
                    shown({"sqnr_db": found["sqnr_db"][form]}, "sqnr_db")
                    for form in found["sqnr_db"]
                ),
            ]
        )
    head = ["network", "`infer`, bytes over floats", "end to end, floats over bytes"]
    head += ["loop over `infer`, floats", "bytes", "SQNR, floats", "bytes"]
    return table(result, head, rows)


def onnxruntime_int8(results: Results) -> str:
    """INT8 and FP32, both through ONNX Runtime."""
    result = results["onnxruntime_int8"]
    rows = []
    for name in ("scnet50", "scnet20"):
        for engine, row in result.figures[name]["engines"].items():
            speed = row["speedup"]
            cells = [name, engine, shown(row, "p50_ms"), "" if speed is None else _speed(speed)]
            rows.append([*cells, f"{row['images_per_second']:,.0f}"])
    return table(result, ["network", "engine", "latency p50", "speed", "images/s"], rows)


def package_cpp(results: Results) -> str:
    """The C++ program of a package and benchmark_app, in turn."""
    result = results["package_cpp"]
    rows = [
        [name, *(f"{found['ratios'][key]:.3f}" for key in ("median", "least"))]
        for name, found in result.figures["builds"].items()
    ]
    return table(result, ["network", "median over its median", "least over its least"], rows)


def warm_start(results: Results) -> str:
    """How long engines take to load."""
    result = results["warm_start"]
    rows = []
    for name, found in result.figures.items():
        for way, times in found["ways"].items():
            cells = [name, way.replace("_", " "), shown(times, "load_ms", 0)]
            rows.append([*cells, f"{times['time_of_compiled']:.2f}"])
    return table(result, ["network", "loaded", "time", "over compiling"], rows)


def devices(results: Results) -> str:
    """What `--device` adds to a command, and the bytes of builds."""
    result = results["devices"]
    found = result.figures
    rows = [
        ["delay of each direction", "delay_s"],
        ["`profile --device` beyond the command itself, all to be sent", "first_overhead_s"],
        ["the same, all known there: median", "median_overhead_s"],
        ["bytes of a first build", "first_build_bytes"],
        ["bytes of a second build that changes nothing", "second_build_bytes"],
    ]
    shown_rows = [
        [words, f"{found[key]:.2f} s" if key.endswith("_s") else f"{found[key] / 1e3:,.0f} kB"]
        for words, key in rows
        if key in found
    ]
    return table(result, ["measured", "figure"], shown_rows)


def fleet(results: Results) -> str:
    """All devices at once against the slowest alone."""
    result = results["fleet"]
    found = result.figures
    row = [f"{found['devices']}", f"{found['over_slowest']:.2f}"]
    return table(result, ["devices at once", "their time over that of the slowest alone"], [row])


def scale_out(results: Results) -> str:
    """The accuracy half of a search by workers."""
    result = results["scale_out"]
    by_workers = result.figures["by_workers"]
    first = next(iter(by_workers.values()))["search_s"]
    rows = [
        [
            count,
            f"{found['search_s']:.1f} s",
            f"{first / found['search_s']:.2f}x",
            *(f"{found['kept_busy'][name]:.2f}" for name in ("noise", "in_turn", "ahead")),
        ]
        for count, found in by_workers.items()
    ]
    head = ["workers", "search", "speed", "busy: noise", "mixes in turn", "mixes known ahead"]
    return table(result, head, rows)


def _interval(found: dict[str, Any]) -> str:
    return ratio_text([found[key] for key in _INTERVAL])


def _speed(found: dict[str, Any] | float) -> str:
    return f"{found['ratio'] if isinstance(found, dict) else found:.2f}x"


SECTIONS: dict[str, Section] = {
    "input_bytes": Section(
        result="input_bytes",
        title="Engines of bytes",
        words=(
            "Each build with `--input uint8` and with `--input float`, their INT8 engines in\n"
            "turn. End to end is from decoded pixels to the first classes; the loop has one core\n"
            "for the engine and prepares the next picture on another."
        ),
        of_times=True,
    ),
    "onnxruntime_int8": Section(
        result="onnxruntime_int8",
        title="ONNX Runtime",
        words="SCNet-50 at 224 px has weights drawn at random: only its times mean something.",
        of_times=True,
    ),
    "package_cpp": Section(
        result="package_cpp",
        title="The C++ program of a package",
        words="Its times over those of benchmark_app on the same engine, one request at a time.",
        of_times=True,
    ),
    "warm_start": Section(
        result="warm_start",
        title="Loading an engine",
        words="From the IR, from OpenVINO's cache, and from the blob of `compiled_blob = true`.",
        of_times=True,
    ),
    "devices": Section(
        result="devices",
        title="Boards",
        words=(
            "OpenSSH's server on the loopback, behind a proxy that delays each direction. Bytes\n"
            "are those of both directions, SSH's included."
        ),
        of_times=True,
    ),
    "fleet": Section(
        result="fleet",
        title="A fleet",
        words="OpenSSH's servers on the loopback, whose jobs sleep.",
        of_times=True,
    ),
    "scale_out": Section(
        result="scale_out",
        title="Workers",
        words=(
            "The accuracy half of a search on scnet20 by processes of one thread each; results\n"
            "are the same bit for bit. Busy: the share of the time in which a worker computes."
        ),
        of_times=True,
    ),
}
TABLES: Tables = {
    "input_bytes": input_bytes,
    "onnxruntime_int8": onnxruntime_int8,
    "package_cpp": package_cpp,
    "warm_start": warm_start,
    "devices": devices,
    "fleet": fleet,
    "scale_out": scale_out,
}
