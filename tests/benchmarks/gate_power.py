"""Plants faults and checks that the gate finds each.

    python tests/benchmarks/gate_power.py [--only NAME,...] [--images 4000] [--out FILE]

Builds scnet20 on Fashion-MNIST once (and once on a tinted three-channel set), writes baselines,
plants one fault after another in a copy, builds, profiles and checks it. For every fault: which
findings failed. Exit code 1 unless each is caught by the check it is here for.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundled_set import published, write_idx
from envelope import begin
from gate_faults import MODEL, PLANTS, Bench, slower, swapped_channels, tinted

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import EngineFacts
from edge_scnet.errors import EdgeError
from edge_scnet.gate import baseline
from edge_scnet.gate import check as checking
from edge_scnet.report.store import load_report

ACCURACY = {"top-1 drop", "top-1 to baseline", "agreement to baseline", "SQNR"}
# by fault: the findings of which one must fail
FAULTS: dict[str, set[str]] = {
    "calibrated on noise": ACCURACY,
    "calibrated on one class": ACCURACY,
    "mean and std swapped": ACCURACY,
    "channels swapped": ACCURACY,
    "a scale divided by 4": ACCURACY,
    "a miscompiled pattern": ACCURACY,
    "a scale times 4": {"scales"},
    "a layer at 4 bits": {"weight codes"},
    "a Q/DQ pair dropped": {"quantized tensors"},
    "FP32 in place of INT8": {"INT8 convolutions"},
    "another checkpoint": {"checkpoint"},
    "stale statistics": {"statistics"},
    "other preprocessing": {"preprocessing"},
    "20 % slower": {"speed"},
}


def prepare(bench: Bench, name: str) -> None:
    """The sound build and its baseline."""
    folder = bench.build(bench.root / "sound")
    report = load_report(folder / "report.json")
    assert report.gates is not None
    baseline.save(
        baseline.of_report(report, report.gates), bench.root / "baselines" / f"{name}-cpu.json"
    )


def run(name: str, bench: Bench, colours: Bench | None) -> dict[str, Any]:
    if name == "20 % slower":
        checked = slower(bench)[1]
    else:
        used = colours if name == "channels swapped" else bench
        assert used is not None
        folder = swapped_channels(used) if name == "channels swapped" else PLANTS[name](used)
        checked = checking.check([folder], against=used.root / "baselines")[0]
    failing = {
        finding.metric: finding.message for finding in checked.findings if finding.verdict == "fail"
    }
    row = engines_row(checked)
    return {
        "fault": name,
        "must": sorted(FAULTS[name]),
        "failed": sorted(failing),
        "caught": bool(FAULTS[name] & failing.keys()),
        "exit_code": checked.exit_code,
        "messages": [failing[m] for m in sorted(FAULTS[name] & failing.keys())],
        **row,
    }


def engines_row(checked: checking.Checked) -> dict[str, Any]:
    from edge_scnet.report.run_report import accuracy_row

    row = accuracy_row(checked.report)
    stats = row.accuracy if row is not None else None
    return (
        {}
        if stats is None
        else {
            "drop_pp": stats.labels.drop_pp if stats.labels is not None else None,
            "agreement": stats.agreement_percent,
            "sqnr_db": stats.sqnr_db,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun = begin()
    names = [
        name
        for name in FAULTS
        if not given.only or any(part in name for part in given.only.split(","))
    ]
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        pictures, labels = published("eval")
        test = write_idx(root / "data" / "eval", pictures[: given.images], labels[: given.images])
        calib = write_idx(root / "data" / "calib", *published("calib"))
        bench = Bench(root=root / "builds", calib=calib, evaluation=test)
        bench = replace(bench, root=root / "builds")
        (root / "builds" / "data").mkdir(parents=True)
        prepare(bench, MODEL)
        sound = BuildFolder.open(bench.root / "sound" / MODEL / "cpu")
        bench = replace(bench, fidelity=sound.facts("model.xml", EngineFacts).fidelity)
        colours = None
        if "channels swapped" in names:
            colours = tinted(root, given.images)
            prepare(colours, "tinted")
        for name in names:
            try:
                results.append(run(name, bench, colours))
            except EdgeError as error:
                results.append({"fault": name, "caught": False, "error": error.message})
            print(
                json.dumps({k: results[-1].get(k) for k in ("fault", "caught", "failed", "error")}),
                file=sys.stderr,
                flush=True,
            )
    missed = [row["fault"] for row in results if not row["caught"]]
    begun.write({"missed": missed, "faults": results}, given.out)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
