#!/usr/bin/env python3
"""The embeddable library as it is linked: no state of its own in the process, no signal handlers,
no handlers of forks or exits."""

import os
import pathlib
import re
import subprocess
import unittest

BUILD = pathlib.Path(os.environ.get("WALRUS_BUILD",
                                    pathlib.Path(__file__).parents[1] / "build/release"))
ROOMS = ["base", "io", "record", "log"]
# What is set once and never changed: the real world, and the size of a page.
CONSTANT = {"walrus::io::real_env()::env",
            "walrus::io::RealFile::mapped_pages(long, long) const::page"}
HANDLERS = re.compile(r"^(_*sigaction|_*(sysv_|bsd_)?signal|sigaltstack"
                      r"|pthread_atfork|__register_atfork|atexit|on_exit|quick_exit|_?exit)$")


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def archive(room):
    return BUILD / f"libwalrus_{room}.a"


def variables(path):
    """Symbols of ours that lie in memory that may be written."""
    found = set()
    for line in run("objdump", "-t", path).splitlines():
        match = re.match(r"\S+ .{7} (\.(?:t?bss|t?data)\S*)\t\S+ (?:\.hidden )?(_Z\w+)$", line)
        if match and "6walrus" in match[2] and not match[1].startswith(".data.rel.ro"):
            found.add(match[2])
    names = run("c++filt", *sorted(found)).splitlines() if found else []
    return {name.removeprefix("guard variable for ") for name in names}


def calls(path):
    return {line.split()[-1] for line in run("nm", "-u", path).splitlines() if " U " in line}


class Library(unittest.TestCase):
    def test_no_globals(self):
        for room in ROOMS:
            with self.subTest(room):
                self.assertEqual(variables(archive(room)) - CONSTANT, set())

    def test_what_is_allowed_is_there(self):
        found = set().union(*(variables(archive(room)) for room in ROOMS))
        self.assertEqual(found, CONSTANT)  # or the search finds nothing at all

    def test_no_handlers(self):
        for room in ROOMS:
            with self.subTest(room):
                names = calls(archive(room))
                self.assertTrue(names)
                self.assertEqual({name for name in names if HANDLERS.match(name)}, set())

    def test_the_server_has_handlers(self):
        names = calls(archive("server"))
        self.assertTrue({name for name in names if HANDLERS.match(name)},
                        "or the search for handlers finds nothing at all")


if __name__ == "__main__":
    unittest.main()
