#!/usr/bin/env python3
"""Our Raft core against etcd's, from Debian's golang-etcd-server-dev: see script.h.

usage: oracle_test.py DRIVER [--seeds N] [--first S] [--lie WHAT]
Builds the Go program beside it into build/oracle; skips where there is no Go or no source of etcd.
With --lie the driver has to fail: our side says what is not so.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
GOPATH = pathlib.Path("/usr/share/gocode")
ETCD_RAFT = GOPATH / "src/go.etcd.io/etcd/raft"
BUILD = pathlib.Path(os.environ["WALRUS_BUILD"]) / "oracle"


def build():
    """The program with etcd's Raft; etcd_internals.go is laid over its package."""
    BUILD.mkdir(parents=True, exist_ok=True)
    overlay, program = BUILD / "overlay.json", BUILD / "etcd_group"
    overlay.write_text(json.dumps({"Replace": {
        str(ETCD_RAFT / "walrus_oracle.go"): str(HERE / "etcd_internals.go")}}))
    environment = dict(os.environ, GO111MODULE="off", GOPATH=str(GOPATH), GOFLAGS="",
                       GOCACHE=str(BUILD / "cache"), CGO_ENABLED="0")
    subprocess.run(["go", "build", "-overlay", str(overlay), "-o", str(program),
                    str(HERE / "etcd_group.go")], check=True, env=environment)
    return program


def main():
    if not shutil.which("go") or not ETCD_RAFT.is_dir():
        print("SKIP golang-go or golang-etcd-server-dev is not installed")
        return 77
    driver, options = sys.argv[1], sys.argv[2:]
    lies = "--lie" in options
    status = subprocess.run([driver, str(build()), *options]).returncode
    if not lies:
        return status
    print("the lie was", "noticed" if status == 1 else f"not noticed: status {status}")
    return 0 if status == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
