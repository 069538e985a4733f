"""board.json: what build.sh says of the board, of the plans it built and of how it timed them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardJson:
    """The fields of board.json."""

    # version
    tensorrt: str
    # as the device tree names it, or the architecture where there is none
    board: str
    # trtexec's options
    timing: str
    # of the form that the INT8 plan was built of
    engine_sha256: str
    int8_bytes: int
    int8_sha256: str
    fp16_bytes: int
    fp16_sha256: str

    def plan_file(self, precision: str) -> tuple[int, str]:
        """The size in bytes and the sha256 of a plan: "fp16" or "int8"."""
        files = {
            "fp16": (self.fp16_bytes, self.fp16_sha256),
            "int8": (self.int8_bytes, self.int8_sha256),
        }
        return files[precision]
