"""Committed results of benchmarks, and the pages that cite them."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import envelope  # noqa: E402  no package: they are run as programs
import figure_marks  # noqa: E402  no package: they are run as programs
import tables  # noqa: E402  no package: they are run as programs

NAMES = sorted(path.stem for path in envelope.RESULTS.glob("*.json"))
MACHINE = {"architecture": "x86_64", "cpu_model": "A CPU", "cores": 2, "system": "Linux"}
MACHINE |= {"features": ["avx2"], "packages": {"edge-scnet": "1.0", "openvino": "2.0"}}


def result(figures: dict[str, Any], **changes: Any) -> envelope.Result:
    facts: dict[str, Any] = {
        "schema": envelope.SCHEMA,
        "benchmark": "speed",
        "command": "python tests/benchmarks/speed.py",
        "date_utc": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789",
        "modified": (),
        "others_cores": 0.0,
        "environment": MACHINE,
        "figures": figures,
    }
    return envelope.Result(**facts | changes)


RESULTS = {
    "speed": result(
        {
            "net": {
                "sqnr_db": 20.829,
                "p50_ms": 0.4104,
                "drop_pp": 0.066,
                "size_bytes": 1_076_000,
                "speedup": {"ratio": 1.3712, "low": 1.369, "high": 1.381},
                "ours_over_it_db": [8.498, 6.741, 10.31],
                "runs": [{"count": 10_000}],
            }
        }
    )
}


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("net.sqnr_db", "20.8 dB"),
        ("net.p50_ms", "0.41 ms"),
        ("net.drop_pp", "+0.07 pp"),
        ("net.size_bytes", "1.1 MB"),
        ("net.speedup", "1.37x (1.37 to 1.38)"),
        ("net.ours_over_it_db", "+8.5 dB (+6.7 to +10.3)"),
        ("net.runs.0.count", "10,000"),
        ("date", "2026-01-02"),
        ("machine", "A CPU, 2 cores, AVX2, no VNNI, Linux"),
        ("versions", "edge-scnet 1.0 (0123456), openvino 2.0"),
    ],
)
def test_figures_have_their_units(key: str, shown: str) -> None:
    assert figure_marks.value_text(RESULTS, f"speed.{key}") == shown


def test_marks_are_filled_and_examples_in_code_are_not() -> None:
    mark = "<!-- figure: speed.net.sqnr_db:2 -->{}<!-- /figure -->"
    page = (
        f"It is {mark.format('old')}, as in `{mark.format('x')}`.\n\n```\n{mark.format('y')}\n```\n"
    )
    page += "<!-- table: t -->\n| old |\n\n```\nold\n```\n<!-- /table -->\n"
    filled = figure_marks.rendered(page, RESULTS, {"t": lambda results: "| new |"})
    assert filled == page.replace("old<!-- /figure", "20.83 dB<!-- /figure").replace(
        "| old |\n\n```\nold\n```\n", "| new |\n"
    )


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<!-- figure: slow.net -->1<!-- /figure -->", "no result 'slow'; there are speed"),
        ("<!-- figure: speed.net.fps -->1<!-- /figure -->", "no 'fps'; there is sqnr_db"),
        ("<!-- figure: speed.net -->1<!-- /figure -->", "net is dict, and no figure"),
        ("<!-- figure: speed.net.sqnr_db -->20.8 dB", "has no other half"),
        ("<!-- table: u -->\n<!-- /table -->", "no table 'u'; there are t"),
    ],
)
def test_a_mark_that_names_nothing_is_told(page: str, words: str) -> None:
    with pytest.raises(figure_marks.MarkError, match=re.escape(words)):
        figure_marks.rendered(page, RESULTS, {"t": lambda results: ""})


def test_unmarked_figures_are_found_where_they_look_measured() -> None:
    page = """It has 20.8 dB and takes
0.41 ms, 1.37x as fast, 200 MB, with a 95 % interval and a two-sided 95 % interval.

Marked: <!-- figure: speed.net.sqnr_db -->20.8 dB<!-- /figure -->, code: `0.5 pp`.

A limit of 0.5 pp. <!-- not measured: a default -->

<!-- not measured: defaults -->

| 5 % | 3 dB |

```
1.0 ms
```
Lost are 3 %, in 0x10 and 12xy.
"""
    found = figure_marks.unmarked(page)
    assert found == ["1: 20.8 dB", "2: 0.41 ms", "2: 1.37x", "2: 200 MB", "15: 3 %"]


@pytest.mark.parametrize("name", NAMES)
def test_a_result_says_what_it_is_of(name: str) -> None:
    found = envelope.read(envelope.RESULTS / f"{name}.json")
    assert (BENCHMARKS / f"{found.benchmark}.py").is_file()
    assert re.fullmatch(r"[0-9a-f]{40}", found.commit or "")
    assert not found.modified
    assert figure_marks.machine_text(found)
    assert figure_marks.versions_text(found)
    texts = json.dumps([found.figures, found.command])
    assert not re.search(r'[" ]/(?:home|root|tmp|work|usr)\b', texts)


def test_pages_show_what_the_results_say() -> None:
    stale = tables.stale(envelope.all_results())
    assert not stale, f"run: python tests/benchmarks/tables.py --write ({[*map(str, stale)]})"


def test_times_that_pages_cite_are_of_a_quiet_machine() -> None:
    results = envelope.all_results()
    noisy = {
        str(path): found
        for path in tables.pages()
        if (found := figure_marks.noisy_times(path.read_text(encoding="utf-8"), results))
    }
    assert not noisy, "measure again, with nothing else on the machine"


def test_times_of_a_busy_machine_are_found() -> None:
    page = "<!-- figure: speed.net.p50_ms -->0.41 ms<!-- /figure -->\n"
    page += "<!-- figure: speed.net.sqnr_db -->20.8 dB<!-- /figure -->\n"
    busy = {"speed": result({}, others_cores=1.0)}
    assert figure_marks.noisy_times(page, busy) == ["speed.net.p50_ms"]
    assert not figure_marks.noisy_times(page, RESULTS)


def test_every_measured_figure_of_a_page_is_marked() -> None:
    assert not tables.strays()


SPEEDUP = {"ratio": 1.86, "low": 1.85, "high": 1.88}
ACCURACY = {"agreement_percent": 99.5, "sqnr_db": 31.0}
ENGINE = {"p50_ms": 26.1, "speedup": SPEEDUP, "images_per_second": 39.4, "size_bytes": 2_000_000}
ENGINE |= {"convolutions": {"u8": 117}, "memory": {"steady_bytes": 206e6}, "top1_percent": 94.1}
ENGINE |= {"drop_pp": 0.1, "drop_low_pp": 0.0, "drop_high_pp": 0.2, **ACCURACY}
ROW = {"label": "ours", "quantize": {"seconds": 35.4, "peak_bytes": 869e6}}
ROW |= {"latency": {"row_to": {"fp32": [0.5, 0.49, 0.51]}}, "compiled": ACCURACY}
NETWORK = {
    "engines": {
        "ours": {"simulated": {**ACCURACY, "agreement_images": 300}},
        "nncf": {"simulated": {**ACCURACY, "ours_over_it_db": [8.5, 6.7, 10.3]}},
    },
    "latency": {"row_to": {"fp32": [0.7, 0.69, 0.71], "nncf": [1.02, None, None]}},
}
FIGURES: dict[str, dict[str, Any]] = {
    "main_job": {
        "runs": {
            "cpu": {
                "engines": {"int8": ENGINE},
                "verdict": "ship INT8: 1.37x",
                "progress": ["compile    net", "           129 nodes (11.4 s)", "task       told"],
                "printed": [" top-1, %  94.1", "   95 % interval, pp  0", " files  1", "ship"],
            }
        }
    },
    "scnet50_224": {"engines": {"int8": ENGINE}},
    "zoo": {"networks": {"net": NETWORK}, "kept_back": {"failed": {"error": "no"}}},
    "ptq_peers_fashion": {"models": {"fashion": {"rows": [ROW]}}},
    "ptq_peers_scnet50": {"models": {"scnet50": {"rows": [ROW]}}},
    "openvino_patterns": {"patterns": {"pool": {"u8_0": {"sqnr_db": 150.0}}, "concat": {}}},
    "profiler": {
        "sample": {"ratio": 1.01},
        "benchmark_app": {"latency_ratio": 1.04, "throughput_ratio": 1.1},
        "overhead": {"ratio": 1.0, "low": 0.99, "high": 1.01},
        "evaluation": {"ratio": 0.92},
    },
    "comparison": {
        "same": {"comparisons": 40, "differences": 1},
        "slower": {"comparisons": 20, "noticed": 19, "time_ratio": 1.046},
    },
    "gate_power": {"faults": [{"fault": "noise", "caught": True, "failed": ["SQNR"]}]},
    "gate_false_alarms": {"runs": 50, "alarms": 0, "rate_upper95": 0.058},
}


@pytest.mark.parametrize(
    ("table", "cells"),
    [
        (
            "main_job",
            "94.10 % | +0.10 pp (+0.00 to +0.20) | 99.50 % | 31.0 dB | 2.00 MB | 26.10 ms",
        ),
        (
            "main_job.printed",
            "```text\n top-1, %  94.1\n   95 % interval, pp  0\n files  1\nship\n```",
        ),
        (
            "main_job.shortened",
            "```text\ncompile    net\n           129 nodes\n top-1, %  94.1\n"
            "   95 % interval, pp  0\n\nship INT8: 1.37x\n```",
        ),
        ("scnet50", "26.1 ms | 1.86x (1.85 to 1.88) | 39.4 | 206 MB | 117 u8"),
        ("zoo", "| net | 31.0 dB | 31.0 dB | +8.5 dB (+6.7 to +10.3) |"),
        ("zoo_agreement", "| net | 300 | 99.5 % | 99.5 % |"),
        ("zoo_times", "| net | 0.700 (0.690 to 0.710) | 1.020 |"),
        ("peers_fashion", "| ours |  |  | 99.5 % | 31.0 dB | 869 MB |"),
        ("peers_scnet50", "| ours | 35.4 s | 869 MB | 0.500 (0.490 to 0.510) |"),
        ("openvino_patterns", "| pool | 150 dB |\n| concat |  |"),
        ("profiler", "| the timed loop, a bare loop | 1.000x (0.990 to 1.010) |"),
        ("comparison", "| an engine and one of 1.046 times its time | 20 | 19 |"),
        ("gate_power", "| noise | yes | SQNR |"),
        ("gate_false_alarms", "| 50 | 0 | 5.8 % |"),
    ],
)
def test_tables_show_what_the_programs_write(table: str, cells: str) -> None:
    results = {name: result(figures) for name, figures in FIGURES.items()}
    assert cells in tables.TABLES[table](results)


def test_times_are_shown_of_a_quiet_machine_alone() -> None:
    busy = {name: result(figures, others_cores=1.0) for name, figures in FIGURES.items()}
    shown = "".join(tables.sections(busy))
    assert "## Public networks\n" in shown
    assert not re.search(r"\d ms|\dx \(|\d s \||images/s|Public networks: times", shown)
