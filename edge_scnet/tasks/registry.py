"""Tasks by name: a new one is a module with a function `evaluator`, and a line here."""

from __future__ import annotations

import difflib
import importlib
import re
from typing import cast

from edge_scnet.errors import DataError
from edge_scnet.tasks.base import Context, Evaluator

# Judged by the largest column of the first output, which `stats.accuracy` does.
CLASSIFICATION = "classification"
FEATURES = "features"

_MODULES = {
    "binary": "edge_scnet.tasks.binary",
    "multilabel": "edge_scnet.tasks.multilabel",
    "regression": "edge_scnet.tasks.regression",
    "keypoints": "edge_scnet.tasks.keypoints",
    "embedding": "edge_scnet.tasks.embedding",
    "segmentation": "edge_scnet.tasks.segmentation",
    "detection": "edge_scnet.tasks.detection",
    FEATURES: "edge_scnet.tasks.features",
}
TASKS = (CLASSIFICATION, *_MODULES)
# Of FP32 against the ground truth; of a name that ends in "..." the data or the arguments tell the
# rest.
_FIGURES = {
    CLASSIFICATION: ("top-1", "top-5"),
    "binary": ("accuracy",),
    "multilabel": ("mAP", "F1"),
    "regression": (
        "mean error",
        "mean relative error",
        "mean error of ...",
        "mean error, of the spread",
    ),
    "keypoints": ("normalised mean error", "mean error"),
    "embedding": ("verification accuracy",),
    "segmentation": ("mIoU", "pixel accuracy"),
    "detection": ("AP", "AP50", "F1 of scores from ..."),
}
_USER_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def check_task(kind: str) -> None:
    """Refuses a task that there is not.

    Raises:
        DataError: with the nearest name.
    """
    if kind in TASKS or _USER_CODE.fullmatch(kind):
        return
    close = difflib.get_close_matches(kind, TASKS, n=1)
    raise DataError(
        f"there is no task {kind!r}; allowed are {', '.join(TASKS)}, and package.module:evaluator",
        hint=f"did you mean --task {close[0]}?" if close else f"--task {FEATURES}",
    )


def figures_of(kind: str) -> tuple[str, ...]:
    """The figures with ground truth that a task can have, by the names that reports give them.

    Of a name that ends in "..." the rest is told by the data or the arguments. Empty: there are
    none, or they are a user's own.
    """
    return _FIGURES.get(kind, ())


def evaluator_for(context: Context) -> Evaluator | None:
    """The evaluator of a task; None: classification by one label, which needs none.

    Raises:
        DataError: no such task, arguments that it does not take, or samples that do not fit it.
    """
    task = context.task or context.spec.task
    kind = FEATURES if task is None else task.kind
    check_task(kind)
    if kind == CLASSIFICATION:
        return None
    if kind not in _MODULES:
        from edge_scnet.tasks.user import user_evaluator

        own = user_evaluator(kind, context)
        return _with_others(own, context, own.judged)
    module = importlib.import_module(_MODULES[kind])
    made: Evaluator = module.evaluator(context)
    output = getattr(made, "output", None)
    return _with_others(made, context, None if output is None else (output,))


def _with_others(made: Evaluator, context: Context, judged: tuple[int, ...] | None) -> Evaluator:
    """An evaluator, and features of the outputs that it does not read.

    Args:
        judged: those that it reads; None: all.
    """
    if judged is None or len(context.output_names) == 1:
        return made
    from edge_scnet.tasks.others import WithOthers

    return cast(Evaluator, WithOthers(made=made, context=context, judged=judged, task=made.task))
