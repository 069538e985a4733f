"""An output of a plan whose size depends on the data: TensorRT asks for its memory as it runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_scnet.runtimes.tensorrt.streams import Stream


class OpenOutput:
    """Memory of an output on the device and on the host, which grows as it is asked for.

    What was too small is freed with the stream.
    """

    def __init__(self, trt: Any, stream: Stream, dtype: np.dtype[Any]) -> None:
        """Allocates nothing yet.

        Args:
            trt: the package.
        """
        self._stream, self._dtype = stream, dtype
        self._address, self._capacity_bytes = 0, 0
        self._host = np.empty(0, dtype)
        self._shape: tuple[int, ...] = (0,)
        # what `IExecutionContext.set_output_allocator` takes
        self.allocator = _allocator(trt, self)

    def allocate(self, size_bytes: int) -> int:
        """Device memory of at least this size; TensorRT wants an address for 0 bytes too.

        Returns:
            Its address: of CUDA's own allocator, so aligned to 256 bytes.
        """
        if not self._address or size_bytes > self._capacity_bytes:
            self._capacity_bytes = max(size_bytes, 1)
            self._address = self._stream.allocate(self._capacity_bytes)
        return self._address

    def set_shape(self, shape: tuple[int, ...]) -> None:
        """Takes the shape of what is being computed; it is told before an enqueue returns."""
        self._shape = shape

    def download(self) -> None:
        """Enqueues the copy of what the last enqueue gives to the host."""
        count = math.prod(self._shape)
        if count > len(self._host):
            self._host = self._stream.pinned((count,), self._dtype)
        if count:
            self._stream.download(self._host[:count], self._address)

    @property
    def array(self) -> np.ndarray:
        """What was copied to the host, a view."""
        return self._host[: math.prod(self._shape)].reshape(self._shape)


def _allocator(trt: Any, output: OpenOutput) -> Any:
    """TensorRT's view of an output; versions before 10 know no asynchronous allocation."""

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)

        def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
            return output.allocate(int(size))

        def reallocate_output_async(
            self, name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            return output.allocate(int(size))

        def notify_shape(self, name: str, shape: Any) -> None:
            output.set_shape(tuple(int(length) for length in shape))

    return Allocator()
