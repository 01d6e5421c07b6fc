"""Certificates that are made anew, by openssl."""

import pathlib
import subprocess


class Authority:
    """A CA of its own in a directory, and what it signs: NAME.pem, NAME.key."""

    def __init__(self, directory, name="ca"):
        self.directory = pathlib.Path(directory)
        self.name = name
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True)

    def path(self, name):
        return str(self.directory / name)

    @property
    def pem(self):
        return self.path(f"{self.name}.pem")

    def sign(self, name, subject, days=30, names="IP:127.0.0.1,DNS:localhost"):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
                     "-keyout", f"{name}.key", "-out", f"{name}.csr")
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n" if names else "")
        # No validity in the past by the `x509` of OpenSSL 3.0 but by a negative number of days.
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey",
                     f"{self.name}.key", "-CAcreateserial", "-days", str(days), "-extfile",
                     str(extensions), "-out", f"{name}.pem")
        return self.path(f"{name}.pem"), self.path(f"{name}.key")
