#!/usr/bin/env python3
"""docs/kafka-compatibility.md tells what a server serves, and why its answers may differ."""

import re
import socket
import struct
import tomllib

from walrus import DEADLINE, SOURCE, ServerTest, main

PAGE = (SOURCE / "docs/kafka-compatibility.md").read_text()


def rows(heading):
    """The cells of the table rows between a heading and the next one."""
    text = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| \n") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def table(name):
    return tomllib.loads((SOURCE / "tests/conformance" / name).read_text())


class Page(ServerTest):
    def test_versions_are_those_of_the_server(self):
        host, port = self.server.kafka.rsplit(":", 1)
        with socket.create_connection((host, int(port)), DEADLINE) as connection:
            connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
            size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
            answer = connection.recv(size, socket.MSG_WAITALL)
        count = struct.unpack_from(">i", answer, 6)[0]
        served = {key: f"{low}..{high}" for key, low, high in
                  (struct.unpack_from(">hhh", answer, 10 + 6 * place) for place in range(count))}
        told = {int(cells[0]): cells[2] for cells in rows("APIs") if cells[0].isdigit()}
        self.assertEqual({key: versions for key, versions in told.items() if versions != "–"},
                         served)

    def test_every_difference_is_explained(self):
        told = {cells[0].strip("`"): cells[1] for cells in rows("Differences")
                if re.match("`.*`$", cells[0])}
        self.assertEqual(told, table("answers.toml")["differs"])

    def test_every_exclusion_is_named(self):
        told = {(cells[0], cells[1].strip("`")): cells[2] for cells in rows("Clients and suites")
                if len(cells) == 3 and cells[1].startswith("`")}
        wanted = {(part, case.replace("|", ", ")): why
                  for part, cases in table("exclusions.toml").items()
                  for case, why in cases.items()}
        self.assertEqual(told, wanted)


if __name__ == "__main__":
    main()
