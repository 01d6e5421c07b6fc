#!/usr/bin/env python3
"""The completion scripts: their shells accept them, and bash's completes verbs, flags, topics."""

import os
import shutil
import subprocess
import unittest

from walrus import BINARY, ServerTest, environment, main, walrus

CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


class Completion(ServerTest):
    def script(self, shell):
        done = walrus("completion", shell)
        self.assertEqual(done.returncode, 0)
        path = self.path(shell)
        with open(path, "wb") as file:
            file.write(done.stdout)
        return path

    def test_the_shells_accept_the_scripts(self):
        for shell, check in CHECKS.items():
            path = self.script(shell)
            if shutil.which(shell):  # Debian installs bash only
                done = subprocess.run([*check, path], capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, b""), shell)

    def complete(self, *words):
        path = self.script("bash")
        command = (f"source {path}; COMP_WORDS=({' '.join(words) or ''}); "
                   f"COMP_CWORD={len(words) - 1}; _walrus; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        env = environment(WALRUS_ADDR=self.server.addr,
                          PATH=os.path.dirname(BINARY) + ":" + os.environ["PATH"])
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=env, timeout=60)
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode().split()

    def test_bash_completes(self):
        self.server.ok("topic", "create", "orders")
        self.assertEqual(self.complete("walrus", "prod"), ["produce"])
        self.assertIn("topic", self.complete("walrus", "''"))
        self.assertEqual(self.complete("walrus", "topic", "cr"), ["create"])
        self.assertIn("--partitions", self.complete("walrus", "topic", "create", "--p"))
        self.assertEqual(self.complete("walrus", "consume", "ord"), ["orders"])
        self.assertEqual(self.complete("walrus", "consume", "--fo"), ["--follow", "--format"])
        self.assertIn("--json", self.complete("walrus", "get", "orders", "--"))


if __name__ == "__main__":
    main()
