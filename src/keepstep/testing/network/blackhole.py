"""An address that answers nothing, as a host that is switched off or behind a dead switch.

A listening socket whose queue is full drops what asks for a connection, without a refusal:
whoever connects waits until its own time limit ends.
"""

from __future__ import annotations

import socket
import sys
from typing import Self

from keepstep.errors import ToolFailed
from keepstep.testing.network.ports import HeldPort, hold_port
from keepstep.testing.network.wire import Address

__all__ = ["Blackhole"]

_MOST_FILLERS = 16
_SETTLED = 0.2


class Blackhole:
    """Occupies an address so that connecting to it neither succeeds nor fails.

    Args:
        address: Where; a free port of the loopback interface by default.

    Attributes:
        address: Where connecting hangs.

    Raises:
        ToolFailed: The address is taken, or the kernel answers all the same.
    """

    def __init__(self, address: Address | None = None) -> None:
        self._port: HeldPort | None = None
        if address is None:
            self._port = hold_port()
            address = self._port.address
        self.address = address
        self._sockets: list[socket.socket] = []
        try:
            self._occupy()
        except OSError as error:
            self.close()
            raise ToolFailed(f"{address} cannot be made a blackhole: {error}") from error
        except BaseException:
            self.close()
            raise

    def _occupy(self) -> None:
        listener = socket.socket()
        self._sockets.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(0)
        for _ in range(_MOST_FILLERS):
            filler = socket.socket()
            self._sockets.append(filler)
            filler.settimeout(_SETTLED)
            try:
                filler.connect(self.address)
            except TimeoutError:
                # The queue is full: this one hangs, as all that follow will. What waits to be
                # let in must not take the place of one that leaves.
                filler.close()
                return
        raise ToolFailed(f"the kernel ({sys.platform}) answers for a full queue; no blackhole")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the address refuse connections again; may be called again."""
        for each in reversed(self._sockets):
            each.close()
        self._sockets.clear()
        if self._port:
            self._port.release()
            self._port = None
