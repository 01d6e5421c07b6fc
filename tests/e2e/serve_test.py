#!/usr/bin/env python3
"""walrus serve: ready line, exit statuses, configuration, what stands in its way."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from walrus import (BINARY, Native, Server, ServerTest, environment, main, wait_until, walrus)


class Running(ServerTest):
    def test_ready_line(self):
        self.assertRegex(self.server.ready_line,
                         r"^walrus ready native=127\.0\.0\.1:\d+ kafka=127\.0\.0\.1:\d+"
                         r" admin=127\.0\.0\.1:\d+"
                         r" data_dir=\S+ pid=\d+$")
        self.assertEqual(int(self.server.fields["pid"]), self.server.process.pid)

    def test_sigterm_and_sigint_end_it_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.server.process.send_signal(number)
            self.assertEqual(self.server.process.wait(60), 0)
            self.server.process.stdout.close()
            self.server.start()

    def test_sigterm_with_clients_connected_and_waiting(self):
        self.server.ok("topic", "create", "t")
        with Native(self.server.addr) as waiting, Native(self.server.addr) as idle:
            waiting.send("GET t 60000")
            self.assertEqual(idle.ask("PUT t x"), b"OK")
            self.assertEqual(waiting.receive(), b"OK x")
            waiting.send("GET t 60000")
            self.assertEqual(self.server.stop(), 0)

    def test_acknowledged_records_survive_a_graceful_stop(self):
        self.server.ok("topic", "create", "t", "--durability", "os")
        self.server.ok("produce", "t", input=b"x\n" * 5000)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(self.server.ok("consume", "t"), b"x\n" * 5000)

    def test_a_namespace_has_topics_of_its_own(self):
        self.server.ok("topic", "create", "of-the-root")
        self.server.stop()
        named = Server(self.server.directory, "--set", "node.namespace=shop/eu").start()
        self.addCleanup(named.close)
        self.assertEqual(named.ok("topic", "list", "--json").strip(), b"[]")
        named.ok("topic", "create", "of-the-namespace")
        self.assertEqual(named.stop(), 0)
        self.server.start()
        topics = self.server.ok("topic", "list", "--json")
        self.assertIn(b"of-the-root", topics)
        self.assertNotIn(b"of-the-namespace", topics)

    def test_admin_port(self):
        def fetch(path):
            with urllib.request.urlopen(f"http://{self.server.admin}{path}", timeout=60) as reply:
                return reply.read().decode()

        self.assertRegex(fetch("/metrics"), r"(?m)^walrus_\w+(\{[^}]*\})? [0-9.e+]+$")
        self.assertTrue(fetch("/healthz"))
        self.assertTrue(fetch("/readyz"))
        with self.assertRaises(urllib.error.HTTPError) as error:
            fetch("/nothing")
        self.assertEqual(error.exception.code, 404)
        error.exception.close()

    def test_readyz_says_that_the_server_stops(self):
        self.server.ok("topic", "create", "t")
        host, port = self.server.admin.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 60) as admin, \
                Native(self.server.addr, receive_buffer=4096) as slow:
            # Replies that nobody reads, more of them than the sockets take in, keep the server
            # from being done with stopping.
            self.server.ok("produce", "t", input=b"%s\n" % (b"x" * 1000) * 20_000)
            slow.send_raw(64 * Native.frame("READ t 0 4000000"))
            slow.read_exactly(1)  # they are being answered
            self.server.process.send_signal(signal.SIGTERM)
            seen = wait_until(lambda: self.readyz(admin) != 200, "readyz to say no")
            self.assertTrue(seen)
            slow.close()
            self.assertEqual(self.server.process.wait(60), 0)
            self.server.process.stdout.close()

    @staticmethod
    def readyz(connection):
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: walrus\r\n\r\n")
        return int(connection.recv(4096).split()[1])

    def test_the_port_is_in_use(self):
        done = walrus("serve", "--data-dir", self.path("other"), "--listen", self.server.addr,
                      "--kafka-listen", "", "--admin-listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"\Awalrus: [^\n]*in use[^\n]*\n\Z")
        self.assertIn(self.server.addr, done.stderr.decode())

    def test_the_directory_is_locked(self):
        done = walrus("serve", "--data-dir", self.server.directory, "--listen", "127.0.0.1:0",
                      "--kafka-listen", "", "--admin-listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        text = done.stderr.decode()
        self.assertRegex(text, r"\Awalrus: [^\n]+\n\Z")
        self.assertIn(str(self.server.process.pid), text)


class Starting(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-e2e-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def serve(self, *arguments, **options):
        return walrus("serve", "--data-dir", os.path.join(self.directory, "data"), "--listen",
                      "127.0.0.1:0", "--kafka-listen", "", "--admin-listen", "127.0.0.1:0",
                      *arguments, **options)

    def config(self, text):
        path = os.path.join(self.directory, "walrus.toml")
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_a_bad_configuration_names_file_and_line(self):
        for text, line in (("[native]\nlisten = \"127.0.0.1:0\"\nnonsense = 1\n", 3),
                           ("[topic]\n\nsegment_records_max = 0\n", 3),
                           ("[nothing]\n", 1), ("[native\n", 1), ("listen = 1\n", 1)):
            path = self.config(text)
            done = walrus("serve", "--config", path, "--check-config")
            self.assertEqual(done.returncode, 1, (text, done.stdout, done.stderr))
            self.assertRegex(done.stderr.decode(), rf"\Awalrus: [^\n]*{re.escape(path)}:{line}\b"
                                                   r"[^\n]*\n\Z")

    def test_a_good_configuration_is_checked_and_printed(self):
        path = self.config("[topic]\ndurability = \"os\"\n")
        self.assertEqual(walrus("serve", "--config", path, "--check-config").returncode, 0)
        done = walrus("serve", "--config", path, "--print-config",
                      env=environment(WALRUS_TOPIC_RETENTION_MS="5000"))
        self.assertEqual(done.returncode, 0)
        self.assertIn('durability = "os"', done.stdout.decode())
        self.assertIn("retention_ms = 5000", done.stdout.decode())

    def test_wrong_arguments(self):
        for words in (["--nope"], ["--set", "nonsense.key=1"], ["extra"]):
            done = self.serve(*words)
            self.assertIn(done.returncode, (1, 2), words)
            self.assertRegex(done.stderr.decode(), r"\Awalrus: [^\n]+\n\Z", words)
        self.assertEqual(self.serve("--nope").returncode, 2)

    def test_a_directory_of_somebody_else_is_not_touched(self):
        data = os.path.join(self.directory, "data")
        os.mkdir(data)
        with open(os.path.join(data, "thesis.txt"), "w") as file:
            file.write("precious")
        done = self.serve()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"\Awalrus: [^\n]+\n\Z")
        self.assertEqual(os.listdir(data), ["thesis.txt"])

    def test_a_low_descriptor_limit_is_named(self):
        process = subprocess.Popen(
            [BINARY, "serve", "--data-dir", os.path.join(self.directory, "data"), "--listen",
             "127.0.0.1:0", "--kafka-listen", "", "--admin-listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        try:
            output, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1, (output, errors))
            self.assertRegex(errors.decode(), r"(?i)walrus: [^\n]*(ulimit|nofile|descriptors|open"
                                              r" files)")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def test_upstream_flags_are_aliases(self):
        done = walrus("serve", "--client-host", "127.0.0.2", "--port", "1234", "--raft-host",
                      "127.0.0.3", "--raft-port", "6000", "--node-id", "7", "--print-config")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout.decode(), r'(?ms)^id = 7 .*^listen = "127\.0\.0\.2:1234" '
                                               r'.*^listen = "127\.0\.0\.3:6000" ')
        done = walrus("serve", "--client-port", "99", "--listen", "127.0.0.1:98", "--print-config")
        self.assertIn('listen = "127.0.0.1:98"', done.stdout.decode(), "our own name wins")
        done = walrus("serve", "--client-host", "0.0.0.0", "--check-config")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--insecure", done.stderr.decode())
        for flag in ("--join", "--initial-peer"):
            done = walrus("serve", flag, "127.0.0.1:1,127.0.0.1:2", "--print-config")
            self.assertIn('join = ["127.0.0.1:1", "127.0.0.1:2"]', done.stdout.decode())

    def test_a_stop_that_is_asked_for_while_it_starts(self):
        process = subprocess.Popen(
            [BINARY, "serve", "--data-dir", os.path.join(self.directory, "data"), "--listen",
             "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--set", "log.shards=4"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        try:  # the lock is taken first, making the journals takes a moment
            wait_until(lambda: os.path.exists(os.path.join(self.directory, "data/LOCK")), "LOCK")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(60), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def test_upstream_flags_and_environment(self):
        server = Server(os.path.join(self.directory, "up"),
                        env=environment(WALRUS_MAX_SEGMENT_ENTRIES="10", WALRUS_QUIET="1",
                                        WALRUS_DISABLE_IO_URING="1"))
        server.start()
        try:
            server.ok("topic", "create", "t")
            server.ok("produce", "t", "--batch-records", "1", "--linger-ms", "0",
                      input=b"".join(b"%d\n" % i for i in range(60)))
            config = server.ok("topic", "config", "t").decode()
            self.assertIn("segment_records_max = 10", config)
        finally:
            server.close()


if __name__ == "__main__":
    main()
