"""Judges the quantizer on public networks.

    python tests/benchmarks/zoo.py --models DIR --out zoo.json [--data DIR] [--markdown zoo.md]
        [--work DIR] [--only NAME,...] [--kept-back] [--against CHECKOUT] [--peers]
        [--recover MINUTES] [--mixed SECONDS] [--latency] [--fresh]

--models holds the ONNX files that `zoo_networks.py` lists, --data `calib/` and `eval/`, class
folders of photographs. The networks of --kept-back are reported in a part of their own, and nothing
may be chosen by them. Each float graph is exported as `build` does, and quantized by this checkout,
by --against's, and with --peers by NNCF in an environment of its own. --recover adds what `build
--recover MINUTES` makes of 8-bit weights, --mixed what `build --search SECONDS` makes for this
machine with 25 dB as the limit.

SQNR is of INT8 against FP32 on 60 photographs, averaged over the outputs by relative noise; what
ours has over another has a 95 % interval, by a paired bootstrap over the photographs. `simulated`
is the Q/DQ file of 8-bit weights in ONNX Runtime with optimisations off, and stands for processors
with VNNI; `compiled` is the OpenVINO engine with weights for this machine. Of classifiers,
`agreement` is the share of images whose first class stays that of FP32. `s` and `MB` are of
calibration and quantization in a process of their own. Latency is of engines timed in turn in one
process, as ratios with 95 % intervals. What is finished is kept under --work and reused while its
inputs and the code are the same; what failed is tried again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zoo_networks
from child_steps import INSTALLS, Failed, python_of
from envelope import Result, begin
from zoo_engines import Quantizer, Steps
from zoo_figures import Powers, gain_db
from zoo_networks import NETWORKS, Network

import edge_scnet
from edge_scnet.core.files import write_text
from edge_scnet.errors import EdgeError
from edge_scnet.machine import isa

_OWN = Path(edge_scnet.__file__).parent.parent
PEERS = dict(package.split("==") for package in INSTALLS["nncf"][0].split()[:1])


def quantizers(args: argparse.Namespace) -> list[Quantizer]:
    """Ours first."""
    found = [Quantizer(name="ours", checkout=_OWN)]
    if args.against is not None:
        found.append(Quantizer(name="against", checkout=args.against.resolve()))
    if args.recover is not None:
        options = {"recover_minutes": args.recover}
        found.append(Quantizer(name="recovered", checkout=_OWN, options=options, compiled=False))
    if args.mixed is not None:
        options = {"search_seconds": args.mixed}
        found.append(Quantizer(name="mixed", checkout=_OWN, options=options, simulated=False))
    if args.peers:
        found.append(Quantizer(name="nncf", python=python_of("nncf", args.work)))
    return found


def measure(network: Network, args: argparse.Namespace) -> dict[str, Any]:
    """All figures of a network; "error" says of an engine why it has none."""
    files = zoo_networks.prepare(network, args.models, args.data, args.work)
    bits = isa.weight_bits(isa.resolve_floor("native"))
    steps = Steps(network=network, files=files, bits=bits, fresh=args.fresh)
    row: dict[str, Any] = {
        "calibration_images": len(np.load(files.images("calib"), mmap_mode="r")),
        "evaluation_images": len(np.load(files.images("eval"), mmap_mode="r")),
        "engines": {},
    }
    engines, powers = dict[str, Path](), dict[str, dict[str, Powers]]()
    for quantizer in quantizers(args):
        try:
            measured = steps.measure(quantizer)
        except Failed as error:
            row["engines"][quantizer.name] = {"error": str(error)}
            continue
        row["engines"][quantizer.name] = measured.figures
        powers[quantizer.name] = measured.powers
        for how, own in powers.get("ours", {}).items():
            if quantizer.name != "ours" and how in measured.powers:
                measured.figures[how]["ours_over_it_db"] = gain_db(own, measured.powers[how])
        if measured.engine is not None:
            engines[quantizer.name] = measured.engine
    if args.latency and "ours" in engines:
        row["latency"] = steps.latency(engines, args.rounds)
    return row


def summary(rows: dict[str, Any]) -> dict[str, Any]:
    """Medians of ours, and of what ours has more than each other quantizer."""
    found: dict[str, Any] = {}
    for how in ("simulated", "compiled"):
        own = [_figures(row, "ours", how).get("sqnr_db") for row in rows.values()]
        known = [db for db in own if db is not None]
        found[how] = {"median_db": float(np.median(known)) if known else None}
        for other in ("against", "recovered", "mixed", "nncf"):
            gains = {
                name: gain
                for name, row in rows.items()
                if (gain := _figures(row, other, how).get("ours_over_it_db")) is not None
            }
            if gains:
                found[how][f"over_{other}"] = {
                    "median_db": float(np.median([gain[0] for gain in gains.values()])),
                    "worst_db": min(gain[0] for gain in gains.values()),
                }
    for other in ("fp32", "against", "mixed", "nncf"):
        ratios = [
            row["latency"]["row_to"][other][0]
            for row in rows.values()
            if other in row.get("latency", {}).get("row_to", {})
        ]
        if ratios:
            found[f"time_over_{other}"] = float(np.exp(np.mean(np.log(ratios))))
    return found


def _figures(row: dict[str, Any], engine: str, how: str) -> dict[str, Any]:
    found: dict[str, Any] = row.get("engines", {}).get(engine, {}).get(how, {})
    return found


HEAD = ("network", "engine", "simulated dB", "ours over it", "compiled dB", "ours over it")
HEAD += ("agreement %",)
HEAD += ("s (CPU s)", "peak MB", "time to FP32's", "ours to its")


def markdown(result: Result) -> str:
    """The result as tables."""
    machine, report = result.environment, result.figures
    lines = [
        f"{result.date_utc[:10]}, {machine['cpu_model']}, {machine['cores']} cores:"
        f" {', '.join(machine['features'])}. `{result.command}`"
    ]
    for part, title in (("networks", "Development"), ("kept_back", "Kept back")):
        if report[part]:
            lines += ["", f"**{title}**", "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        for name, row in report[part].items():
            lines += [f"| {' | '.join(cells)} |" for cells in table(name, row)]
        if report[part]:
            lines += ["", f"```json\n{json.dumps(report['summary'][part], indent=1)}\n```"]
    return "\n".join(lines) + "\n"


def table(name: str, row: dict[str, Any]) -> list[list[str]]:
    """The cells of a network, a line for each engine."""
    if "error" in row:
        return [[name, f"**failed**, {row['error'].replace('|', '/')}", *[""] * (len(HEAD) - 2)]]
    lines = []
    ratios = row.get("latency", {}).get("row_to", {})
    for engine, figures in row["engines"].items():
        if "error" in figures:
            words = f"{engine}: **failed**, {figures['error'].replace('|', '/')}"
            lines.append([name, words, *[""] * (len(HEAD) - 2)])
            continue
        made = figures["quantize"]
        qualities = [figures.get(how) for how in ("simulated", "compiled")]
        agreements = [
            f"{stats['agreement_percent']:.1f}"
            for stats in qualities
            if stats and stats["agreement_percent"] is not None
        ]
        own, over = ("fp32", None) if engine == "ours" else (None, engine)
        lines.append(
            [
                name,
                engine,
                *(
                    cell
                    for stats in qualities
                    for cell in (
                        (_figure(stats["sqnr_db"]), _gain(stats.get("ours_over_it_db")))
                        if stats
                        else ("", "")
                    )
                ),
                " / ".join(agreements),
                f"{made['seconds']:.1f} ({made['cpu_seconds']:.1f})",
                f"{made['peak_bytes'] / 1e6:,.0f}",
                _ratio(ratios.get(own)),
                _ratio(ratios.get(over)),
            ]
        )
    return lines


def _figure(value: float | None) -> str:
    return "exact" if value is None else f"{value:.2f}"


def _gain(found: Sequence[float] | None) -> str:
    return "" if found is None else f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"


def _ratio(found: Sequence[float | None] | None) -> str:
    """A ratio; of few rounds it has no interval."""
    if found is None:
        return ""
    known = [f"{value:.3f}" for value in found if value is not None]
    return f"{known[0]} ({known[1]} to {known[2]})" if len(known) > 2 else known[0]


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="default: data/clothing beside cases/models")
    parser.add_argument("--out", type=Path, required=True, help="JSON")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/zoo"), help="what is finished")
    parser.add_argument("--only", default="", help="names of networks")
    parser.add_argument("--kept-back", action="store_true", help="those that nobody tunes on too")
    parser.add_argument("--against", type=Path, help="another checkout of the project")
    parser.add_argument("--peers", action="store_true", help="NNCF beside ours")
    parser.add_argument("--recover", type=float, metavar="MINUTES")
    parser.add_argument("--mixed", type=float, metavar="SECONDS", help="of `build --search`")
    parser.add_argument("--latency", action="store_true", help="time the engines in turn")
    parser.add_argument("--rounds", type=int, default=20, help="of blocks timed in turn")
    parser.add_argument("--fresh", action="store_true", help="measure again")
    args = parser.parse_args()
    args.work = args.work.resolve()
    args.data = args.data or args.models.resolve().parent.parent / "data" / "clothing"
    args.only = set(filter(None, args.only.split(",")))
    if strange := args.only - {network.name for network in NETWORKS}:
        parser.error(f"unknown: {', '.join(sorted(strange))}")
    if args.against is not None and not (args.against / "edge_scnet").is_dir():
        parser.error(f"{args.against} holds no edge_scnet: --against names a checkout's root")
    return args


def main() -> None:
    """Measures the networks, and writes what there is after each."""
    args = parsed()
    begun = begin()
    report: dict[str, Any] = {"networks": {}, "kept_back": {}, "summary": {}}
    for network in NETWORKS:
        if args.only and network.name not in args.only:
            continue
        if network.kept_back and not (args.kept_back or network.name in args.only):
            continue
        try:
            row = measure(network, args)
        except (EdgeError, Failed) as error:
            row = {"error": str(error)}
        part = "kept_back" if network.kept_back else "networks"
        report[part][network.name] = row
        report["summary"][part] = summary(report[part])
        for cells in table(network.name, row):
            print(" | ".join(cells), file=sys.stderr, flush=True)
        result = begun.write(report, args.out, PEERS if args.peers else None)
        if args.markdown:
            write_text(args.markdown, markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
