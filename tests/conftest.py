"""What the tests of the command line share: one build, made once, and two ways to run the tool."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from edge_scnet.compile import bundle, forms, reference
from edge_scnet.config.target import Gates
from edge_scnet.core import files
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import FormFacts
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM, Artifact, load_manifest
from edge_scnet.data import batches
from edge_scnet.data.samples import open_samples
from edge_scnet.gate import baseline
from edge_scnet.graph.model import save
from edge_scnet.models import zoo
from edge_scnet.quantizer import ranges_file, recipe
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from tests.helpers.images import idx_folder, published
from tests.helpers.measured import draw_no_more, measure_no_more
from tests.helpers.reports import qdq_facts, report
from tests.helpers.schemas import check_printed
from tests.helpers.sharing import made_once
from tests.helpers.tensorrt import JETSON, NO_IMAGES, TEGRASTATS, run_script
from tests.helpers.tool import BUILD_CODE, MODEL, Built, Outcome, run_app


@pytest.fixture(scope="session")
def cli_process() -> Callable[..., Outcome]:
    """Runs `edge-scnet ARGS` in a process of its own: for what crosses its border."""

    def run(
        *args: object,
        env: dict[str, str] | None = None,
        code: str = "from edge_scnet.cli.root import main; main()",
    ) -> Outcome:
        arguments = list(map(str, args))
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=300
        )
        check_printed(arguments, done.stdout)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Outcome]:
    """Runs `edge-scnet ARGS` in this process."""

    def run(*args: object) -> Outcome:
        arguments = list(map(str, args))
        result = run_app(arguments, prog_name="edge-scnet")
        check_printed(arguments, result.stdout)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is the same for all processes of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def bundled_images(split: str, count: int) -> Callable[[Path], object]:
    """Writes so many images of the bundled set."""
    images, labels = published(split)
    return lambda folder: idx_folder(folder, images[:count], labels[:count])


@pytest.fixture(scope="session")
def calib_120(shared: Path) -> Path:
    """120 of the bundled calibration images."""
    return made_once(shared / "calib", bundled_images("calib", 120))


@pytest.fixture(scope="session")
def eval_600(shared: Path) -> Path:
    """600 of the bundled evaluation images."""
    return made_once(shared / "eval", bundled_images("eval", 600))


@pytest.fixture(scope="session")
def eval_20(shared: Path) -> Path:
    """20 evaluation images: too few to tell whether half a percent was lost."""
    return made_once(shared / "few", bundled_images("eval", 20))


# pytest-xdist gives its workers a terminal's width, which a test that wants one says itself
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# The build that many tests share takes 20 s, and what measures its engines takes seconds each.
_BUILD = {"built", "copied"}
# A process's first export by torch takes seconds as well.
_SLOW_FIXTURES = {*_BUILD, "tiny_exported", "tiny_dynamic", "named_exported"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that are marked soak too")


def pytest_collection_finish() -> None:
    """Takes what the imports made out of garbage collection: it is looked through no more."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    by_hand = pytest.mark.skip(reason="a soak, run by hand: pytest --soak -m soak")
    for item in items:
        if _SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("soak") and not config.getoption("--soak"):
            item.add_marker(by_hand)
    # of two processes one makes the build and the other has tests that need none: it must not wait
    items.sort(key=lambda item: bool(_BUILD & set(getattr(item, "fixturenames", ()))))


@pytest.fixture(scope="session")
def built(
    shared: Path, cli_process: Callable[..., Outcome], calib_120: Path, eval_600: Path
) -> Built:
    """The whole pipeline once, in a process of its own, with `--json`."""

    def build(out: Path) -> None:
        samples = ["--calib", calib_120, "--eval", eval_600]
        limits = ["--seconds", "0.2", "--max-drop", "5"]
        outcome = cli_process("build", *samples, "--out", out, *limits, "--json", code=BUILD_CODE)
        # 11, 13: on a processor without VNNI so small a network may gain nothing by INT8
        assert outcome.code in (0, 11, 13), outcome.stderr
        (out / "outcome.json").write_text(json.dumps(asdict(outcome)))

    out = made_once(shared / "built", build)
    outcome = Outcome(**json.loads((out / "outcome.json").read_text()))
    return Built(folder=out / MODEL / "cpu", calib=calib_120, evaluation=eval_600, outcome=outcome)


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> Built:
    """The same build in a folder that the test may change; its parent's parent is the `--out` of a
    further build.
    """
    folder = tmp_path / "out" / MODEL / "cpu"
    shutil.copytree(built.folder, folder)
    return Built(
        folder=folder, calib=built.calib, evaluation=built.evaluation, outcome=built.outcome
    )


@pytest.fixture(autouse=True)
def quick_builds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds in this process draw no plots and export a network of torch at one batch size.

    To draw a page's plots takes more than a second, and every further batch size is a further
    export. The tests of the report draw, those of the export export, and so do all builds in
    processes of their own.
    """
    package = request.path.relative_to(Path(__file__).parent).parts[0]
    if package != "report":
        draw_no_more(monkeypatch.setattr)
    if package != "export":
        monkeypatch.setattr("edge_scnet.export.parity.PARITY_BATCHES", (1,))


@pytest.fixture(scope="session", autouse=True)
def memory_is_kept() -> Iterator[None]:
    """What builds in this process drop is collected when Python sees fit, and not at every stage.

    Where all packages and thousands of tests are loaded, it took up to half a second each time.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("graph.run", "quantizer.calibrate", "quantizer.correct", "quantizer.recipe"):
            patch.setattr(f"edge_scnet.{name}.return_freed_memory", lambda: None)
        yield


@pytest.fixture
def not_measured(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of measuring again, the figures of the first build."""
    measure_no_more(built.folder / "report.json", monkeypatch.setattr)


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict], None]], None]:
    def edit(folder: Path, change: Callable[[dict], None]) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


@pytest.fixture(scope="session")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, labels = published("eval")
    path = tmp_path_factory.mktemp("images") / "bag.png"
    Image.fromarray(images[int(np.flatnonzero(labels == 8)[0])]).save(path)
    return path


@pytest.fixture
def reported(tmp_path: Path) -> Callable[[RunReport], tuple[Path, Path]]:
    """Saves a report beside the baseline of the unchanged one: both files."""

    def write(new: RunReport) -> tuple[Path, Path]:
        path = tmp_path / "net" / "report.json"
        path.parent.mkdir(exist_ok=True)
        save_report(new, path)
        known = tmp_path / "baselines" / "net-cpu.json"
        if not known.exists():
            baseline.save(baseline.of_report(report(), Gates()), known)
        return path, known

    return write


@pytest.fixture(scope="session")
def built_ranges(built: Built) -> Ranges:
    return ranges_file.load_ranges(built.folder / "ranges.npz")


@pytest.fixture(scope="session")
def jetson_qdq(built: Built, built_ranges: Ranges) -> ir.Model:
    """The bundled model in the `tensorrt` scheme."""
    model = ir.load(built.folder / "model.onnx")
    return recipe.assemble(
        recipe.prepare(model, built_ranges, JETSON.quant, weight_bits=8, images=NO_IMAGES)
    ).model


@pytest.fixture(scope="session")
def eval_batches(built: Built) -> list[np.ndarray]:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = open_samples(built.evaluation, model=spec, role="evaluation")
    return np.split(batches.load(samples, spec, range(32)), 32)


@pytest.fixture(scope="session")
def packed(
    built: Built,
    jetson_qdq: ir.Model,
    built_ranges: Ranges,
    eval_batches: list[np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A build folder for the target `jetson` with its bundle."""
    folder = tmp_path_factory.mktemp("packed")
    made = forms.forms_of(ir.load(built.folder / "model.onnx"), jetson_qdq, built_ranges, JETSON)
    manifest = replace(load_manifest(built.folder), target=asdict(JETSON), artifacts={})
    form = FormFacts(precision="int8", kept_fp32=())
    quantized = qdq_facts(int8_convolutions=("conv1",))
    for name, model, facts in (
        (INT8_FORM, made.int8, form),
        (FP16_FORM, made.fp16, replace(form, precision="fp16")),
        ("model.qdq.onnx", jetson_qdq, quantized),
    ):
        save(model, folder / name)
        manifest = manifest.with_artifact(
            Artifact(
                file=name,
                kind="onnx-form" if isinstance(facts, FormFacts) else "onnx",
                stage="compile" if isinstance(facts, FormFacts) else "quantize",
                sha256=files.sha256_file(folder / name),
                size_bytes=1,
                key="k",
                facts=facts,
            )
        )
    samples = open_samples(built.evaluation, model=manifest.model, role="evaluation")
    known = reference.make(
        built.folder / "model.onnx", folder / "model.qdq.onnx", samples, manifest.model, batch=1
    )
    bundle.write_bundle(BuildFolder(path=folder, manifest=manifest), JETSON, known, samples)
    return folder / bundle.BUNDLE


@pytest.fixture
def script(packed: Path, tmp_path: Path) -> Callable[..., tuple[Outcome, Path]]:
    """Runs the bundle's build.sh with a trtexec of the test's."""
    bundle.unpack(packed, tmp_path)

    def run(number: str, fail: str = "", **options: Any) -> tuple[Outcome, Path]:
        return run_script(tmp_path, number, fail, **options), tmp_path

    return run


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board's programs on PATH, with what they print on one."""
    folder = tmp_path_factory.mktemp("bin")
    for name, text in {
        "tegrastats": TEGRASTATS,
        "nvpmodel": "#!/bin/sh\necho 'NV Power Mode: MAXN_SUPER'; echo 2",
        "jetson_clocks": (
            "#!/bin/sh\necho 'GPU MinFreq=1020000000 MaxFreq=1020000000 CurrentFreq=1020000000'"
        ),
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
