#!/usr/bin/env python3
"""Each rule of tools/style/check.py finds a violation that is planted in a small tree."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parent.parent / "tools/style/check.py"


def check(rule, files):
    """The exit status and the output of the rule on a tree of these files."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in files.items():
            path = pathlib.Path(directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        run = subprocess.run([sys.executable, CHECK, "--root", directory, rule],
                             capture_output=True, text=True, check=False)
        return run.returncode, run.stdout + run.stderr


class StyleTest(unittest.TestCase):
    def found(self, rule, name, text, what):
        status, output = check(rule, {name: text})
        self.assertEqual(status, 1, output)
        self.assertIn(f"{name}:", output)
        self.assertIn(what, output)

    def clean(self, rule, name, text):
        status, output = check(rule, {name: text})
        self.assertEqual(status, 0, output)

    def test_rooms_finds_an_include_to_the_right(self):
        self.found("rooms", "src/record/a.cc", '#include "log/engine.h"\n', "to its right")

    def test_rooms_allows_an_include_to_the_left(self):
        self.clean("rooms", "src/log/a.cc", '#include "record/batch.h"\n#include <vector>\n')

    def test_rooms_finds_an_unknown_room(self):
        self.found("rooms", "src/attic/a.cc", "", "no room")

    def test_rooms_finds_boost_in_a_public_header(self):
        self.found("rooms", "include/walrus/a.h", "#include <boost/asio.hpp>\n", "public header")

    def test_rooms_finds_a_room_in_a_public_header(self):
        self.found("rooms", "include/walrus/a.h", '#include "base/check.h"\n', "public header")

    def test_env_finds_each_way_into_the_world(self):
        for call in ("auto t = std::chrono::steady_clock::now();", "auto t = time(nullptr);",
                     "clock_gettime(CLOCK_REALTIME, &t);", "int x = rand();",
                     "getrandom(buffer, 8, 0);", "std::random_device device;",
                     "std::thread worker(run);", "std::jthread worker(run);", "std::mutex mutex_;",
                     "auto f = std::async(run);", "std::condition_variable ready_;",
                     "thread_local int x;", 'auto* v = getenv("A");', "int fd = ::open(p, 0);",
                     "fsync(fd);", "::fdatasync(fd);", "auto* m = mmap(nullptr, 1, 1, 1, 1, 0);",
                     "std::ifstream in(path);", "std::filesystem::remove(path);",
                     "int s = ::socket(1, 1, 0);", "boost::asio::ip::tcp::socket socket_;",
                     "boost::asio::steady_timer timer_;", "fork();",
                     "std::this_thread::yield();"):
            with self.subTest(call=call):
                self.found("env", "src/broker/a.cc", call + "\n", "only through io::Env")

    def test_env_finds_throw(self):
        self.found("env", "src/broker/a.cc", "void f() { throw 1; }\n", "errors are Result")

    def test_env_ignores_comments_literals_and_members(self):
        self.clean("env", "src/broker/a.cc",
                   '// std::thread\nauto s = "rand()";\nauto f = disk.open(p);\n'
                   "auto t = env_.time(x);\nauto r = disk->rename(a, b);\n/* fsync(1) */\n")

    def test_env_leaves_tests_and_their_fixtures_alone(self):
        self.clean("env", "src/log/a_test.cc", "std::thread t;\n")
        self.clean("env", "src/log/fixture.h", "#include <gtest/gtest.h>\nstd::thread t;\n")

    def test_env_leaves_the_seam_itself_alone(self):
        self.clean("env", "src/io/real/a.cc", "int fd = ::open(p, 0);\nstd::thread t;\n")

    def test_env_allows_locks_but_no_threads_in_the_engine(self):
        self.clean("env", "src/log/a.cc", "std::mutex mutex_;\n")
        self.found("env", "src/log/a.cc", "std::thread flusher_;\n", "a thread")

    def test_env_allows_the_environment_in_the_configuration_only(self):
        self.clean("env", "src/server/config.cc", 'auto* v = getenv("A");\n')
        self.found("env", "src/server/serve.cc", 'auto* v = getenv("A");\n', "the environment")

    def test_sim_finds_a_real_timer(self):
        self.found("sim", "src/io/sim/a.cc", "boost::asio::steady_timer timer_;\n", "a real timer")

    def test_sim_finds_a_real_socket(self):
        self.found("sim", "sim/a.cc", "boost::asio::ip::tcp::socket socket_;\n", "a socket call")

    def test_sim_finds_a_real_clock(self):
        self.found("sim", "src/io/sim/a.cc", "auto t = std::chrono::steady_clock::now();\n",
                   "a clock")

    def test_sim_allows_a_polled_loop(self):
        self.clean("sim", "src/io/sim/a.cc", "boost::asio::io_context context_;\n")

    def test_words_finds_an_attic_file(self):
        self.found("words", "src/base/string_" + "utils.h", "", "attic")

    def test_words_finds_an_attic_folder(self):
        self.found("words", "src/" + "common/a.h", "", "attic")

    def test_words_finds_an_attic_class(self):
        self.found("words", "src/log/a.h", "class Segment" + "Manager {};\n", "attic")

    def test_words_finds_a_machine_path(self):
        self.found("words", "docs/a.md", "see /ho" + "me/somebody/notes\n", "path")

    def test_words_finds_a_registry(self):
        self.found("words", "docs/a.md", "from https://py" + "pi.org/x\n", "registry")

    def test_words_finds_unfinished_work(self):
        self.found("words", "src/log/a.cc", "// TO" + "DO: later\n", "unfinished")

    def test_words_finds_an_address(self):
        self.found("words", "README.md", "write to somebody@" + "example.org\n", "address")

    def test_words_finds_a_name(self):
        self.found("words", "src/log/a.cc", "// Written" + " by Some Body\n", "name")

    def test_words_finds_anothers_copyright(self):
        self.found("words", "src/log/a.cc", "// Copy" + "right 2020 Some Company\n", "copyright")

    def test_size_finds_a_long_line(self):
        self.found("size", "src/log/a.cc", "// " + "x" * 98 + "\n", "101 columns")

    def test_size_warns_about_a_long_function(self):
        body = "  call();\n" * 80
        status, output = check("size", {"src/log/a.cc": "void f() {\n" + body + "}\n"})
        self.assertEqual(status, 0)
        self.assertIn("src/log/a.cc:1: size: warning: a function of 82 lines", output)

    def test_size_warns_about_a_long_file(self):
        status, output = check("size", {"src/log/a.cc": "int x;\n" * 801})
        self.assertEqual(status, 0)
        self.assertIn("801 lines", output)

    def test_links_finds_a_link_to_nowhere(self):
        self.found("links", "docs/a.md", "see [b](b.md)\n", "b.md does not exist")

    def test_links_follows_what_is_there(self):
        status, output = check("links", {"docs/a.md": "[r](../README.md#x) [w](https://x.test/y)",
                                         "README.md": "[a](docs/a.md)"})
        self.assertEqual(status, 0, output)

    def test_format_finds_what_clang_format_would_change(self):
        self.found("format", "src/log/a.cc", "int   x ;\n", "clang-format")

    def test_an_unknown_rule_is_refused(self):
        status, output = check("nonsense", {})
        self.assertEqual(status, 2)
        self.assertIn("unknown rule", output)


if __name__ == "__main__":
    unittest.main()
