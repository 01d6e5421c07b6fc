#!/usr/bin/env python3
"""walrus shell, through a pipe and through a pseudo terminal; questions before deletes."""

import os
import stat

from walrus import BINARY, ServerTest, Terminal, environment, main, wait_until


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
        self.addCleanup(terminal.kill)
        return terminal

    def open_in_sh(self, line):
        env = environment(TERM="xterm", WALRUS=BINARY, WALRUS_ADDR=self.server.addr)
        terminal = Terminal("sh", "-c", line, env=env)
        self.addCleanup(terminal.kill)
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
        shell.expect("walrus> ")
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

    def test_ctrl_c_ends_the_shell_with_130_and_leaves_terminal_and_history_as_they_should_be(self):
        before = self.open("topic", "list")
        modes = before.modes()
        self.assertEqual(before.end(), 0)
        shell = self.open("shell")
        shell.expect("walrus> ")
        shell.type("REGISTER t\n")
        shell.expect(r"\nOK\r")
        shell.expect("walrus> ")
        wait_until(lambda: shell.modes() != modes, "the shell to edit lines by itself")
        shell.type("\x03")
        self.assertEqual(shell.process.wait(60), 130)
        self.assertEqual(shell.modes(), modes)
        self.assertEqual(shell.end(), 130)
        with open(self.path(".walrus_history")) as file:
            self.assertIn("REGISTER", file.read())
        self.assertEqual(stat.S_IMODE(os.stat(self.path(".walrus_history")).st_mode), 0o600)

    def test_ctrl_c_ends_a_request_that_waits(self):
        self.server.ok("topic", "create", "t")
        shell = self.open("shell")
        shell.expect("walrus> ")
        shell.type("GET t 60000\n")
        shell.expect(r"GET t 60000\r\n")
        shell.type("\x03")
        self.assertEqual(shell.end(), 130)

    def test_delete_in_the_shell_asks(self):
        self.server.ok("topic", "create", "t")
        shell = self.open("shell")
        shell.expect("walrus> ")
        shell.type("DELETE t\n")
        shell.expect(r"Delete topic t and all its records\? \[y/N\] ")
        shell.type("n\n")
        shell.expect("nothing was deleted")
        shell.expect("walrus> ")
        shell.type("DELETE t\n")
        shell.expect(r"\[y/N\] ")
        shell.type("y\n")
        shell.expect(r"\nOK\r")
        shell.type("DELETE\n")
        shell.expect("ERR DELETE requires a topic")
        shell.type("quit\n")
        self.assertEqual(shell.end(), 0)
        self.server.ok("topic", "create", "t")
        shell = self.open("shell", "--yes")
        shell.expect("walrus> ")
        shell.type("DELETE t\nquit\n")
        shell.expect(r"\nOK\r")
        self.assertEqual(shell.end(), 0)
        self.assertEqual(self.server.run("shell", input=b"REGISTER t\nDELETE t\n").stdout,
                         b"OK\nOK\n")

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

    def test_consume_into_a_file_backup_and_restore_show_their_progress(self):
        self.server.ok("topic", "create", "t")
        self.server.ok("produce", "t", input=b"%s\n" % (b"x" * 1000) * 200_000)
        bar = r"\[#*\.*\] +\d+%"
        consumer = self.open_in_sh(f'"$WALRUS" consume t > {self.path("out")}')
        consumer.expect(bar + r" +\d+ records +[\d.]+ MB")
        self.assertEqual(consumer.end(), 0)
        self.assertEqual(os.path.getsize(self.path("out")), 200_000 * 1001)
        data, backup = self.server.directory, self.path("backup")
        for words in (f"backup {data} {backup}", f"restore {backup} {self.path('restored')}"):
            copy = self.open_in_sh(f'"$WALRUS" {words}')
            copy.expect(bar + r" +[\d.]+ MB")
            self.assertEqual(copy.end(), 0)
        verify = self.open_in_sh(f'"$WALRUS" log verify {self.path("restored")}')
        verify.expect(r"reading [\d.]+ MB")
        verify.expect("every checksum holds")
        self.assertEqual(verify.end(), 0)


if __name__ == "__main__":
    main()
