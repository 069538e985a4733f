"""The tables of `ptq_peers.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envelope import Result


def cells(row: dict[str, Any], runs: Iterable[str]) -> list[str]:
    label = row["label"] + (
        f": **failed**, {row['error'].replace('|', '/')}" if "error" in row else ""
    )
    found = [label]
    for how in runs:
        stats = row.get(how)
        if stats is None:
            found += [""] * 4
            continue
        labelled = stats.get("top1_percent") is not None
        found += [f"{stats['top1_percent']:.2f}" if labelled else ""]
        found += [
            (
                f"{stats['drop_pp']:+.2f} ({stats['drop_low_pp']:+.2f} to"
                f" {stats['drop_high_pp']:+.2f})"
                if labelled
                else ""
            )
        ]
        found += [
            f"{stats['agreement_percent']:.2f}",
            "exact" if stats["sqnr_db"] is None else f"{stats['sqnr_db']:.1f}",
        ]
    made, timed = row.get("quantize"), row.get("latency")
    found += (
        [
            f"{made['seconds']:.1f} + {made['import_seconds']:.1f}",
            f"{made['peak_bytes'] / 1e6:,.0f}",
        ]
        if made
        else [""] * 2
    )
    if not timed:
        return [*found, "", "", ""]
    to_ours = f"{timed['row_to']['ours'][0]:.3f}" if "ours" in timed["row_to"] else "1"
    return [
        *found,
        f"{timed['p50_ms']['row']:.3g}",
        f"{1 / timed['row_to']['fp32'][0]:.2f}x",
        to_ours,
    ]


def markdown(result: Result) -> str:
    report, machine, runs = result.figures, result.environment, result.figures["runs"]
    note = (
        "The processor has VNNI: 8-bit products are exact; `compiled_avx2` is the same file as on"
        " one without."
        if "compiled_avx2" in runs
        else (
            "The processor has no VNNI: engines of 8-bit weights saturate on it, and their"
            " `compiled` shows that."
        )
    )
    lines = [
        f"{result.date_utc[:10]}, {machine['cpu_model']}, {machine['cores']} cores:"
        f" {', '.join(machine['features'])}."
    ]
    lines += [f"{note} `{result.command}`", ""]
    head = [
        "quantizer",
        *(
            f"{how} {what}"
            for how in runs
            for what in ("top-1", "drop (95 %), pp", "agreement", "SQNR dB")
        ),
    ]
    head += ["s + imports", "peak MB", "INT8 ms", "over FP32", "time to ours'"]
    for name, model in report["models"].items():
        rows = model["rows"]
        top1 = next(
            (row["compiled"].get("reference_top1_percent") for row in rows if "compiled" in row),
            None,
        )
        words = "" if top1 is None else f", FP32 {top1:.2f} %"
        lines += [
            (
                f"**{name}**: {model['calibration_images']:,} calibration, {model['test_images']:,}"
                f" test images{words}"
            ),
            "",
        ]
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        lines += [f"| {' | '.join(cells(row, runs))} |" for row in rows] + [""]
    every = [
        row for model in report["models"].values() for row in model["rows"] if "quantize" in row
    ]
    used = {
        row["group"]: ", ".join(f"{n} {v}" for n, v in sorted(row["quantize"]["versions"].items()))
        for row in every
    }
    return (
        "\n".join([*lines, "; ".join(f"{group}: {versions}" for group, versions in used.items())])
        + "\n"
    )
