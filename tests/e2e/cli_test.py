#!/usr/bin/env python3
"""The command line against a real server: what verbs print, and their exit statuses."""

import json
import os
import re
import signal
import subprocess
import unittest

from walrus import BINARY, SOURCE, ServerTest, environment, free_port, main, wait_until, walrus


class RoundTrip(ServerTest):
    def test_put_and_get(self):
        self.server.ok("topic", "create", "t")
        for payload in ("one", "two words", " three ", "-", ""):
            if payload == "-":
                self.assertEqual(self.server.ok("put", "t", "-", input=b"from\nstdin \n"), b"")
            else:
                self.assertEqual(self.server.ok("put", "t", payload), b"")
        for expected in (b"one\n", b"two words\n", b" three \n", b"from\nstdin \n\n", b"\n",
                         b"EMPTY\n", b"EMPTY\n"):
            self.assertEqual(self.server.ok("get", "t"), expected)

    def test_payload_bytes_are_kept(self):
        payload = bytes(range(256)) * 10
        self.server.ok("topic", "create", "t")
        self.server.ok("put", "t", "-", input=payload)
        self.assertEqual(self.server.ok("get", "t", "--raw"), payload)
        self.assertEqual(self.server.ok("get", "t", "--raw"), b"")

    def test_get_waits_for_a_record(self):
        self.server.ok("topic", "create", "t")
        waiting = subprocess.Popen([BINARY, "get", "t", "--wait-ms", "60000", "--addr",
                                    self.server.addr], stdout=subprocess.PIPE, env=environment())
        self.server.ok("put", "t", "late")
        self.assertEqual(waiting.communicate(timeout=60)[0], b"late\n")
        self.assertEqual(waiting.returncode, 0)

    def test_unknown_topic(self):
        line = self.fails(1, "put", "nope", "x")
        self.assertEqual(line, "walrus: put nope: unknown topic nope; make it with: walrus topic"
                               " create nope")
        for verb in (["get", "nope"], ["state", "nope"], ["consume", "nope"],
                     ["topic", "describe", "nope"], ["topic", "config", "nope"],
                     ["topic", "delete", "nope", "--yes"], ["produce", "nope"]):
            self.assertIn("unknown topic nope", self.fails(1, *verb))

    def test_unknown_partition(self):
        self.server.ok("topic", "create", "t", "--partitions", "2")
        self.assertEqual(self.fails(1, "put", "t/2", "x"),
                         "walrus: put t/2: unknown topic t/2; see its partitions with: walrus topic"
                         " describe t")

    def test_too_large(self):
        self.server.ok("topic", "create", "t")
        line = self.fails(1, "put", "t", "-", input=b"x" * (2 << 20))
        self.assertEqual(line, "walrus: put t: invalid frame length; the payload is above the"
                               " server's native.frame_bytes_max")
        line = self.fails(1, "put", "t", "-", input=b"x" * (65 << 20))
        self.assertEqual(line, "walrus: put t: stdin: more than 67108864 bytes")
        self.assertEqual(self.server.ok("get", "t"), b"EMPTY\n")

    def test_state_and_metrics(self):
        self.server.ok("topic", "create", "t")
        state = json.loads(self.server.ok("state", "t"))
        for field in ("current_segment", "leader_node", "last_sealed_entry_offset",
                      "sealed_segments", "segment_leaders", "partitions"):
            self.assertIn(field, state)
        metrics = json.loads(self.server.ok("metrics"))
        for field in ("state", "current_leader", "membership_config", "last_log_index"):
            self.assertIn(field, metrics)

    def test_json_output(self):
        self.server.ok("topic", "create", "t")
        self.assertEqual(json.loads(self.server.ok("put", "t", "abc", "--json")),
                         {"topic": "t", "bytes": 3})
        self.assertEqual(json.loads(self.server.ok("get", "t", "--json"))["value"], "abc")
        self.assertTrue(json.loads(self.server.ok("--json", "get", "t"))["empty"])
        error = json.loads(self.fails(1, "put", "nope", "x", "--json"))
        self.assertEqual(error["error"]["code"], "not_found")
        self.assertIn("unknown topic nope", error["error"]["message"])


class Topics(ServerTest):
    def test_create_list_describe_config_delete(self):
        self.assertEqual(self.server.ok("topic", "create", "a", "--durability", "os"),
                         b"created a\n")
        self.server.ok("topic", "create", "b", "--partitions", "3", "--replication-factor", "1",
                       "--set", "retention_ms=1000", "--set", "segment_records_max=7")
        listed = json.loads(self.server.ok("topic", "list", "--json"))
        self.assertEqual([(t["name"], t["partitions"], t["records"]) for t in listed],
                         [("a", 1, 0), ("b", 3, 0)])
        self.assertEqual(self.server.ok("--quiet", "topic", "list"), b"a\nb\n")
        self.assertEqual(self.server.ok("topic", "list").split()[:4],
                         [b"topic", b"partitions", b"records", b"bytes"])
        described = json.loads(self.server.ok("topic", "describe", "b", "--json"))
        self.assertEqual(len(described["partitions"]), 3)
        self.assertEqual(described["config"]["retention_ms"], "1000")
        self.assertEqual(described["config"]["segment_records_max"], "7")
        self.assertIn(b"retention_ms = 1000", self.server.ok("topic", "describe", "b"))
        self.assertIn(b"durability = os", self.server.ok("topic", "config", "a"))
        self.server.ok("topic", "config", "b", "--set", "retention_ms=5", "--unset",
                       "segment_records_max")
        config = json.loads(self.server.ok("topic", "config", "b", "--json"))
        self.assertEqual(config["retention_ms"], "5")
        self.assertEqual(config["compaction_lag_min_ms"], "0")
        self.assertEqual(config["compaction_lag_max_ms"], "9223372036854775807")
        self.server.ok("topic", "config", "b", "--set", "compaction_lag_max_ms=7", "--set",
                       "compaction_lag_min_ms=7")
        self.assertIn(b"compaction_lag_min_ms = 7", self.server.ok("topic", "describe", "b"))
        self.assertIn("min.compaction.lag.ms = 8: above max.compaction.lag.ms, which is 7",
                      self.fails(1, "topic", "config", "b", "--set", "compaction_lag_min_ms=8"))
        self.assertEqual(config["segment_records_max"], "1000000")
        self.assertEqual(self.server.ok("topic", "delete", "a", "--yes"), b"deleted a\n")
        self.assertEqual(self.server.ok("--quiet", "topic", "list"), b"b\n")

    def test_exact_segments(self):
        self.server.ok("topic", "create", "t", "--set", "segment_records_max=10")
        self.server.ok("produce", "t", input=b"".join(b"%d\n" % i for i in range(35)))
        state = json.loads(self.server.ok("state", "t"))
        self.assertEqual(state["last_sealed_entry_offset"], sum(state["sealed_segments"].values()))

    def test_errors(self):
        self.server.ok("topic", "create", "t")
        self.assertIn("topic exists t", self.fails(1, "topic", "create", "t"))
        self.assertIn("invalid topic name", self.fails(1, "topic", "create", "a/b"))
        for name in ("..", "", "a partitions=2", "a\n", "x" * 250):
            for verb in (["create"], ["describe"], ["config"], ["delete", "--yes"]):
                self.assertIn("invalid topic name", self.fails(1, "topic", *verb, name))
        self.assertIn("unknown setting nothing",
                      self.fails(1, "topic", "create", "u", "--set", "nothing=1"))
        self.assertIn("replication_factor",
                      self.fails(1, "topic", "create", "u", "--replication-factor", "3"))
        self.assertIn("is not K=V", self.fails(2, "topic", "create", "u", "--set", "nothing"))

    def test_deleting_without_a_terminal_does_not_ask(self):
        self.server.ok("topic", "create", "t")
        self.server.ok("topic", "delete", "t")
        self.assertEqual(self.server.ok("--quiet", "topic", "list"), b"")


class JsonShapes(ServerTest):
    """INTERFACES: names and their order are what scripts rely on."""

    def ask(self, *words):
        return json.loads(self.server.ok(*words, "--json"))

    def test_topics(self):
        self.server.ok("topic", "create", "t", "--partitions", "2", "--set",
                       "segment_records_max=2")
        self.server.ok("produce", "t/1", "--batch-records", "1", input=b"a\nb\nc\n")
        listed, = self.ask("topic", "list")
        self.assertEqual(list(listed), ["name", "id", "partitions", "records", "bytes"])
        self.assertEqual((listed["name"], listed["partitions"], listed["records"]), ("t", 2, 3))
        described = self.ask("topic", "describe", "t")
        self.assertEqual(list(described), ["name", "id", "config", "partitions"])
        self.assertEqual(described["id"], listed["id"])
        partition = described["partitions"][1]
        self.assertEqual(list(partition), ["partition", "leader", "epoch", "log_start",
                                           "high_watermark", "log_end", "bytes", "segments"])
        self.assertEqual((partition["partition"], partition["leader"], partition["log_end"]),
                         (1, 1, 3))
        first, second = partition["segments"]
        self.assertEqual(list(first), ["segment", "epoch", "base_offset", "end_offset", "records",
                                       "bytes", "state", "leader", "replicas"])
        self.assertEqual([first[k] for k in ("segment", "base_offset", "end_offset", "records",
                                             "state", "leader", "replicas")],
                         [1, 0, 2, 2, "sealed", 1, [1]])
        self.assertEqual((second["segment"], second["state"]), (2, "open"))
        state = self.ask("state", "t/1")
        self.assertEqual(state, {"current_segment": 2, "leader_node": 1,
                                 "last_sealed_entry_offset": 2, "sealed_segments": {"1": 2},
                                 "segment_leaders": {"1": 1, "2": 1}, "partitions": 2})

    def test_metrics(self):
        metrics = self.ask("metrics")
        self.assertEqual(list(metrics),
                         ["running_state", "id", "current_term", "vote", "last_log_index",
                          "last_applied", "snapshot", "purged", "state", "current_leader",
                          "millis_since_quorum_ack", "last_quorum_acked", "membership_config",
                          "heartbeat", "replication"])
        membership = metrics["membership_config"]["membership"]
        self.assertEqual(membership, {"configs": [[1]],
                                      "nodes": {"1": {"addr": self.server.addr}}})
        self.assertEqual(metrics["replication"]["1"]["index"], metrics["last_log_index"])

    def test_records(self):
        self.server.ok("topic", "create", "t")
        done = self.server.run("produce", "t", "--json", input=b"a\n\xff\n")
        produced = json.loads(done.stdout)
        self.assertEqual(list(produced), ["topic", "records", "bytes", "first_offset",
                                          "last_offset", "retries", "seconds"])
        lines = self.server.ok("consume", "t", "--json").splitlines()
        first, second = (json.loads(line) for line in lines)
        self.assertEqual(list(first), ["topic", "partition", "offset", "timestamp_ms", "key",
                                       "value", "headers"])
        self.assertEqual((first["value"], second["value"]), ("a", {"base64": "/w=="}))

    def test_errors(self):
        for words, code in ((["put", "nope", "x"], "not_found"), (["nope"], "invalid"),
                            (["log", "inspect", self.path("nope")], "not_found"),
                            (["serve", "--config", self.path("nope")], "not_found"),
                            (["serve", "--data-dir", self.server.directory, "--listen",
                              "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], "locked")):
            done = walrus(*words, "--json", addr=None if words[0] == "serve" else self.server.addr)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stdout, b"")
            error = json.loads(done.stderr)
            self.assertEqual(list(error), ["error"], words)
            self.assertEqual(list(error["error"]), ["code", "message"], words)
            self.assertEqual(error["error"]["code"], code, words)


class Failures(ServerTest):
    def test_dead_server(self):
        dead = f"127.0.0.1:{free_port()}"
        for verb in (["put", "t", "x"], ["get", "t"], ["topic", "list"], ["produce", "t"],
                     ["consume", "t"], ["shell"], ["bench"], ["metrics"]):
            done = walrus(*verb, addr=dead)
            text = done.stderr.decode()
            self.assertEqual(done.returncode, 1, text)
            self.assertRegex(text, r"\Awalrus: connect 127\.0\.0\.1:\d+: [^\n]*refused[^\n]*walrus"
                                   r" serve\n\Z")

    def test_the_address_may_come_from_the_environment(self):
        env = environment(WALRUS_ADDR=self.server.addr)
        self.assertEqual(walrus("topic", "list", "--quiet", env=env).returncode, 0)
        wrong = walrus("metrics", addr="nonsense", env=env)  # the flag wins
        self.assertEqual(wrong.returncode, 1)
        self.assertRegex(wrong.stderr.decode(), r"\Awalrus: connect nonsense: .*HOST:PORT\n\Z")

    def test_usage(self):
        for words in ([], ["nope"], ["put"], ["put", "t"], ["put", "t", "a", "b"], ["topic"],
                      ["topic", "nope"], ["get", "t", "--nope"], ["get", "t", "--wait-ms", "soon"],
                      ["--timeout-ms", "0", "metrics"], ["completion", "tcsh"],
                      ["produce", "t", "--rate", "fast"], ["produce", "t", "--delimiter", ""],
                      ["produce", "t", "--header", "x"], ["consume", "t", "--format", "%q"],
                      ["consume", "t", "--from", "yesterday"], ["produce", "t", "--compression",
                                                                "rar"],
                      ["consume", "t", "--group", "g", "--from", "3"], ["log", "verify"]):
            done = walrus(*words)
            text = done.stderr.decode()
            self.assertEqual(done.returncode, 2, (words, text))
            self.assertRegex(text, r"\Awalrus: [^\n]+; see walrus --help\n\Z", words)
            self.assertEqual(done.stdout, b"")

    def test_the_manual_has_every_verb_and_every_global_option(self):
        manual = (SOURCE / "packaging/walrus.1").read_text().replace("\\-", "-")
        text = walrus("--help").stdout.decode()
        for word in re.findall(r"(?m)^  (?:-h,)?((?:--)?[a-z][a-z-]*)", text):
            self.assertRegex(manual, rf"(?m)^\.[A-Z]+ .*{word}\b", word)

    def test_every_verb_has_help(self):
        text = walrus("--help").stdout.decode()
        self.assertEqual(walrus("cluster").returncode, 2)
        for verb in ("serve", "cluster", "topic", "put", "get", "state", "metrics", "produce",
                     "consume", "group", "log", "backup", "restore", "service", "lane", "cert",
                     "user", "shell", "bench", "completion", "version"):
            self.assertRegex(text, rf"(?m)^\s+{verb}\b")
            self.assertEqual(walrus(verb, "--help").returncode, 0)

    def test_ctrl_c_ends_a_client_with_130(self):
        self.server.ok("topic", "create", "t")
        self.server.ok("put", "t", "seen")
        client = subprocess.Popen([BINARY, "consume", "t", "--follow", "--addr", self.server.addr],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env=environment())
        self.assertEqual(client.stdout.readline(), b"seen\n")
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(60), 130)
        client.stdout.close()

    def test_a_silent_server_times_out(self):
        self.server.ok("topic", "create", "t")
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            line = self.fails(1, "put", "t", "x", "--timeout-ms", "300")
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        self.assertIn("put t: no answer within 300 ms", line)

    def test_a_full_disk_behind_stdout_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.fail("no /dev/full")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BINARY, "version"], stdout=full, stderr=subprocess.PIPE,
                                  env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"walrus: standard output: No space left", done.stderr)


class Other(ServerTest):
    def test_version(self):
        text = walrus("version").stdout.decode()
        self.assertRegex(text, r"\Awalrus \d+\.\d+\.\d+\ncommit \w+\ncompiler .+\nformats .+\n\Z")
        self.assertRegex(walrus("--version").stdout.decode(), r"\Awalrus \d+\.\d+\.\d+ \(\w+\)\n\Z")
        document = json.loads(walrus("version", "--json").stdout)
        self.assertEqual(set(document), {"version", "commit", "compiler", "formats"})

    def test_bench(self):
        text = self.server.ok("bench", "--seconds", "1", "--bytes", "100").decode()
        self.assertRegex(text, r"(?s)\d+ records/s.*p50 \d+  p99 \d+  p99\.9 \d+  max \d+")
        row = json.loads(self.server.ok("bench", "--seconds", "1", "--rate", "500", "--json"))
        self.assertEqual(row["name"], "server.put")
        self.assertGreater(row["value"], 0)
        self.assertIn("open loop", row["conditions"])
        self.assertEqual(self.server.ok("--quiet", "topic", "list"), b"")


if __name__ == "__main__":
    main()
