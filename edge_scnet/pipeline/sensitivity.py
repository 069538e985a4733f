"""sensitivity: which modules of a model cost accuracy, and the search for a mix."""

from __future__ import annotations

from pathlib import Path

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import load_target
from edge_scnet.core.events import Events, Silent
from edge_scnet.errors import ArtifactError
from edge_scnet.models import zoo
from edge_scnet.pipeline.decide import make_job
from edge_scnet.pipeline.dequantized import is_quantized_file
from edge_scnet.pipeline.judging import keeps_limits
from edge_scnet.pipeline.request import Request
from edge_scnet.pipeline.result import save_noise
from edge_scnet.pipeline.search import check_measurable, check_provable, search_job
from edge_scnet.pipeline.search_task import may_tell_classes
from edge_scnet.pipeline.stages.run import run_stages
from edge_scnet.runtimes import runtime_named
from edge_scnet.scale.executors import Workers
from edge_scnet.sensitivity.result import Limit, SearchResult

_COMMAND = "edge_scnet.pipeline.sensitivity.sensitivity(...)"


def sensitivity(  # noqa: PLR0913  the public function's options, by keyword
    model: str = zoo.DEFAULT_MODEL,
    *,
    target: str = "cpu",
    calib: Path | str | None = None,
    out: Path | str | None = None,
    model_options: ModelOptions | None = None,
    limit: Limit | None = None,
    budget_seconds: float = 300.0,
    workers: Workers | None = None,
    skip_bad: bool = False,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> SearchResult:
    """Measures which modules cost accuracy; with a limit searches the fastest mix that keeps it.

    Args:
        model, target, out, model_options: as `build`.
        calib: images to calibrate and to measure with; their labels are used where they have any.
        limit: what to keep; None: no search.
        budget_seconds: time for the search; what was measured is kept, and a later call goes on
            from there.
        workers: who calibrates and simulates; None: this process. Times are measured here.
        skip_bad: leave out images that cannot be read.
        wait: for another run in the build folder to end, as `build`.
        events: told of the progress.
        command: the command line that called this, for other runs that want the folder.

    Raises:
        EdgeError: see errors.py.
    """
    events = events or Silent()
    request = Request(
        model=model,
        target=target,
        calib=str(calib) if calib else None,
        evaluation=None,
        out=Path(out or "build"),
        options=model_options or ModelOptions(),
        skip_bad=skip_bad,
        until="quantize",
        wait=wait,
        workers=workers,
        command=command or _COMMAND,
    )
    if Path(model).suffix.lower() == ".onnx" and is_quantized_file(Path(model)):
        raise ArtifactError(
            f"{model} is quantized already: which modules cost accuracy only its float model tells",
            hint="pass the float model",
        )
    if limit is not None:
        spec = load_target(target)
        check_measurable(spec, runtime_named(spec.runtime))
    with make_job(request, events) as job:
        is_searched = limit is not None and job.calibration is not None
        if is_searched and may_tell_classes(job.source.spec):
            assert limit is not None and job.calibration is not None
            check_provable(len(job.calibration), limit)
        job, _ = run_stages(job, "quantize", events)
        result = search_job(
            job, limit=limit, budget_s=budget_seconds, events=events, keeps=keeps_limits
        )
        save_noise(job.folder)
        return result
