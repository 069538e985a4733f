"""A TCP proxy that delays, counts, cuts and stalls: a bad link, in front of a real server.

`TcpProxy(port)` forwards to that port of this machine until its `with` ends.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from types import TracebackType

_BLOCK = 16 * 1024
_POLL_S = 0.2


class TcpProxy:
    """Forwards connections to a port of this machine.

    Args:
        to: the server's port.
        delay_s: by which each block arrives later, in each direction, as on a line of that length:
            blocks in between are on their way, too.
        cut_after_bytes: after so many bytes of both directions together all connections are
            closed; None: never. Later connections are forwarded, unless `refuse` is set.
    """

    def __init__(
        self, to: int, *, delay_s: float = 0.0, cut_after_bytes: int | None = None
    ) -> None:
        self._to, self._delay_s = to, delay_s
        self.cut_after_bytes = cut_after_bytes
        self.refuse = False
        self.moved_bytes = 0
        # how often a client waited for an answer: its next block follows one of the server's
        self.round_trips = 0
        self._from_client = False
        self.connections = 0
        self._stalled = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> TcpProxy:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._stalled.clear()
        self.cut()
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def cut(self) -> None:
        """Closes all connections, in the middle of whatever they carry."""
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def stall(self) -> None:
        """Lets nothing through any more, and closes nothing: a board without power."""
        self._stalled.set()

    def go_on(self) -> None:
        """Ends a stall."""
        self._stalled.clear()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                client.close()
                continue
            self.connections += 1
            with self._lock:
                self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                source.settimeout(None)
                self._start(self._carry, source, sink, source is client)

    def _start(self, what: object, *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        """Carries one direction; the reader's blocks wait for their time in the sender's queue."""
        queue: deque[tuple[float, bytes]] = deque()
        filled = threading.Condition()
        self._start(self._send, sink, queue, filled)
        while True:
            try:
                block = source.recv(_BLOCK)
            except OSError:
                block = b""
            self._count_turn(from_client)
            with filled:
                queue.append((time.monotonic() + self._delay_s, block))
                filled.notify()
            if not block:
                return

    def _count_turn(self, from_client: bool) -> None:
        with self._lock:
            self.round_trips += from_client and not self._from_client
            self._from_client = from_client

    def _send(
        self,
        sink: socket.socket,
        queue: deque[tuple[float, bytes]],
        filled: threading.Condition,
    ) -> None:
        while True:
            with filled:
                filled.wait_for(lambda: bool(queue))
                due, block = queue.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            while self._stalled.is_set():
                time.sleep(0.01)
            try:
                if not block:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(self._counted(block))
            except OSError:
                return

    def _counted(self, block: bytes) -> bytes:
        """What of a block still goes through; the rest is lost with the connection."""
        with self._lock:
            limit = self.cut_after_bytes
            left = len(block) if limit is None else limit - self.moved_bytes
            passed = block[: max(left, 0)]
            self.moved_bytes += len(passed)
            is_cut = limit is not None and len(passed) < len(block)
            if is_cut:
                self.cut_after_bytes = None
        if is_cut:
            self.cut()
            raise ConnectionAbortedError("cut by the test")
        return passed
