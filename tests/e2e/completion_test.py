#!/usr/bin/env python3
"""The completion scripts, in the shells that they are for: what they complete a line to."""

import os
import subprocess

from walrus import BINARY, ServerTest, Terminal, environment, main, walrus

# What is typed, and the line after Tab.
COMPLETED = (
    ("walrus prod", "walrus produce"),
    ("walrus topic cr", "walrus topic create"),
    ("walrus consume ord", "walrus consume orders"),
    ("walrus group describe bil", "walrus group describe billing"),
    ("walrus get orders --wa", "walrus get orders --wait-ms"),
    ("walrus get orders --js", "walrus get orders --json"),
    ("walrus produce orders --compression gz", "walrus produce orders --compression gzip"),
    ("walrus completion fi", "walrus completion fish"),
    ("walrus --quiet topic des", "walrus --quiet topic describe"),
    ("walrus log verify ./data-", "walrus log verify ./data-file"),
    ("walrus produce orders ./data-", "walrus produce orders ./data-file"),
)


class Completion(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.ok("topic", "create", "orders")
        self.server.ok("group", "reset", "billing", "orders", "--to", "earliest")
        self.work = self.path("work")
        os.mkdir(self.work)
        with open(os.path.join(self.work, "data-file"), "w") as file:
            file.write("a line\n")

    def script(self, shell):
        done = walrus("completion", shell)
        self.assertEqual(done.returncode, 0)
        path = self.path("script." + shell)
        with open(path, "wb") as file:
            file.write(done.stdout)
        return path

    def env(self):
        return environment(WALRUS_ADDR=self.server.addr, TERM="dumb", EDITOR="emacs", VISUAL="",
                           HOME=self.directory, PS1="$ ",
                           PATH=os.path.dirname(BINARY) + ":" + os.environ["PATH"])

    def types_and_tabs(self, shell, *setup):
        """Tab, then the line is printed instead of run: Ctrl-A, echo."""
        terminal = Terminal(*shell, env=self.env())
        self.addCleanup(terminal.kill)
        terminal.type("; ".join((f"cd {self.work}", *setup, "echo rea''dy")) + "\n")
        terminal.expect("ready")
        for typed, completed in COMPLETED:
            with self.subTest(shell=shell[0], typed=typed):
                terminal.type(typed + "\t\x01echo '<' \x05'>'\n")
                terminal.expect(rf"< {completed} ?>")
        terminal.type("exit\n")
        self.assertEqual(terminal.end(), 0)

    def test_bash(self):
        self.types_and_tabs(["bash", "--norc", "--noprofile", "-i"],
                            f"source {self.script('bash')}")

    def test_zsh(self):
        self.types_and_tabs(["zsh", "-f", "-i"], "autoload -Uz compinit",
                            f"compinit -u -d {self.path('dump')}",
                            f"source {self.script('zsh')}")

    def test_fish(self):
        script = self.script("fish")
        for typed, completed in COMPLETED:
            command = f"cd {self.work}; source {script}; complete -C '{typed}'"
            done = subprocess.run(["fish", "--no-config", "-c", command], capture_output=True,
                                  env=self.env(), timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, b""), typed)
            words = [line.split("\t")[0] for line in done.stdout.decode().splitlines()]
            self.assertEqual(words, [completed.split(" ")[-1]], typed)

    def test_where_a_verb_is_due_no_file_and_no_flag_is_offered(self):
        command = (f"source {self.script('bash')}; COMP_WORDS=(walrus topic ''); COMP_CWORD=2;"
                   " _walrus; printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=self.env(),
                              cwd=self.work, timeout=60)
        self.assertEqual(done.stdout.split(),
                         [b"list", b"create", b"delete", b"describe", b"config"])


if __name__ == "__main__":
    main()
