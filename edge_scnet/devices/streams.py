"""What a job prints, line by line, with the places of its own folder as those of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

_LONGEST_HELD_BYTES = 1 << 24


@dataclass(slots=True)
class MappedStream:
    """Hands on whole lines, and counts the bytes that came."""

    take: Callable[[bytes], None]
    count: int = 0
    # the job's root; its paths lie at the same place below "/" here
    root: bytes = b""
    _held: bytes = field(default=b"", repr=False)

    def __call__(self, data: bytes) -> None:
        """Takes what came."""
        self.count += len(data)
        whole, newline, rest = (self._held + data).rpartition(b"\n")
        self._held = rest
        if newline:
            self._hand_on(whole + newline)
        if len(self._held) > _LONGEST_HELD_BYTES:
            self.end()

    def end(self) -> None:
        """Hands on what came behind the last line."""
        held, self._held = self._held, b""
        self._hand_on(held)

    def _hand_on(self, data: bytes) -> None:
        if data:
            self.take(data.replace(self.root, b"") if self.root else data)
