"""The real binary, as the end-to-end tests drive it: a server, the command line, raw frames.

Everything listens on loopback ports; every process that is started is ended by the test that
started it. Waiting is for something to be seen, with a deadline; nothing sleeps and hopes.
"""

import fcntl
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import urllib.request

SOURCE = pathlib.Path(os.environ.get("WALRUS_SOURCE", pathlib.Path(__file__).parents[2]))
BINARY = os.environ.get("WALRUS_BINARY") or str(SOURCE / "build/release/bin/walrus")
DEADLINE = 60  # seconds for anything that should be quick, on a machine that is busy


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WALRUS_")}
    return {**kept, "LC_ALL": "C.UTF-8", **more}


def walrus(*arguments, addr=None, input=b"", timeout=DEADLINE, env=None):
    """Runs a verb to its end; stdout and stderr are bytes."""
    words = [BINARY, *(str(word) for word in arguments)]
    if addr:
        words += ["--addr", addr]
    return subprocess.run(words, input=input, capture_output=True, timeout=timeout,
                          env=env or environment())


class Server:
    """`walrus serve`. A restart keeps its native port."""

    def __init__(self, directory, *arguments, env=None, binary=BINARY):
        self.binary = binary
        self.directory = str(directory)
        self.arguments = [str(word) for word in arguments]
        self.env = env or environment()
        self.listen, self.kafka_listen = f"127.0.0.1:{free_port()}", "127.0.0.1:0"
        self.process = None
        self.errors = tempfile.TemporaryFile()

    admin_listen = "127.0.0.1:0"
    prefix = ()  # what to put before the program

    def start(self):
        self.begin()
        return self.await_ready()

    def begin(self):
        """Starts it; await_ready() has to follow."""
        self.process = subprocess.Popen(
            [*self.prefix, self.binary, "serve", "--data-dir", self.directory,
             "--listen", self.listen, "--kafka-listen", self.kafka_listen,
             "--admin-listen", self.admin_listen, *self.arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, env=self.env)

    def await_ready(self):
        self.ready_line = read_line(self.process.stdout, DEADLINE)
        fields = dict(re.findall(r"(\w+)=(\S+)", self.ready_line))
        if not self.ready_line.startswith("walrus ready ") or "native" not in fields:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no ready line: {self.ready_line!r} {self.error_text()}")
        self.fields = fields
        self.addr = self.listen = fields["native"]
        self.kafka = fields.get("kafka")
        self.admin = fields.get("admin")
        return self

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def close(self):
        """Whatever became of it, nothing is left of it."""
        if self.process and self.process.poll() is None:
            self.kill9()
        self.errors.close()

    def stop(self):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.await_end()

    def await_end(self):
        status = self.process.wait(DEADLINE)
        self.process.stdout.close()
        return status

    def run(self, *arguments, **options):
        return walrus(*arguments, addr=self.addr, **options)

    def ok(self, *arguments, **options):
        """Runs a verb that must succeed; its stdout."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def metrics(self):
        """Name to value, of those without labels."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=DEADLINE) as page:
            text = page.read().decode()
        return {name: float(value) for name, value in re.findall(r"(?m)^(\w+) (\S+)$", text)}

    def high_watermark(self, topic, partition=0):
        text = self.ok("topic", "describe", topic, "--json")
        return json.loads(text)["partitions"][partition]["high_watermark"]


class ServerTest(unittest.TestCase):
    """A directory and one server for each test."""

    arguments = ()

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-e2e-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.server = Server(os.path.join(self.directory, "data"), *self.arguments).start()
        self.addCleanup(self.server.close)

    def path(self, name):
        return os.path.join(self.directory, name)

    def fails(self, status, *arguments, **options):
        """Runs a verb that must fail with this status and one line on stderr: that line."""
        done = self.server.run(*arguments, **options)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, status, (arguments, text, done.stdout))
        self.assertRegex(text, r"\A(walrus: [^\n]+|\{.*\})\n\Z")
        return text[:-1]


class Native:
    """One connection of the native protocol, by hand."""

    def __init__(self, addr, timeout=DEADLINE, receive_buffer=None):
        host, port = addr.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, int(port)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    @staticmethod
    def frame(body):
        body = body if isinstance(body, bytes) else body.encode()
        return struct.pack("<I", len(body)) + body

    def send(self, body):
        self.socket.sendall(self.frame(body))

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        (length,) = struct.unpack("<I", self.read_exactly(4))
        return self.read_exactly(length)

    def ask(self, body):
        self.send(body)
        return self.receive()

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError(f"connection closed after {len(data)} of {size} bytes")
            data += piece
        return data


class Terminal:
    """A program on a pseudo terminal: what is typed, what is seen."""

    def __init__(self, *words, env):
        master, slave = pty.openpty()
        self.master = master
        # In a session of its own whose terminal this is: what is typed makes signals too.
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, seconds=60):
        """Reads until the pattern is seen; forgets what came before its end."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"{pattern!r} was not seen in {self.seen!r}")
            try:
                data = os.read(self.master, 4096)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"{pattern!r} was not seen in {self.seen!r}: the end")
            self.seen += data.decode(errors="replace")
        self.seen = self.seen[match.end():]
        return match

    def modes(self):
        """How the terminal treats what is typed: echo, lines, signals..."""
        return termios.tcgetattr(self.master)[:4]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self, seconds=60):
        """Reads to the end; the exit status."""
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"it did not end; after {self.seen!r}")
            try:
                data = os.read(self.master, 4096)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode(errors="replace")
        status = self.process.wait(60)
        os.close(self.master)
        return status


def read_line(stream, seconds):
    """The next line of a pipe, without its newline; what there is when the time is over."""
    end, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        if not ready:
            break
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode(errors="replace").rstrip("\n")


def wait_until(condition, what, seconds=DEADLINE, pause=0.005):
    """Polls until the condition gives something; that. `pause`: seconds between two looks."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")


HELD_PORTS = []  # lock files, until the process ends


def free_ports(count):
    """Ports that nobody listens on, and that are this process's until it ends: other tests see
    their locks, and they lie below those that the system gives to whoever asks for any."""
    locks = pathlib.Path(tempfile.gettempdir(), f"walrus-test-ports-{os.getuid()}")
    locks.mkdir(exist_ok=True)
    ports = []
    for port in random.sample(range(20_000, 32_000), 2_000):
        if len(ports) == count:
            return ports
        lock = open(locks / str(port), "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            lock.close()
            continue
        HELD_PORTS.append(lock)
        ports.append(port)
    raise AssertionError(f"no {count} ports that are free")


def free_port():
    return free_ports(1)[0]


def main():
    if not os.access(BINARY, os.X_OK):
        sys.exit(f"no program at {BINARY}: build the target walrus")
    unittest.main(verbosity=2)
