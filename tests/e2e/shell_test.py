#!/usr/bin/env python3
"""walrus shell, through a pipe and through a pseudo terminal; questions before deletes."""

import os
import pty
import re
import select
import subprocess
import time
import unittest

from walrus import BINARY, ServerTest, environment, main


class Terminal:
    """A program on a pseudo terminal: what is typed, what is seen."""

    def __init__(self, *words, env):
        master, slave = pty.openpty()
        self.master = master
        self.process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True)
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


class Pipe(ServerTest):
    def shell(self, text):
        return self.server.run("shell", input=text.encode())

    def test_requests_and_replies(self):
        done = self.shell("REGISTER t\nREGISTER t\nPUT t a b\nGET t\nGET t\n\nquit\n"
                          "PUT t not run\n")
        self.assertEqual(done.stdout, b"OK\nOK\nOK\nOK a b\nEMPTY\n")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(self.server.ok("get", "t"), b"EMPTY\n")

    def test_a_refusal_gives_status_1(self):
        done = self.shell("GARBAGE\nREGISTER t\n")
        self.assertEqual(done.stdout, b"ERR unknown command\nOK\n")
        self.assertEqual(done.returncode, 1)

    def test_help(self):
        self.assertIn(b"REGISTER", self.shell("help\n").stdout)
        self.assertIn(b"PUT", self.shell("HELP\n").stdout)

    def test_a_request_that_waits_longer_than_the_time_limit(self):
        self.server.ok("topic", "create", "t")
        done = self.server.run("shell", "--timeout-ms", "500", input=b"GET t 1500\n")
        self.assertEqual((done.stdout, done.returncode), (b"EMPTY\n", 0))


class OnATerminal(ServerTest):
    def open(self, *words):
        env = environment(HOME=self.directory, TERM="xterm")
        terminal = Terminal(BINARY, *words, "--addr", self.server.addr, env=env)
        self.addCleanup(lambda: terminal.process.poll() is None and terminal.process.kill())
        return terminal

    def test_prompt_history_and_completion(self):
        shell = self.open("shell")
        shell.expect("walrus> ")
        shell.type("REGISTER topic-one\n")
        shell.expect(r"\nOK\r")
        shell.expect("walrus> ")
        shell.type("STA\ttop\t\n")
        shell.expect('"current_segment"')
        shell.expect("walrus> ")
        shell.type("PUT topic-one seen\n")
        shell.expect(r"\nOK\r")
        shell.type("GET topic-one\n")
        shell.expect(r"\nOK seen\r")
        # Keys are the editor's from its prompt on; before it they are the terminal's.
        shell.expect("walrus> ")
        shell.type("\x1b[A")  # up: the line before
        shell.expect("GET topic-one")
        shell.type("\n")
        shell.expect(r"\nEMPTY\r")
        shell.type("NONSENSE\n")
        shell.expect("ERR unknown command")
        shell.expect("walrus> ")
        shell.type("\x04")
        self.assertEqual(shell.end(), 0)
        again = self.open("shell")
        again.expect("walrus> ")
        again.type("\x1b[A")
        again.expect("NONSENSE")
        again.type("\x15quit\n")
        self.assertEqual(again.end(), 0)

    def test_the_shell_finds_a_server_that_was_restarted(self):
        shell = self.open("shell")
        shell.expect("walrus> ")
        self.server.kill9()
        self.server.start()
        shell.type("REGISTER t\n")
        shell.expect(r"\nOK\r")
        shell.type("exit\n")
        self.assertEqual(shell.end(), 0)

    def test_ctrl_c_ends_the_shell_with_130(self):
        shell = self.open("shell")
        shell.expect("walrus> ")
        shell.process.send_signal(2)
        self.assertEqual(shell.end(), 130)

    def test_delete_asks(self):
        self.server.ok("topic", "create", "t")
        no = self.open("topic", "delete", "t")
        no.expect(r"Delete topic t and all its records\? \[y/N\] ")
        no.type("n\n")
        no.expect("nothing was deleted")
        self.assertEqual(no.end(), 1)
        self.assertEqual(self.server.ok("--quiet", "topic", "list"), b"t\n")
        yes = self.open("topic", "delete", "t")
        yes.expect(r"\[y/N\] ")
        yes.type("y\n")
        yes.expect("deleted t")
        self.assertEqual(yes.end(), 0)
        self.server.ok("topic", "create", "t")
        self.assertEqual(self.open("topic", "delete", "t", "--yes").end(), 0)
        self.assertEqual(self.server.ok("--quiet", "topic", "list"), b"")

    def test_produce_shows_its_progress(self):
        self.server.ok("topic", "create", "t")
        with open(self.path("lines"), "wb") as file:
            file.write(b"a line\n" * 2000)
        producer = self.open("produce", "t", self.path("lines"), "--rate", "2000")
        producer.expect(r"\[#*\.*\] +\d+%")
        producer.expect(r"produced 2000 records 12000 bytes offsets 0\.\.1999 retries 0")
        self.assertEqual(producer.end(), 0)


if __name__ == "__main__":
    main()
