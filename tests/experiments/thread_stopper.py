"""Stops one thread of a Java machine at the entry of a method, through its debugger interface.

The operating system may take the processor from any thread at any instruction, for any time.
This makes it happen at the instruction that matters, so that a race needs no luck to be seen.
"""

from __future__ import annotations

import socket
import struct

_BREAKPOINT = 2
_SUSPEND_EVENT_THREAD = 1
_COUNT, _LOCATION = 1, 7


class ThreadStopper:
    """A debugger that knows one trick. The machine was started with `option(port)`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._socket.sendall(b"JDWP-Handshake")
        assert self._take(14) == b"JDWP-Handshake"
        self._number = 0
        self._events: list[bytes] = []

    @staticmethod
    def option(port: int) -> str:
        return f"-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=127.0.0.1:{port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            assert piece, "the Java machine closed its debugger interface"
            data += piece
        return data

    def _packet(self) -> tuple[int, int, bytes]:
        length, number, flags, code = struct.unpack("!iiBH", self._take(11))
        data = self._take(length - 11)
        if not flags & 0x80:
            self._events.append(data)
        return number if flags & 0x80 else -1, code, data

    def _ask(self, group: int, command: int, data: bytes = b"") -> bytes:
        self._number += 1
        self._socket.sendall(
            struct.pack("!iiBBB", 11 + len(data), self._number, 0, group, command) + data
        )
        while True:
            number, error, answer = self._packet()
            if number == self._number:
                assert error == 0, f"debugger error {error}"
                return answer

    def stop_next(self, class_name: str, method: str, signature: str) -> None:
        """Stop the next thread, and no other, that enters a method of a loaded class."""
        name = f"L{class_name.replace('.', '/')};".encode()
        found = self._ask(1, 2, struct.pack("!i", len(name)) + name)
        _, tag, class_id = struct.unpack("!iBq", found[:13])
        methods = self._ask(2, 5, struct.pack("!q", class_id))
        (count,) = struct.unpack("!i", methods[:4])
        offset, wanted = 4, 0
        for _ in range(count):
            (method_id,) = struct.unpack_from("!q", methods, offset)
            offset += 8
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from("!i", methods, offset)
                texts.append(methods[offset + 4 : offset + 4 + length].decode())
                offset += 4 + length
            offset += 4
            if texts == [method, signature]:
                wanted = method_id
        assert wanted, f"{class_name} has no {method}{signature}"
        self._ask(
            15,
            1,
            struct.pack("!BBi", _BREAKPOINT, _SUSPEND_EVENT_THREAD, 2)
            + struct.pack("!BBqqq", _LOCATION, tag, class_id, wanted, 0)
            + struct.pack("!Bi", _COUNT, 1),
        )

    def wait_until_stopped(self) -> int:
        """Wait until a thread stands there; returns its id."""
        while not self._events:
            self._packet()
        _, _, kind, _, thread = struct.unpack_from("!BiBiq", self._events.pop(0))
        assert kind == _BREAKPOINT
        return thread

    def resume(self, thread: int) -> None:
        """Let the thread run on."""
        self._ask(11, 3, struct.pack("!q", thread))
