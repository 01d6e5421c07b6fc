#!/usr/bin/env python3
"""Checks what the compiler cannot: see docs/adr and CONTRIBUTING.md for the rules' reasons.

usage: check.py [--root DIRECTORY] [RULE...]

rooms   a room includes only rooms to its left
env     the world (clock, random, threads, files, sockets) only through io::Env
sim     simulated loops use no real timer, socket or thread
words   no attic names, machine paths, addresses of people, unfinished-work marks
size    line at most 100 columns; warns about functions above 70 and files above 800 lines
links   a document's links lead to files of the tree
format  clang-format-19 changes nothing

Prints `path:line: rule: what` for each violation; exit status 1 if there is any.
"""

import argparse
import pathlib
import re
import subprocess
import sys

from source import Source, functions

ROOMS = ("base io record log net wire raft service meta replica tier table broker frontend server"
         " client cli").split()
CODE = {".h", ".cc", ".c"}
SCRIPTS = {".py", ".sh", ".cmake"}
COLUMNS, FUNCTION_LINES, FILE_LINES = 100, 70, 800

# What reaches the world. A call that is a member of something (`disk.open(`) is not meant.
FREE = r"(?<![\w.>:])(?:std::|::)?"
CLOCK = [
    (r"_clock\s*::\s*now\b", "a clock"),
    (FREE + r"(?:clock_gettime|gettimeofday|clock_nanosleep|nanosleep|usleep)\s*\(", "a clock"),
    (FREE + r"time\s*\(\s*(?:0|NULL|nullptr|&\w+)?\s*\)", "a clock"),
]
TIMERS = [
    (r"\b(?:steady_timer|system_timer|high_resolution_timer|deadline_timer)\b", "a real timer"),
    (FREE + r"timerfd_\w+\s*\(", "a real timer"),
]
RANDOM = [
    (FREE + r"(?:rand|srand|rand_r|drand48|arc4random|getrandom|getentropy)\s*\(",
     "a random number"),
    (r"(?<!\w)::random\s*\(", "a random number"),
    (r"\bstd::(?:random_device|mt19937(?:_64)?|default_random_engine)\b", "a random number"),
]
THREADS = [
    (r"\bstd::(?:jthread|thread(?!::id)|async|this_thread::(?!get_id))\b", "a thread"),
    (FREE + r"pthread_\w+\s*\(", "a thread"),
    (r"\bthread_local\b", "thread-local state"),
    (FREE + r"(?:fork|vfork|execv\w*|posix_spawn\w*|system|popen)\s*\(", "a process"),
]
LOCKS = [
    (r"\bstd::(?:(?:recursive_|shared_|timed_|recursive_timed_|shared_timed_)?mutex"
     r"|condition_variable(?:_any)?|counting_semaphore|binary_semaphore|latch|barrier)\b",
     "a lock"),
]
ENVIRONMENT = [(FREE + r"(?:secure_)?getenv\s*\(", "the environment")]
FILES = [
    (r"(?<![\w:])::(?:open|openat|creat|read|write|close|rename|renameat|unlink|rmdir|mkdir|stat"
     r"|fstat|lstat|access|link|symlink|chmod|flock|fcntl|lseek)\s*\(", "a file call"),
    (FREE + r"(?:pread|pwrite|preadv|pwritev|fsync|fdatasync|sync_file_range|syncfs|ftruncate"
     r"|fallocate|posix_fallocate|posix_fadvise|mmap|munmap|msync|madvise|mkstemp|opendir|readdir"
     r"|fopen|fread|freopen|tmpfile)\s*\(", "a file call"),
    (r"\bstd::(?:basic_)?[io]?fstream\b", "a file stream"),
    (r"\b(?:std::filesystem|fs)::(?:exists|remove|remove_all|rename|copy|copy_file|file_size"
     r"|create_director\w+|resize_file|space|status|is_directory|is_regular_file|is_empty"
     r"|last_write_time|canonical|weakly_canonical|absolute|current_path|temp_directory_path"
     r"|permissions|(?:recursive_)?directory_iterator)\b", "a file call"),
]
SOCKETS = [
    (r"(?<![\w:])::(?:socket|connect|bind|listen|accept|accept4|send|recv|sendto|recvfrom|sendmsg"
     r"|recvmsg|setsockopt|getsockopt|getaddrinfo|poll|select|epoll_\w+|eventfd|shutdown)\s*\(",
     "a socket call"),
    (r"\basio::(?:ip::(?:tcp|udp)::(?:socket|acceptor|resolver)|local::|posix::|io_context"
     r"|thread_pool|signal_set)", "a socket call"),
]
WORLD = CLOCK + TIMERS + RANDOM + THREADS + LOCKS + ENVIRONMENT + FILES + SOCKETS

# Where the world may be touched without the seam, and what of it. Each line has its reason.
ALLOWED = [
    ("src/io/", WORLD),  # the seam itself; src/io/sim/ has the rule `sim` on top
    ("src/base/", LOCKS),  # Event, and the metrics registry
    ("src/log/", LOCKS),  # the engine under its shard locks (docs/adr/0002)
    ("src/log/fork_guard.cc", FILES),  # a page that the kernel wipes in a forked child
    ("src/server/signals.cc", FILES),  # a signal handler may call write(2), and little else
    ("src/server/config", ENVIRONMENT),  # WALRUS_<TABLE>_<KEY>
    ("src/cli/", ENVIRONMENT),  # WALRUS_ADDR, HOME for the shell's history
]

ATTIC = r"(?:utils?|commons?|helpers?|managers?|misc)"
# Assembled, so that this file does not contain what it forbids.
WORDS = [
    (r"(?<![\w.~-])/(?:" + "|".join(["ho" + "me/", "ro" + r"ot/\.", "Us" + "ers/", "wo" + "rk/"])
     + r")[\w.-]", "a machine's path"),
    (r"\b(?:" + "|".join([
        r"(?:deb|ftp)\.deb" + r"ian\.org", "py" + r"pi\.org", r"npm" + r"js\.(?:org|com)",
        "crates" + r"\.io", "docker" + r"\.(?:io|com)", "gh" + r"cr\.io", "qu" + r"ay\.io",
        r"repo\d?\.mav" + r"en\.\w+", "proxy" + r"\.golang\.org"]) + r")\b",
     "a registry's host name"),
    (r"\b(?:TO" + "DO|FIX" + r"ME)\b", "an unfinished-work mark"),
    (r"\b[\w.+-]+@[\w-]+\.(?:com|org|net|io|dev|de|eu|edu)\b", "somebody's address"),
    (r"(?i:\bco-authored-" + r"by|\bsigned-off-" + r"by|@auth" + r"or\b)"
     + r"|\b[Ww]ritten b" + r"y [A-Z][a-z]+ [A-Z]",
     "somebody's name"),
    (r"(?i)\bcopyright\s+(?:\(c\)\s*)?\d{4}(?!.*The Walrus Authors)", "another's copyright"),
]
UNREAD = {".png", ".svg", ".bin", ".hex", ".gz", ".zst", ".lz4", ".ico"}


class Report:
    def __init__(self):
        self.errors, self.warnings = [], []

    def error(self, path, line, rule, what):
        self.errors.append(f"{path}:{line}: {rule}: {what}")

    def warn(self, path, line, rule, what):
        self.warnings.append(f"{path}:{line}: {rule}: warning: {what}")


def tree_files(root):
    """All files that belong to the tree: git's view if there is one, else all but build/."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
            check=True, capture_output=True).stdout.decode().split("\0")
        names = [name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
        names = [name for name in names if not re.match(r"(build|\.git|\.cache)(/|$)", name)
                 and "__pycache__" not in name]
    return sorted(name for name in names if (root / name).is_file())


def check_rooms(tree, report):
    for name, source in tree.code("src/", "include/"):
        parts = name.split("/")
        room = parts[1] if parts[0] == "src" else "include"
        if parts[0] == "src" and room not in ROOMS:
            report.error(name, 1, "rooms", f"src/{room} is no room")
            continue
        for line, target in source.includes():
            other = target.split("/")[0]
            if room == "include":
                if other in ROOMS or other == "boost" or target.startswith("fmt/"):
                    report.error(name, line, "rooms", f"a public header includes {target}")
            elif other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                report.error(name, line, "rooms", f"{room} includes {target}, to its right")


def check_env(tree, report):
    for name, source in tree.code("src/", "include/"):
        if name.endswith("_test.cc") or any("gtest/" in target for _, target in source.includes()):
            continue  # tests run in the real world; what they test does not
        allowed = [pattern for place, patterns in ALLOWED if name.startswith(place)
                   for pattern in patterns]
        forbidden = [pattern for pattern in WORLD if pattern not in allowed]
        find(name, source, forbidden, "env", "only through io::Env", report)
        find(name, source, [(r"\bthrow\b", "throw")], "env", "errors are Result", report)


def check_sim(tree, report):
    forbidden = CLOCK + TIMERS + THREADS + SOCKETS
    for name, source in tree.code("src/io/sim/", "sim/"):
        if name.endswith("_test.cc"):
            continue
        # A simulated node's loop is an io_context that is polled; nothing real hangs on it.
        mine = [(pattern.replace("|io_context", ""), what) for pattern, what in forbidden]
        find(name, source, mine, "sim", "the simulated world is made of simulated parts", report)


def find(name, source, patterns, rule, why, report):
    for line, text in enumerate(source.bare_lines, 1):
        for pattern, what in patterns:
            match = re.search(pattern, text)
            if match:
                report.error(name, line, rule, f"{what} ({match.group(0).strip()}): {why}")


def check_words(tree, report):
    for name in tree.names:
        for part in name.split("/"):
            if re.fullmatch(ATTIC, part.split(".")[0]) or re.search(
                    rf"_{ATTIC}\.(?:h|cc|c|py|sh)$", part):
                report.error(name, 1, "words", f"{part}: a name for an attic")
        if pathlib.PurePath(name).suffix in UNREAD or name.startswith("fuzz/corpus/"):
            continue
        for line, text in enumerate(tree.text(name).splitlines(), 1):
            for pattern, what in WORDS:
                if re.search(pattern, text):
                    report.error(name, line, "words", what)
    for name, source in tree.code(""):
        for line, text in enumerate(source.bare_lines, 1):
            match = re.search(rf"\b(?:class|struct|namespace)\s+(\w*?{ATTIC})\b", text, re.I)
            if match:
                report.error(name, line, "words", f"{match.group(1)}: a name for an attic")


def check_size(tree, report):
    for name in tree.names:
        suffix = pathlib.PurePath(name).suffix
        if suffix not in CODE | SCRIPTS and name != "dev":
            continue
        lines = tree.text(name).splitlines()
        for line, text in enumerate(lines, 1):
            if len(text) > COLUMNS:
                report.error(name, line, "size", f"{len(text)} columns, at most {COLUMNS}")
        if len(lines) > FILE_LINES:
            report.warn(name, 1, "size", f"{len(lines)} lines, the aim is {FILE_LINES}")
    for name, source in tree.code(""):
        for line, length in functions(source):
            if length > FUNCTION_LINES:
                report.warn(name, line, "size",
                            f"a function of {length} lines, the aim is {FUNCTION_LINES}")


def check_links(tree, report):
    for name in tree.names:
        if not name.endswith(".md"):
            continue
        for line, text in enumerate(tree.text(name).splitlines(), 1):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if "://" not in target and not (tree.root / name).parent.joinpath(target).exists():
                    report.error(name, line, "links", f"{target} does not exist")


def check_format(tree, report):
    names = [name for name, _ in tree.code("")]
    if not names:
        return
    run = subprocess.run(["clang-format-19", "--dry-run", *names], cwd=tree.root,
                         capture_output=True, text=True, check=False)
    for match in re.finditer(r"^(\S+?):(\d+):\d+: (?:warning|error): (.*)$", run.stderr, re.M):
        report.error(match.group(1), match.group(2), "format", match.group(3))
    if run.returncode and not report.errors:
        report.error(".", 0, "format", run.stderr.strip().splitlines()[-1])


class Tree:
    def __init__(self, root):
        self.root = root
        self.names = tree_files(root)
        self.texts, self.sources = {}, {}

    def text(self, name):
        if name not in self.texts:
            self.texts[name] = (self.root / name).read_bytes().decode("utf-8", "replace")
        return self.texts[name]

    def code(self, *places):
        """(name, Source) of the C and C++ files below any of the places."""
        for name in self.names:
            if pathlib.PurePath(name).suffix in CODE and name.startswith(places):
                if name not in self.sources:
                    self.sources[name] = Source(self.text(name))
                yield name, self.sources[name]


RULES = {"rooms": check_rooms, "env": check_env, "sim": check_sim, "words": check_words,
         "size": check_size, "links": check_links, "format": check_format}


def main():
    parser = argparse.ArgumentParser(description="checks the tree's rules")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent.parent)
    parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(RULES))
    arguments = parser.parse_args()
    for rule in arguments.rules:
        if rule not in RULES:
            parser.error(f"unknown rule {rule}")
    tree, report = Tree(arguments.root), Report()
    for rule in arguments.rules or RULES:
        RULES[rule](tree, report)
    print("".join(line + "\n" for line in report.warnings + report.errors), end="")
    print(f"{len(tree.names)} files, {len(report.errors)} violations, "
          f"{len(report.warnings)} warnings")
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
