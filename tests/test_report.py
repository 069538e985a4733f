"""The report's JSON: its schema, older and newer files; what its figures are worth, in words;
classes and flipped images.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import jsonschema
import numpy as np
import pytest

from edge_scnet.core.packing import pack_classes
from edge_scnet.data.samples import open_samples
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.load import MachineLoad
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline import flips
from edge_scnet.report import notes, run_report
from edge_scnet.report import page as html_report
from edge_scnet.report import schema as report_schema
from edge_scnet.report.findings import Finding
from edge_scnet.report.per_class import per_class
from edge_scnet.report.run_report import SCHEMA, RunReport
from edge_scnet.report.store import load_report, save_report
from edge_scnet.stats.figures import EndToEnd, MemoryStats, Steadiness, SweepRow
from edge_scnet.stats.timing import latency_stats
from tests.helpers.images import idx_folder
from tests.helpers.reports import IMAGES, report
from tests.helpers.tool import Built, Outcome

Run = Callable[..., Outcome]
OLD = Path(__file__).parent / "data" / "report-schema-1.json"
SHIPPED = Path(report_schema.__file__).parent / report_schema.FILE


def test_the_shipped_schema_is_that_of_the_records(invoke: Run) -> None:
    made = json.dumps(report_schema.schema(), indent=1) + "\n"
    assert SHIPPED.read_text() == made, (
        "python -m edge_scnet.report.schema > edge_scnet/report/report.schema.json"
    )
    assert invoke("report", "--schema").stdout == made
    jsonschema.Draft202012Validator.check_schema(report_schema.schema())


def test_real_and_made_reports_are_valid_and_wrong_ones_are_not(
    built: Built, tmp_path: Path
) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SHIPPED.read_text()))
    real = json.loads((built.folder / "report.json").read_text())
    validator.validate(real)
    save_report(full_report(), tmp_path / "r.json")
    made = json.loads((tmp_path / "r.json").read_text())
    validator.validate(made)
    assert made["sweep"] and made["flips"]["shown"] and made["load"], (
        "all that is optional is there"
    )
    for wrong in (
        {**real, "engines": 1},
        {**real, "schema": SCHEMA + 1},
        {k: v for k, v in real.items() if k != "verdict"},
        {**real, "batch": "one"},
    ):
        assert not validator.is_valid(wrong)


def test_every_field_that_has_a_unit_or_a_doubt_is_described() -> None:
    found = report_schema.schema()
    assert (
        found["properties"]["batch"]["description"]
        == "images per inference: what a latency is the time of"
    )
    assert all(record["description"] for record in found["$defs"].values())
    # an annotation over several lines or a comment that stands alone must not slip to another field
    assert "description" not in found["properties"]["model"]


def test_a_report_of_the_first_schema_is_read_and_shown_again(invoke: Run, tmp_path: Path) -> None:
    assert json.loads(OLD.read_text())["schema"] == 1
    old = load_report(OLD)
    assert (
        old.schema == SCHEMA
        and old.engines[2].latency is not None
        and old.engines[2].latency.steadiness is None
    )
    assert old.flips is None and old.sweep == () and old.engines[0].settings == {}
    outcome = invoke("report", OLD, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    assert outcome.code == 0, outcome.stderr
    assert "By class" in (tmp_path / "r.html").read_text(), "what schema 1 had is enough for it"
    assert invoke("compare", OLD, OLD).code == 0


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99, 0, "2", None])
def test_a_report_of_another_schema_is_refused(tmp_path: Path, invoke: Run, schema: Any) -> None:
    content = {**json.loads(OLD.read_text()), "schema": schema}
    (tmp_path / "r.json").write_text(json.dumps(content))
    outcome = invoke("report", tmp_path / "r.json")
    assert (
        outcome.code == 6
        and f"r.json has schema {schema}, this version reads 1 to {SCHEMA}" in outcome.stderr
    )
    newer = isinstance(schema, int) and schema > SCHEMA
    assert ("pip install --upgrade edge-scnet" in outcome.hint) == newer


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000])
def test_a_truncated_report_is_named(tmp_path: Path, kept: int) -> None:
    (tmp_path / "r.json").write_text(OLD.read_text()[:kept])
    with pytest.raises(ArtifactError, match=r"r\.json is not a report"):
        load_report(tmp_path / "r.json")


def full_report() -> RunReport:
    """A report in which everything optional is there."""
    made = report(classes=tuple(f"name {i}" for i in range(10)))
    latency = latency_stats([[1_000_000 + 1000 * k for k in range(50)]] * 12)
    extra: dict[str, Any] = {
        "latency": latency,
        "warm_up_runs": 20,
        "warm_up_stable": True,
        "settings": {"threads": "2", "hint": "LATENCY"},
        "end_to_end": EndToEnd(
            images=10,
            p50_ms=2.0,
            p90_ms=2.5,
            images_per_second=500.0,
            stages_ms={"decode": 0.5, "preprocess": 0.5, "infer": 0.9, "top-k": 0.1},
        ),
    }
    sweep = SweepRow(
        engine="int8",
        batch=8,
        threads=2,
        p50_ms=4.0,
        p90_ms=4.1,
        p99_ms=5.0,
        speedup=made.engines[1].speedup,
        p50_low_ms=3.9,
        p50_high_ms=4.05,
        steadiness=latency.steadiness,
        throughput_per_second=2000.0,
        steady_bytes=1 << 27,
    )
    flip = run_report.Flip(
        image="7",
        kind="lost",
        truth=1,
        was=1,
        now=2,
        was_percent=60.0,
        now_percent=55.0,
        thumbnail=None,
    )
    return replace(
        made,
        engines=tuple(replace(row, **extra) for row in made.engines),
        sweep=(sweep,),
        seconds=3.0,
        flips=run_report.Flips(count=1, shown=(flip,)),
        load=MachineLoad(
            seconds=9.0, cores=2, others_cores=0.0, stolen_percent=0.0, mhz_low=None, mhz_high=None
        ),
    )


def test_a_quiet_machine_leaves_nothing_to_say() -> None:
    assert notes.doubts(full_report()) == ()
    assert notes.doubts(load_report(OLD)) == ()
    assert notes.facts(full_report()) == (
        "fp32, int8: threads 2, hint LATENCY",
        "int8 end to end: decode 25 %, preprocess 25 %, infer 45 %, top-k 5 %",
    )


# the quantiles of a lognormal: wide, and one heap
WIDE = [int(1e6 * math.exp(0.5 * NormalDist().inv_cdf((k + 0.5) / 500))) for k in range(500)]


def steadiness(**changes: Any) -> dict[str, Any]:
    steady = Steadiness(drift_percent=0.0, drift_p=1.0, modes_ms=(1.0,), mode_percents=(100.0,))
    latency = replace(latency_stats([[1_000_000] * 100]), steadiness=replace(steady, **changes))
    return {"latency": latency}


def memory(growth: int, p: float) -> dict[str, Any]:
    stats = MemoryStats(
        before_load_bytes=1, load_peak_bytes=2, steady_bytes=3, growth_bytes=growth, growth_p=p
    )
    return {"memory": replace(stats, growth_bytes_per_run=growth / 100)}


@pytest.mark.parametrize(
    ("int8", "words"),
    [
        ({"latency": latency_stats([WIDE])}, "int8: the machine was noisy: p90/p50 = 1.9"),
        (
            steadiness(modes_ms=(0.5, 1.2), mode_percents=(44.0, 56.0)),
            (
                "int8: its times form 2 heaps, 0.500 ms (44 %) and 1.200 ms (56 %): the machine"
                " switches between states"
            ),
        ),
        (
            steadiness(drift_percent=12.0, drift_p=0.001),
            "int8: its time drifted by +12 % from the first block to the last",
        ),
        (steadiness(drift_percent=12.0, drift_p=0.2), None),
        (steadiness(drift_percent=2.0, drift_p=0.001), None),
        (
            {"warm_up_stable": False, "warm_up_seconds": 3.04, "warm_up_runs": 70},
            "int8: its time still changed after 3.0 s of warm-up (70 runs)",
        ),
        (
            memory(3 << 20, 0.001),
            "int8: its memory grew by 3.0 MiB over 100 runs (31,457 bytes a run): a leak?",
        ),
        (memory(3 << 20, 0.3), None),
        (memory(1000, 0.001), None),
        (
            {"latency": latency_stats([[4_000_000_000] * 100])},
            "int8: one inference takes longer than the 3 s asked for; 100 were timed all the same",
        ),
    ],
)
def test_what_disturbed_a_measurement_is_said(int8: dict[str, Any], words: str | None) -> None:
    assert notes.doubts(report(int8=int8, seconds=3.0)) == (() if words is None else (words,))


def test_a_busy_machine_is_said() -> None:
    load = MachineLoad(
        seconds=9.0, cores=2, others_cores=0.81, stolen_percent=4.4, mhz_low=None, mhz_high=None
    )
    assert notes.doubts(report(load=load)) == (
        "other processes kept 0.8 of 2 cores busy while engines were timed",
        "a hypervisor gave 4 % of the cores' time to other machines while engines were timed",
    )
    assert notes.doubts(report(load=replace(load, others_cores=0.1, stolen_percent=1.0))) == ()
    whole = full_report()
    switching = Steadiness(
        drift_percent=None, drift_p=None, modes_ms=(1.0, 2.0), mode_percents=(50.0, 50.0)
    )
    assert notes.doubts(
        replace(whole, sweep_load=load, sweep=(replace(whole.sweep[0], steadiness=switching),))
    ) == (
        "other processes kept 0.8 of 2 cores busy during the sweep",
        "a hypervisor gave 4 % of the cores' time to other machines during the sweep",
        "in 1 of 1 rows of the sweep times form heaps or drift: int8 at batch 8, 2 threads",
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("engines", 1, "latency", "p50_ms"), 0.0),
        (("engines", 1, "latency", "steadiness", "modes_ms"), []),
        (("engines", 1, "latency", "steadiness", "mode_percents"), [50.0, 50.0]),
        (("engines", 1, "warm_up_seconds"), None),
        (("engines", 1, "end_to_end", "stages_ms"), {"infer": 0.0}),
        (("engines", 1, "accuracy", "mcnemar_p"), None),
        (("engines", 1, "memory", "growth_bytes"), 5),
        (("sweep", 0, "batch"), 0),
        (("flips", "shown", 0, "now"), -1),
        (("flips", "shown", 0, "kind"), '"><script>'),
        (("flips", "shown", 0, "kind"), {}),
        (("findings", 0, "verdict"), '"><script>'),
    ],
)
def test_what_no_run_can_have_measured_is_refused(
    tmp_path: Path, invoke: Run, path: tuple[Any, ...], value: Any
) -> None:
    finding = Finding(
        metric="speed",
        measured=1.0,
        limit=None,
        unit="x",
        verdict="pass",
        message="fast",
        exit_code=0,
    )
    save_report(replace(full_report(), findings=(finding,)), tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "r.json").write_text(json.dumps(content))
    for command in (
        ("report", tmp_path / "r.json"),
        ("report", tmp_path / "r.json", "--html", tmp_path / "r.html"),
    ):
        outcome = invoke(*command)
        assert outcome.code == 6 and "r.json is not a report: " in outcome.stderr, (
            outcome.stdout,
            outcome.stderr,
        )


def test_names_with_markup_are_shown_as_they_are(tmp_path: Path, invoke: Run) -> None:
    made = full_report()
    save_report(
        replace(made, engines=tuple(replace(row, name=f"{row.name}[/x]") for row in made.engines)),
        tmp_path / "r.json",
    )
    outcome = invoke("report", tmp_path / "r.json")
    assert outcome.code == 0 and "int8[/x]" in outcome.stdout


def test_the_reference_of_a_board_is_called_by_its_name() -> None:
    made = full_report()
    text = html_report.render(
        replace(made, engines=(replace(made.engines[0], name="fp16"), made.engines[1]))
    )
    assert "FP16 name 1 60 %" in text and "<th>FP16, %</th>" in text and "FP32" not in text


def test_classes_by_hand() -> None:
    """Class 2: FP32 knows both images, INT8 loses one. Class 0: INT8 wins one. Class 1 has no
    image.
    """
    made = report(classes=("zero", "one"))
    truth, was, now = [0, 0, 2, 2], [1, 0, 2, 2], [0, 0, 2, 1]
    assert made.evaluation is not None
    rows = per_class(
        replace(
            made,
            evaluation=replace(made.evaluation, images=4, truth=pack_classes(truth)),
            engines=tuple(
                replace(row, first_classes=pack_classes(c))
                for row, c in zip(made.engines, (was, now), strict=True)
            ),
        )
    )
    assert [
        (row.name, row.images, row.reference_percent, row.percent, row.lost, row.won)
        for row in rows
    ] == [
        ("class 2", 2, 100.0, 50.0, 1, 0),
        ("zero", 2, 50.0, 100.0, 0, 1),
    ]
    assert sum(row.images for row in per_class(made)) == IMAGES
    assert per_class(report(labelled=False)) == ()


def test_flipped_images_are_found_named_and_drawn(tmp_path: Path) -> None:
    pixels = np.zeros((6, 28, 28), np.uint8)
    pixels[:, 3, 4] = np.arange(6) * 50
    samples = open_samples(
        idx_folder(tmp_path / "eval", pixels, np.array([0, 0, 1, 1, 2, 3])),
        model=FASHION_MNIST,
        role="evaluation",
    )
    was, now = np.array([0, 0, 1, 0, 2, 4]), np.array([0, 1, 2, 1, 2, 5])
    sure = np.array([9, 1, 3, 9, 9, 9])[:, None]
    logits, reference = np.eye(10)[now] * sure, np.eye(10)[was] * sure
    found = flips.find(logits, reference, samples, FASHION_MNIST)
    assert found.count == 4
    # lost before won before changed; of the lost the surer first
    assert [(flip.image, flip.kind, flip.truth, flip.was, flip.now) for flip in found.shown] == [
        ("2", "lost", 1, 1, 2),
        ("1", "lost", 0, 0, 1),
        ("3", "won", 1, 0, 1),
        ("5", "changed", 3, 4, 5),
    ]
    assert found.shown[0].was_percent == pytest.approx(100 * np.exp(3) / (np.exp(3) + 9))
    from PIL import Image

    kind, _, data = str(found.shown[0].thumbnail).partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:image/png" and picture.size == (28, 28) and picture.getpixel((4, 3)) == 100
    assert len(flips.find(logits, reference, samples, FASHION_MNIST, most=1).shown) == 1
    gone = replace(samples, pixels=None, kind="folder")  # the files are no longer there
    assert [
        flip.thumbnail for flip in flips.find(logits, reference, gone, FASHION_MNIST).shown
    ] == [None] * 4
    assert flips.find(reference, reference, samples, FASHION_MNIST) == run_report.Flips(
        count=0, shown=()
    )


def test_a_photograph_is_made_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 400, 3), np.uint8)
    drawn = flips._thumbnail(noise)
    assert drawn is not None and drawn.startswith("data:image/jpeg;base64,") and len(drawn) < 12_000
    assert flips._thumbnail(np.zeros((5, 5, 4), np.uint8)) is None


def test_a_build_has_all_of_it(built: Built) -> None:
    made = load_report(built.folder / "report.json")
    assert made.complete and made.load is not None and made.seconds == 0.2
    assert made.flips is not None and made.flips.count == 600 - made.engines[2].accuracy.agreeing  # type: ignore[union-attr]
    assert made.classes == FASHION_MNIST.classes and len(per_class(made)) == 10
    for row in made.engines:
        assert row.settings["hint"] == "LATENCY" and int(row.settings["threads"]) >= 1
        assert row.end_to_end is not None and row.outputs[0].name == "logits"
        assert row.accuracy is not None and row.accuracy.ece_percent is not None
        assert row.latency is not None and sum(row.latency.blocks) == row.latency.count
    int8 = made.engines[2]
    assert int8.accuracy is not None and int8.outputs[0].sqnr_db == pytest.approx(
        int8.accuracy.sqnr_db, abs=1e-6
    )
    assert int8.outputs[0].cosine is not None and 0.99 < int8.outputs[0].cosine <= 1
