"""A link with a delay: what the server says arrives so much later."""

import contextlib
import socket
import threading
import time


class Relay:
    """Listens at once; connections go to `target` as soon as that is set."""

    def __init__(self, seconds):
        self.seconds, self.target = seconds, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                host, port = self.target.rsplit(":", 1)
                server = socket.create_connection((host, int(port)))
                for source, to, delay in ((client, server, 0), (server, client, self.seconds)):
                    to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.carry, args=(source, to, delay),
                                     daemon=True).start()

    @staticmethod
    def carry(source, to, delay):
        with contextlib.suppress(OSError):  # either end has gone: so does the other
            while piece := source.recv(1 << 16):
                time.sleep(delay)
                to.sendall(piece)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)
