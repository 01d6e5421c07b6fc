#!/usr/bin/env python3
"""walrus cert: what it makes is what openssl takes, and it makes nothing by accident."""

import json
import pathlib
import stat
import subprocess
import tempfile
import unittest

from walrus import main, walrus


class Cert(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="walrus-cert-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name) / "certs"

    def ok(self, *words):
        done = walrus("cert", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def fails(self, status, *words):
        done = walrus("cert", *words)
        self.assertEqual(done.returncode, status, (words, done.stdout, done.stderr))
        self.assertRegex(done.stderr, rb"\Awalrus: [^\n]+\n\Z")
        return done.stderr.decode()

    def openssl(self, *words):
        return subprocess.run(["openssl", *(str(word) for word in words)], capture_output=True,
                              text=True, check=False)

    def text_of(self, name):
        return self.openssl("x509", "-in", self.directory / name, "-noout", "-text").stdout

    def test_openssl_takes_what_it_makes(self):
        said = self.ok("ca", self.directory)
        self.assertIn("CA of cluster walrus until ", said)
        said = self.ok("node", self.directory, "--node-id", "7")
        self.assertIn("node 7 of cluster walrus at 127.0.0.1 ::1 localhost until ", said)
        self.assertEqual(sorted(path.name for path in self.directory.iterdir()),
                         ["ca.key", "ca.pem", "node-7.key", "node-7.pem"])
        for path in self.directory.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        ca, pem = self.directory / "ca.pem", self.directory / "node-7.pem"
        for purpose in ("sslserver", "sslclient"):
            done = self.openssl("verify", "-x509_strict", "-CAfile", ca, "-purpose", purpose, pem)
            self.assertEqual(done.stdout, f"{pem}: OK\n", done.stderr)
        text = self.text_of("node-7.pem")
        for words in ("URI:walrus://walrus/node/7", "DNS:localhost", "IP Address:127.0.0.1",
                      "ASN1 OID: prime256v1", "ecdsa-with-SHA256", "CA:FALSE",
                      "TLS Web Server Authentication, TLS Web Client Authentication"):
            self.assertIn(words, text)
        text = self.text_of("ca.pem")
        for words in ("CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "URI:walrus://walrus\n"):
            self.assertIn(words, text)
        key = self.openssl("pkey", "-in", self.directory / "node-7.key", "-noout", "-check")
        self.assertIn("valid", key.stdout + key.stderr)

    def test_names_addresses_and_days(self):
        self.ok("ca", self.directory, "--cluster", "orders.prod", "--days", "30")
        made = json.loads(self.ok("node", self.directory, "--node-id", "1", "--address", "10.0.0.1",
                                  "--address", "a.example", "--days", "7", "--json"))
        self.assertEqual(made["cluster"], "orders.prod")
        self.assertEqual(made["node"], 1)
        self.assertEqual(made["addresses"], ["10.0.0.1", "a.example"])
        self.assertEqual(made["files"], [str(self.directory / "node-1.key"),
                                         str(self.directory / "node-1.pem")])
        self.assertRegex(made["expires"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        text = self.text_of("node-1.pem")
        self.assertIn("URI:walrus://orders.prod/node/1", text)
        self.assertNotIn("localhost", text)
        for days, status in ((6, 0), (8, 1)):
            self.assertEqual(self.openssl("x509", "-in", self.directory / "node-1.pem", "-noout",
                                          "-checkend", days * 86_400).returncode, status)
        # Unless told, as long as the CA at most.
        made = json.loads(self.ok("node", self.directory, "--node-id", "2", "--json"))
        done = self.openssl("verify", "-CAfile", self.directory / "ca.pem",
                            self.directory / "node-2.pem")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("ends before this one would",
                      self.fails(1, "node", self.directory, "--node-id", "3", "--days", "31"))

    def test_nothing_is_replaced_unless_asked(self):
        self.ok("ca", self.directory)
        self.ok("node", self.directory, "--node-id", "1")
        before = {path: path.read_bytes() for path in self.directory.iterdir()}
        self.assertIn("ca.key is there already (--force replaces it)",
                      self.fails(1, "ca", self.directory))
        self.assertIn("node-1.key is there already",
                      self.fails(1, "node", self.directory, "--node-id", "1"))
        self.assertEqual({path: path.read_bytes() for path in self.directory.iterdir()}, before)
        self.ok("node", self.directory, "--node-id", "1", "--force")
        self.ok("ca", self.directory, "--force")
        for path, bytes_before in before.items():
            self.assertNotEqual(path.read_bytes(), bytes_before, path)

    def test_wrong_arguments(self):
        for words in ((), ("ca",), ("node", self.directory),
                      ("node", self.directory, "--node-id", "0"),
                      ("node", self.directory, "--node-id", "x"),
                      ("node", self.directory, "--node-id", "1", "--address", "a b"),
                      ("node", self.directory, "--node-id", "1", "--address", "*.example"),
                      ("ca", self.directory, "--days", "0"),
                      ("ca", self.directory, "--node-id", "1"),
                      ("sign", self.directory)):
            self.fails(2, *words)
        self.assertIn("a cluster is 1 to 63",
                      self.fails(1, "ca", self.directory, "--cluster", "Not a name"))
        self.assertFalse(self.directory.exists())

    def test_what_is_no_authority_signs_nothing(self):
        self.assertIn("No such file", self.fails(1, "node", self.directory, "--node-id", "1"))
        self.ok("ca", self.directory)
        other = self.directory.with_name("other")
        self.ok("ca", other)
        key = (self.directory / "ca.key").read_bytes()
        (self.directory / "ca.key").write_bytes((other / "ca.key").read_bytes())
        self.assertIn("the key is not the CA's",
                      self.fails(1, "node", self.directory, "--node-id", "1"))
        (self.directory / "ca.key").write_bytes(b"nothing")
        self.assertIn("not a private key", self.fails(1, "node", self.directory, "--node-id", "1"))
        (self.directory / "ca.key").write_bytes(key)
        (self.directory / "ca.pem").write_bytes(key)
        said = self.fails(1, "node", self.directory, "--node-id", "1")
        self.assertIn("not a certificate", said)
        self.assertNotIn("PRIVATE", said)
        self.assertEqual(sorted(path.name for path in self.directory.iterdir()),
                         ["ca.key", "ca.pem"])

    def test_a_directory_that_cannot_be_written(self):
        file = self.directory.with_name("file")
        file.write_text("x")
        self.fails(1, "ca", file)
        self.fails(1, "ca", file / "below")
        self.assertEqual(file.read_text(), "x")


if __name__ == "__main__":
    main()
