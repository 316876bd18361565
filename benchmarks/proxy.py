"""A link that can go dead without a word, as one behind a firewall or a pulled cable does."""

import socket
import threading
from contextlib import suppress


class Proxy:
    """Passes connections on to a port of this machine, until they are abandoned."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._links: list[Link] = []
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def abandon(self) -> None:
        """From now on nothing passes on the connections there are, either way; and nobody is told."""
        for link in list(self._links):
            link.dead = True

    def end(self) -> None:
        """Closes every connection."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()
        for link in list(self._links):
            link.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._links.append(Link(near, far))


class Link:
    """One connection, both ways."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.dead = False
        self._ends = (near, far)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """Closes both ends."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the threads that read
            end.close()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.dead:
                    return  # open, and silent
                sink.sendall(data)
        if not self.dead:
            self.close()
