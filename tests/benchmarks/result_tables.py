"""The tables of the committed results, by the names that marks give (`figure_marks.py`)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import deployment_tables
from envelope import Result
from figure_marks import Results, Tables, with_unit
from table_text import Section, ratio_text, shown, table, table_of_lines


def main_job(results: Results) -> str:
    """The bundled network on its test images; times where the machine was quiet."""
    result = results["main_job"]
    head = ["target", "engine", "top-1", "drop (95 %)", "agreement", "SQNR", "files"]
    times = ["latency p50", "speed (95 %)", "images/s"] if result.quiet else []
    rows = []
    for target, run in result.figures["runs"].items():
        for name, row in run["engines"].items():
            drop = shown(row, "drop_pp")
            if drop:
                drop += f" ({row['drop_low_pp']:+.2f} to {row['drop_high_pp']:+.2f})"
            cells = [f"`{target}`", name, shown(row, "top1_percent", 2), drop]
            cells += [shown(row, "agreement_percent", 2), shown(row, "sqnr_db")]
            cells += [shown(row, "size_bytes", 2)]
            if times:
                cells += [shown(row, "p50_ms"), shown(row, "speedup")]
                cells += [f"{row['images_per_second']:,.0f}"]
            rows.append(cells)
    return table(result, [*head, *times], rows)


def main_job_printed(results: Results) -> str:
    """What `edge-scnet build` prints of the bundled network."""
    result = results["main_job"]
    return table_of_lines(result.figures["runs"]["cpu"]["printed"])


_STAGES = ("compile",)
_ROWS = ("fp32", "latency p50", "speed", "convolutions", "top-1", "drop")


def main_job_shortened(results: Results) -> str:
    """The same: what was compiled, and the rows that the verdict is of."""
    run = results["main_job"].figures["runs"]["cpu"]
    lines = list[str]()
    for before, line in zip(["", *run["progress"]], run["progress"], strict=False):
        if line.startswith(_STAGES) or (line.startswith("  ") and before.startswith(_STAGES)):
            lines.append(re.sub(r" \([\d.]+ s\)$", "", line))
    rows = [line for line in run["printed"] if line.startswith(" ")]
    kept = False
    for line in rows:
        kept = line.strip().startswith(_ROWS) or (kept and "95 % interval" in line)
        lines += [line] if kept else []
    return table_of_lines([*lines, "", *textwrap.wrap(run["verdict"], 118)])


def scnet50(results: Results) -> str:
    """SCNet-50 at 224 px."""
    result = results["scnet50_224"]
    rows = [
        [
            name,
            shown(row, "p50_ms", 1),
            shown(row, "speedup"),
            f"{row['images_per_second']:,.1f}",
            shown(row["memory"], "steady_bytes", 0),
            ", ".join(f"{count} {kind}" for kind, count in row["convolutions"].items()),
        ]
        for name, row in result.figures["engines"].items()
    ]
    head = ["engine", "latency p50", "speed (95 %)", "images/s", "steady memory", "convolutions"]
    return table(result, head, rows)


def zoo(results: Results) -> str:
    """Public networks: SQNR of ours and of NNCF, and what ours has over it."""
    result = results["zoo"]
    head = ["network"]
    for how in ("8 bits", "compiled"):
        head += [f"ours, {how}", f"NNCF, {how}", "gain (95 %)"]
    rows = []
    for name, row in _networks(result):
        cells = [name]
        for how in ("simulated", "compiled"):
            own, other = (_quality(row, engine, how) for engine in ("ours", "nncf"))
            cells += [shown(own, "sqnr_db"), shown(other, "sqnr_db")]
            cells += [shown(other, "ours_over_it_db")]
        rows.append(cells)
    return table(result, head, rows)


def zoo_agreement(results: Results) -> str:
    """Public classifiers: how often the first class stays."""
    result = results["zoo"]
    rows = []
    for name, row in _networks(result):
        found = [
            _quality(row, engine, how)
            for how in ("simulated", "compiled")
            for engine in ("ours", "nncf")
        ]
        if counts := [stats["agreement_images"] for stats in found if "agreement_images" in stats]:
            shares = [shown(stats, "agreement_percent") for stats in found]
            rows.append([name, f"{counts[0]:,}", *shares])
    head = ["network", "images", "ours, 8 bits", "NNCF, 8 bits", "ours, compiled", "NNCF, compiled"]
    return table(result, head, rows)


def zoo_times(results: Results) -> str:
    """Public networks: times of engines timed in turn."""
    result = results["zoo"]
    rows = [
        [name, *(ratio_text(row["latency"]["row_to"].get(other)) for other in ("fp32", "nncf"))]
        for name, row in _networks(result)
        if "latency" in row
    ]
    return table(result, ["network", "time to FP32's (95 %)", "time to NNCF's (95 %)"], rows)


def peers_fashion(results: Results) -> str:
    """Quantizers on the bundled network: accuracy."""
    result = results["ptq_peers_fashion"]
    model = result.figures["models"]["fashion"]
    rows = []
    for row in model["rows"]:
        cells = [_label(row)]
        for how in ("simulated", "compiled"):
            cells += [shown(row.get(how, {}), key) for key in ("agreement_percent", "sqnr_db")]
        rows.append([*cells, shown(row.get("quantize", {}), "peak_bytes", 0)])
    head = ["quantizer", "agreement, simulated", "SQNR", "agreement, compiled", "SQNR"]
    return table(result, [*head, "peak memory"], rows)


def peers_scnet50(results: Results) -> str:
    """Quantizers on SCNet-50: seconds, memory, and the time of the engine."""
    result = results["ptq_peers_scnet50"]
    rows = []
    for row in result.figures["models"]["scnet50"]["rows"]:
        made, to = row.get("quantize", {}), row.get("latency", {}).get("row_to", {})
        cells = [_label(row), shown(made, "seconds"), shown(made, "peak_bytes", 0)]
        rows.append([*cells, ratio_text(to.get("fp32")), ratio_text(to.get("ours"))])
    head = ["quantizer", "time", "peak memory", "engine's time to FP32's", "to ours"]
    return table(result, head, rows)


def openvino_patterns(results: Results) -> str:
    """Patterns that OpenVINO computes wrongly: SQNR by type and zero point of the codes."""
    result = results["openvino_patterns"]
    patterns = result.figures["patterns"]
    codes = list(dict.fromkeys(code for found in patterns.values() for code in found))
    rows = [
        [name, *(shown(found.get(code, {}), "sqnr_db", 0) for code in codes)]
        for name, found in patterns.items()
    ]
    return table(result, ["pattern", *(f"`{code}`" for code in codes)], rows)


def profiler(results: Results) -> str:
    """The profiler's figures over those of other programs."""
    result = results["profiler"]
    found = result.figures
    app = found["benchmark_app"]
    rows = [
        ["median latency, the loop of sync_benchmark", shown(found["sample"], "ratio", 3)],
        ["median latency, benchmark_app", shown(app, "latency_ratio", 3)],
        ["throughput, benchmark_app", shown(app, "throughput_ratio", 3)],
        ["the timed loop, a bare loop", with_unit(found["overhead"], "overhead", 3)],
    ]
    if evaluated := found["evaluation"]:
        rows.append(["images evaluated a second, the engine's", shown(evaluated, "ratio")])
    return table(result, ["ours over", "ratio"], rows)


def comparison(results: Results) -> str:
    """Two engines timed together."""
    result = results["comparison"]
    same, slower = result.figures["same"], result.figures["slower"]
    rows = [
        ["an engine and itself", f"{same['comparisons']}", f"{same['differences']}"],
        [
            f"an engine and one of {slower['time_ratio']:.3f} times its time",
            f"{slower['comparisons']}",
            f"{slower['noticed']}",
        ],
    ]
    return table(result, ["compared", "comparisons", "called different"], rows)


def gate_power(results: Results) -> str:
    """Planted faults, and the findings of the gate that failed."""
    result = results["gate_power"]
    rows = [
        [row["fault"], "yes" if row["caught"] else "**no**", ", ".join(row.get("failed", []))]
        for row in result.figures["faults"]
    ]
    return table(result, ["fault", "caught", "findings that failed"], rows)


def gate_false_alarms(results: Results) -> str:
    """An unchanged engine checked again and again."""
    result = results["gate_false_alarms"]
    found = result.figures
    bound = found["rate_upper95"]
    row = [f"{found['runs']}", f"{found['alarms']}"]
    row.append("" if bound is None else f"{100 * bound:.1f} %")
    return table(result, ["checks", "failed", "rate at most (95 %)"], [row])


SECTIONS: dict[str, Section] = {
    "main_job": Section(
        result="main_job",
        title="The bundled network",
        words=(
            "scnet20 on the 10,000 test images of Fashion-MNIST, both bundled. `default` is the\n"
            "float file in the precision that the runtime picks. The drop is FP32's top-1 minus\n"
            "the engine's, with Tango's interval. Without VNNI, weights have 7 bits."
        ),
    ),
    "scnet50": Section(
        result="scnet50_224",
        title="SCNet-50 at 224 px",
        words="Its weights are drawn at random: only times and memory mean something.",
        of_times=True,
    ),
    "zoo": Section(
        result="zoo",
        title="Public networks",
        words=(
            "SQNR of INT8 against FP32 on 60 photographs, calibrated on 120. *Gain* is what ours\n"
            "has over NNCF's, with a paired bootstrap's interval over the photographs. *8 bits*:\n"
            "the Q/DQ file simulated in ONNX Runtime, which stands for processors with VNNI.\n"
            "*Compiled*: the OpenVINO engine on this machine. Nothing was chosen by the networks\n"
            "with a star."
        ),
    ),
    "zoo_agreement": Section(
        result="zoo",
        title="Public classifiers",
        words="Images whose first class stays that of FP32.",
    ),
    "zoo_times": Section(
        result="zoo",
        title="Public networks: times",
        words="Engines timed in turn; under 1 INT8 takes less time.",
        of_times=True,
    ),
    "peers_fashion": Section(
        result="ptq_peers_fashion",
        title="Other quantizers: accuracy",
        words=(
            "scnet20 on Fashion-MNIST: one float model, the same calibration and test images for\n"
            "all; against FP32. Engines of 8-bit weights saturate on a processor without VNNI:\n"
            "what they lose there, they do not lose in simulation."
        ),
    ),
    "peers_scnet50": Section(
        result="ptq_peers_scnet50",
        title="Other quantizers: time and memory",
        words="SCNet-50 at 224 px, 300 calibration photographs, each in a process of its own.",
        of_times=True,
    ),
    **deployment_tables.SECTIONS,
    "openvino_patterns": Section(
        result="openvino_patterns",
        title="Patterns that OpenVINO computes wrongly",
        words=(
            "SQNR of the engine against the same file in ONNX Runtime with its optimisations off,\n"
            "by the type of the activations' codes and their zero point."
        ),
    ),
    "profiler": Section(
        result="profiler",
        title="The profiler",
        words="Its figures over those of other programs, for one engine, timed in turn.",
        of_times=True,
    ),
    "comparison": Section(
        result="comparison",
        title="Two engines compared",
        words="`edge-scnet profile A B --interleave`, again and again.",
        of_times=True,
    ),
    "gate_power": Section(
        result="gate_power",
        title="The gate: planted faults",
        words="Each is planted in a copy of a sound build, which is profiled and checked.",
    ),
    "gate_false_alarms": Section(
        result="gate_false_alarms",
        title="The gate: false alarms",
        words=(
            "An unchanged engine is profiled and checked again and again, its images in another\n"
            "order, every fifth time on one core."
        ),
    ),
}
TABLES: Tables = {
    "main_job": main_job,
    "main_job.printed": main_job_printed,
    "main_job.shortened": main_job_shortened,
    "scnet50": scnet50,
    "zoo": zoo,
    "zoo_agreement": zoo_agreement,
    "zoo_times": zoo_times,
    "peers_fashion": peers_fashion,
    "peers_scnet50": peers_scnet50,
    **deployment_tables.TABLES,
    "openvino_patterns": openvino_patterns,
    "profiler": profiler,
    "comparison": comparison,
    "gate_power": gate_power,
    "gate_false_alarms": gate_false_alarms,
}


def sections(results: Results) -> Iterator[str]:
    """The sections whose results are there."""
    for name, section in SECTIONS.items():
        result = results.get(section.result)
        if result is None or (section.of_times and not result.quiet):
            continue
        if name == "zoo_times" and not any("latency" in row for _, row in _networks(result)):
            continue
        yield f"## {section.title}\n\n{section.words}\n\n{TABLES[name](results)}\n\n"


def _networks(result: Result) -> Iterator[tuple[str, dict[str, Any]]]:
    """The networks, those that were kept back with a star."""
    for part, star in (("networks", ""), ("kept_back", " *")):
        for name, row in result.figures[part].items():
            yield f"{name}{star}", row


def _quality(row: dict[str, Any], engine: str, how: str) -> dict[str, Any]:
    found: dict[str, Any] = row.get("engines", {}).get(engine, {}).get(how, {})
    return found


def _label(row: dict[str, Any]) -> str:
    return row["label"] + (": failed" if "error" in row else "")
