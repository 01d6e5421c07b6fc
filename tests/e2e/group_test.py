#!/usr/bin/env python3
"""walrus group: the groups of kcat's consumers seen, moved and deleted over the native protocol."""

import json
import signal
import subprocess
import time

from walrus import DEADLINE, Native, ServerTest, main, wait_until

LINES = [f"line {i}" for i in range(60)]


class Groups(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.ok("topic", "create", "orders", "--partitions", "2")
        for partition in (0, 1):
            self.kcat("-P", "-t", "orders", "-p", partition,
                      input="\n".join(LINES[partition * 30:][:30]).encode() + b"\n")

    def words(self, *arguments):
        return ["kcat", "-b", self.server.kafka, *(str(word) for word in arguments)]

    def kcat(self, *arguments, input=b""):
        done = subprocess.run(self.words(*arguments), input=input, capture_output=True,
                              timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def consume(self, group, count, topic="orders"):
        """So many records of a consumer that commits when it leaves: sorted lines."""
        text = self.kcat("-G", group, "-q", "-c", count, "-X", "auto.offset.reset=earliest", topic)
        return sorted(text.decode().splitlines())

    def member(self, group):
        """A consumer that stays: it is in the group when this returns."""
        process = subprocess.Popen(
            self.words("-G", group, "-q", "-u", "-X", "auto.offset.reset=earliest",
                       "-X", "client.id=stayer", "-X", "session.timeout.ms=6000", "orders"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: self.state(group) == "Stable", "a member")
        return process

    def describe(self, group):
        return json.loads(self.server.ok("group", "describe", group, "--json"))

    def state(self, group):
        done = self.server.run("group", "describe", group, "--json")
        return json.loads(done.stdout)["state"] if done.returncode == 0 else None

    def offsets(self, group):
        return {one["partition"]: one["offset"] for one in self.describe(group)["offsets"]}

    def test_list_and_describe(self):
        self.assertEqual(self.server.ok("group", "list", "--quiet"), b"")
        self.assertEqual(self.server.ok("group", "list", "--json"), b"[]\n")
        self.assertEqual(self.consume("workers", 60), sorted(LINES))
        self.assertEqual(self.server.ok("group", "list", "--quiet"), b"workers\n")
        self.assertEqual(json.loads(self.server.ok("group", "list", "--json")),
                         [{"name": "workers", "state": "Empty", "protocol_type": "consumer"}])
        self.assertRegex(self.server.ok("group", "list").decode(),
                         r"\Agroup +state +protocol type\nworkers +Empty +consumer\n\Z")
        told = self.describe("workers")
        self.assertEqual((told["state"], told["members"]), ("Empty", []))
        self.assertEqual([(one["topic"], one["partition"], one["offset"], one["log_start"],
                           one["high_watermark"], one["lag"]) for one in told["offsets"]],
                         [("orders", 0, 30, 0, 30, 0), ("orders", 1, 30, 0, 30, 0)])
        self.kcat("-P", "-t", "orders", "-p", "1", input=b"more\n")
        self.assertEqual([one["lag"] for one in self.describe("workers")["offsets"]], [0, 1])

    def test_members_and_what_they_read(self):
        self.member("workers")
        told = self.describe("workers")
        (member,) = told["members"]
        self.assertEqual(member["client_id"], "stayer")
        self.assertTrue(member["client_host"].startswith("127.0.0.1:"))
        self.assertEqual(member["partitions"], [{"topic": "orders", "partition": 0},
                                                {"topic": "orders", "partition": 1}])
        text = self.server.ok("group", "describe", "workers").decode()
        self.assertIn("group workers  state Stable  protocol range", text)
        self.assertRegex(text, rf"(?m)^orders +1 .* {member['id']}$")
        self.assertRegex(text, rf"(?m)^{member['id']} +- +stayer +127\.0\.0\.1:\d+ +2$")

    def test_reset(self):
        self.consume("workers", 60)
        since = time.time()
        for _ in range(2):
            self.kcat("-P", "-t", "orders", "-p", "0", input=b"late\n")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + ".%03dZ" % (
            since % 1 * 1000)
        for to, expected in (("earliest", {0: 0, 1: 0}), ("latest", {0: 32, 1: 30}),
                             ("7", {0: 7, 1: 7}), (stamp, {0: 30, 1: 30})):
            before = self.offsets("workers")
            plan = json.loads(self.server.ok("group", "reset", "workers", "orders", "--to", to,
                                             "--dry-run", "--json"))
            self.assertEqual(plan, {"group": "workers", "topic": "orders", "dry_run": True,
                                    "partitions": [{"partition": p, "before": before[p],
                                                    "after": expected[p]} for p in (0, 1)]})
            self.assertEqual(self.offsets("workers"), before)
            self.assertEqual(self.server.ok("group", "reset", "workers", "orders", "--to", to,
                                            "--quiet"), b"")
            self.assertEqual(self.offsets("workers"), expected)
        self.assertRegex(self.server.ok("group", "reset", "workers", "orders/1", "--to", "29",
                                        "--dry-run").decode(),
                         r"\Apartition +before +after\n +1 +30 +29\nnothing was changed\n\Z")
        self.server.ok("group", "reset", "workers", "orders/1", "--to", "29")
        # Durable, and what the consumers then go by.
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.offsets("workers"), {0: 30, 1: 29})
        self.assertEqual(self.consume("workers", 3), ["late", "late", LINES[59]])

    def test_a_group_that_is_not_there_yet_is_told_where_to_begin(self):
        plan = json.loads(self.server.ok("group", "reset", "new ones", "orders", "--to", "25",
                                         "--json"))
        self.assertEqual([part["before"] for part in plan["partitions"]], [None, None])
        self.assertEqual(self.consume("new ones", 10), sorted(LINES[25:30] + LINES[55:]))

    def test_nothing_is_changed_under_its_members(self):
        member = self.member("workers")
        for words in (("reset", "workers", "orders", "--to", "earliest"),
                      ("reset", "workers", "orders", "--to", "earliest", "--dry-run"),
                      ("delete", "workers")):
            line = self.fails(1, "group", *words)
            self.assertIn("group has members workers", line)
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("GROUPSET orders 0=1 workers"),
                             b"ERR group has members workers")
        member.send_signal(signal.SIGTERM)  # it leaves
        self.assertEqual(member.wait(DEADLINE), 0)
        wait_until(lambda: self.state("workers") == "Empty", "it to be empty")
        self.server.ok("group", "reset", "workers", "orders", "--to", "3")
        self.assertEqual(self.offsets("workers"), {0: 3, 1: 3})

    def test_delete(self):
        self.consume("workers", 60)
        self.assertEqual(self.server.ok("group", "delete", "workers"), b"deleted workers\n")
        self.assertIn("unknown group workers", self.fails(1, "group", "delete", "workers"))
        self.assertIn("walrus group list", self.fails(1, "group", "describe", "workers"))
        document = json.loads(self.fails(1, "group", "delete", "workers", "--json"))
        self.assertEqual(document["error"]["code"], "not_found")
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.server.ok("group", "list", "--quiet"), b"")
        self.assertEqual(self.consume("workers", 60), sorted(LINES))  # from the beginning

    def test_what_cannot_be(self):
        for words in (("reset", "g", "orders"), ("reset", "g", "--to", "latest"),
                      ("reset", "g", "orders", "--to", "yesterday"),
                      ("reset", "g", "orders", "--to", "-5"), ("describe",), ("delete",), (),
                      ("list", "x"), ("describe", "a", "b")):
            self.fails(2, "group", *words)
        for words, why in ((("reset", "g", "absent", "--to", "1"), "unknown topic absent"),
                           (("reset", "g", "orders/2", "--to", "1"), "unknown topic orders/2"),
                           (("reset", "g", "orders", "--to", "31"), "offset out of range 0..30"),
                           (("describe", "g" * 1025), "invalid group name")):
            self.assertIn(why, self.fails(1, "group", *words))
        self.assertEqual(self.server.ok("group", "list", "--quiet"), b"")
        with Native(self.server.addr) as native:
            for request, reply in ((b"GROUPSET orders 0=1,2=1 g", b"ERR unknown topic orders/2"),
                                   (b"GROUPSET absent 0=1 g", b"ERR unknown topic absent"),
                                   (b"GROUPSET orders 0=31 g",
                                    b"ERR offset out of range 0..30")):
                self.assertEqual(native.ask(request), reply)
            self.assertEqual(native.ask(b"GROUPS"), b"[]")


class WithoutKafka(ServerTest):
    arguments = ("--set", "kafka.listen=")

    def test_groups_are_there_all_the_same(self):
        self.server.ok("topic", "create", "t")
        self.server.ok("group", "reset", "later", "t", "--to", "earliest")
        self.assertEqual(self.server.ok("group", "list", "--quiet"), b"later\n")
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    main()
