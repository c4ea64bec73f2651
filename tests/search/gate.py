"""A gate before a server: while it is shut, no connection is left and none is let through."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Gate:
    """``with Gate(host, port) as gate``: listens on ``gate.port`` of 127.0.0.1 and passes everything on while open."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self.is_open, self._ends = True, False
        self._thread = threading.Thread(target=self._pass_on)

    def __enter__(self) -> Gate:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join()

    def _pass_on(self) -> None:
        while not self._ends:
            for key, _ in self._selector.select(0.05):
                self._take(key.fileobj)
            if not self.is_open:
                self._drop_all()
        self._drop_all()
        self._listening.close()

    def _take(self, source: socket.socket) -> None:
        if source is self._listening:
            self._let_in(source.accept()[0])
        elif source in self._pairs:
            with contextlib.suppress(OSError):
                if said := source.recv(1 << 16):
                    self._pairs[source].sendall(said)
                    return
            self._drop(source)

    def _let_in(self, caller: socket.socket) -> None:
        if not self.is_open:
            caller.close()
            return
        server = socket.create_connection(self._server)
        for one, other in ((caller, server), (server, caller)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _drop(self, one: socket.socket) -> None:
        for end in (one, self._pairs[one]):
            del self._pairs[end]
            self._selector.unregister(end)
            end.close()

    def _drop_all(self) -> None:
        while self._pairs:
            self._drop(next(iter(self._pairs)))
