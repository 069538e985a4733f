"""board.json: what build.sh says of the board, of the plans it built and of how it timed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_scnet.core.facts import PlanBuilds
from edge_scnet.core.json_records import convert, loads
from edge_scnet.core.schema_number import check_schema

SCHEMA = 1

_Size = Annotated[int, Meta(ge=1, le=1 << 40)]
_Builds = Annotated[tuple[Annotated[float, Meta(gt=0)] | None, ...], Meta(max_length=100)]
_Sha256 = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", extra={"rule": "it must be 64 hexadecimal digits"})
]
_Line = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,500}$",
        extra={"rule": "it must be one line of at most 500 characters"},
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardJson:
    """The fields of board.json."""

    tensorrt: Annotated[
        str,
        Meta(
            pattern=r"^\d{1,4}(\.\d{1,9}){0,3}$", extra={"rule": 'it must be a version like "10.3"'}
        ),
    ]
    # as the device tree names it, or the architecture where there is none
    board: _Line
    # trtexec's options
    timing: _Line
    # of the form that the judged plan was built of
    engine_sha256: _Sha256
    fp16_bytes: _Size
    fp16_sha256: _Sha256
    # of a board without INT8: its FP32 plan; else the INT8 plan
    fp32_bytes: _Size | None = None
    fp32_sha256: _Sha256 | None = None
    int8_bytes: _Size | None = None
    int8_sha256: _Sha256 | None = None
    # of several builds of a plan: the median of each in ms by trtexec, of which the least is kept;
    # null: it failed
    fp16_builds_ms: _Builds | None = None
    fp32_builds_ms: _Builds | None = None
    int8_builds_ms: _Builds | None = None

    def builds_of(self, precision: str) -> PlanBuilds | None:
        """Which of several builds of a plan was kept; None: it was built once."""
        medians = {
            "fp32": self.fp32_builds_ms,
            "fp16": self.fp16_builds_ms,
            "int8": self.int8_builds_ms,
        }[precision]
        known = [median for median in medians or () if median is not None]
        if medians is None or not known:
            return None
        return PlanBuilds(
            count=len(medians),
            kept=medians.index(min(known)) + 1,
            time_ratios=tuple(
                None if median is None else round(median / known[0], 4) for median in medians
            ),
            timed_by=f"trtexec {self.tensorrt}",
        )

    def plan_file(self, precision: str) -> tuple[int, str]:
        """The size in bytes and the sha256 of a plan: "fp32", "fp16" or "int8".

        Raises:
            ValueError: there is no such plan.
        """
        size_bytes, sha256 = {
            "fp32": (self.fp32_bytes, self.fp32_sha256),
            "fp16": (self.fp16_bytes, self.fp16_sha256),
            "int8": (self.int8_bytes, self.int8_sha256),
        }[precision]
        if size_bytes is None or sha256 is None:
            raise ValueError(f"{precision}_bytes or {precision}_sha256 is missing")
        return size_bytes, sha256


def decode_board(data: bytes | str, *, where: str, hint: str) -> BoardJson:
    """Reads board.json. Scripts of earlier versions wrote no schema number: they wrote schema 1.

    Args:
        where: the file, as messages name it.
        hint: how to come by another.

    Raises:
        ValueError: it is damaged. ArtifactError: it is of another version.
    """
    content = loads(data)
    if isinstance(content, Mapping):
        check_schema(where, content.get("schema", SCHEMA), (SCHEMA,), hint=hint)
    return convert(BoardJson, content)
