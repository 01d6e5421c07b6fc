"""A server with certificates and users, for tests of what it lets in. Certificates are made anew by
each test."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

from authority import Authority
from walrus import DEADLINE, Server, wait_until, walrus

ALICE, SECRET = "alice", "correct horse battery"


class SecurityTest(unittest.TestCase):
    """A directory, a CA and what it signed; a server when the test starts one."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-security-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.ca = Authority(self.directory)
        self.certificate, self.key = self.ca.sign("server", "/CN=server")
        self.data = self.path("data")
        self.password = self.write("password", SECRET + "\n")

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def add_user_offline(self, name=ALICE, password=SECRET):
        done = walrus("user", "add", name, "--data-dir", self.data,
                      input=(password + "\n").encode())
        self.assertEqual(done.returncode, 0, done.stderr)

    def start(self, *settings, tls=True, sasl="", users=True):
        if users:
            self.add_user_offline()
        words = []
        if tls:
            words += ["--set", f"security.certificate={self.certificate}",
                      "--set", f"security.key={self.key}"]
        if sasl:
            words += ["--set", f"security.sasl={sasl}"]
        for setting in settings:
            words += ["--set", setting]
        self.server = Server(self.data, *words).start()
        self.addCleanup(self.server.close)
        return self.server

    def kcat(self, *arguments, input=b"", timeout=DEADLINE):
        words = ["kcat", "-b", self.server.kafka, *(str(word) for word in arguments)]
        return subprocess.run(words, input=input, capture_output=True, timeout=timeout)

    def kafka_flags(self, protocol, mechanism=None, password=SECRET, user=ALICE, ca=None):
        flags = ["-X", f"security.protocol={protocol}"]
        if "ssl" in protocol:
            flags += ["-X", f"ssl.ca.location={ca or self.ca.pem}"]
        if mechanism:
            flags += ["-X", f"sasl.mechanism={mechanism}", "-X", f"sasl.username={user}",
                      "-X", f"sasl.password={password}"]
        return flags

    def goes_through(self, flags, topic="t"):
        line = os.urandom(8).hex()
        done = self.kcat("-P", "-t", topic, *flags, input=line.encode() + b"\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", *flags)
        self.assertIn(line, done.stdout.decode().splitlines(), done.stderr)

    def refused(self, flags, *expected):
        """kcat is not let in, and says one of these."""
        done = self.kcat("-L", "-m", 5, *flags)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        text = done.stderr.decode()
        self.assertTrue(any(word in text for word in expected), text)

    def client(self, *verb, user=ALICE, tls=True, password=None, **options):
        words = list(verb)
        if tls:
            words += ["--tls-ca", self.ca.pem]
        if user:
            words += ["--user", user, "--password-file", password or self.password]
        return walrus(*words, addr=self.server.addr, **options)

    def client_ok(self, *verb, **options):
        done = self.client(*verb, **options)
        self.assertEqual(done.returncode, 0, (verb, done.stderr))
        return done.stdout

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def connect_tls(self, address, **settings):
        context = ssl.create_default_context(cafile=self.ca.pem)
        for name, value in settings.items():
            setattr(context, name, value)
        connection = context.wrap_socket(self.connect(address), server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection

    def s_client(self, *words, address=None):
        done = subprocess.run(["openssl", "s_client", "-connect", address or self.server.kafka,
                               "-CAfile", self.ca.pem, *words], input=b"", capture_output=True,
                              timeout=DEADLINE)
        return (done.stdout + done.stderr).decode(errors="replace")

    def logged(self, pattern):
        return wait_until(lambda: re.search(pattern, self.server.error_text()), pattern)
