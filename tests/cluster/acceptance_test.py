#!/usr/bin/env python3
"""Acceptance on the wire, in a cluster of three real processes: exact counts, kills, drains."""

import json
import os
import random
import threading

from nodes import ClusterTest, main, wait_until
from walrus import Native


class Acceptance(ClusterTest):
    def native(self, number):
        connection = Native(self.cluster[number].addr)
        self.addCleanup(connection.close)
        return connection

    def everything(self, topic, node=None):
        out = (node or self.cluster.any()).ok("consume", topic, "--format", "%s\\n", timeout=120)
        return out.decode().splitlines()

    def test_a1_twenty_records_over_two_segments_read_elsewhere(self):
        self.cluster[1].ok("topic", "create", "t", "--set", "segment_records_max=10")
        writer, reader = self.native(1), self.native(2)
        for number in range(20):
            self.assertEqual(writer.ask(f"PUT t {number}"), b"OK")
        self.assertEqual([reader.ask("GET t").decode() for _ in range(20)],
                         [f"OK {number}" for number in range(20)])
        self.assertEqual(reader.ask("GET t"), b"EMPTY")

    def test_a2_segments_spread_over_nodes_with_exact_counts(self):
        self.cluster[1].ok("topic", "create", "t", "--set", "segment_records_max=10")
        writer = self.native(3)
        for number in range(45):
            self.assertEqual(writer.ask(f"PUT t {number}"), b"OK")
        for node in (1, 2, 3):
            state = json.loads(self.native(node).ask("STATE t"))
            self.assertEqual(set(state["sealed_segments"].values()), {10}, state)
            self.assertEqual(len(state["sealed_segments"]), 4)
            self.assertEqual(state["current_segment"], 5)
            self.assertEqual(state["last_sealed_entry_offset"], 40)
        self.assertEqual(self.everything("t"), [str(number) for number in range(45)])

    def test_a3_kills_lose_no_acknowledged_put(self):
        seed = int(os.environ.get("WALRUS_SEED") or random.SystemRandom().randrange(2**32))
        print(f"seed {seed}", flush=True)
        chance = random.Random(seed)
        self.cluster[1].ok("topic", "create", "t")
        acknowledged, stop = [], threading.Event()

        def put():
            number = 0
            while not stop.is_set():
                node = self.cluster[1 + number % 3]
                try:
                    connection = Native(node.addr, 15)
                except OSError:
                    number += 1
                    continue
                with connection:
                    try:
                        while not stop.is_set():
                            text = f"{number}"
                            number += 1
                            if connection.ask(f"PUT t {text}") == b"OK":
                                acknowledged.append(text)
                    except (OSError, EOFError):
                        pass

        writer = threading.Thread(target=put)
        writer.start()
        try:
            for _ in range(4):
                count = len(acknowledged)
                wait_until(lambda: len(acknowledged) > count + 200, "progress", 60)
                victim = self.cluster[chance.choice((1, 2, 3))]
                victim.kill9()
                count = len(acknowledged)
                wait_until(lambda: len(acknowledged) > count + 200, "progress after a kill", 60)
                victim.start()
        finally:
            stop.set()
            writer.join(60)
        read = self.everything("t")
        self.assertEqual(len(read), len(set(read)), "a record came twice")
        places = {text: place for place, text in enumerate(read)}
        lost = [text for text in acknowledged if text not in places]
        self.assertEqual(lost, [])
        self.assertEqual(sorted(acknowledged, key=places.get), acknowledged)
        print(f"{len(acknowledged)} acknowledged, {len(read)} stored", flush=True)

    def test_a4_three_kills_of_all_at_once(self):
        self.cluster[1].ok("topic", "create", "t")
        kept = []
        for restart in range(3):
            connection = self.native(1 + restart)
            for number in range(50):
                self.assertEqual(connection.ask(f"PUT t {restart}.{number}"), b"OK")
                kept.append(f"{restart}.{number}")
            for node in self.cluster.nodes.values():
                node.kill9()
            self.cluster.start()
            self.assertEqual(self.everything("t"), kept)

    def test_a6_sixteen_connections_with_read_back(self):
        self.cluster[1].ok("topic", "create", "t")
        failures = []

        def put(client):
            with Native(self.cluster[1 + client % 3].addr) as connection:
                for number in range(100):
                    reply = connection.ask(f"PUT t {client} {number}")
                    if reply != b"OK":
                        failures.append((client, number, reply))

        threads = [threading.Thread(target=put, args=(client,)) for client in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(failures, [])
        read = [tuple(map(int, line.split())) for line in self.everything("t")]
        self.assertEqual(len(read), 1600)
        for client in range(16):
            self.assertEqual([number for one, number in read if one == client], list(range(100)))

    def test_what_one_node_has_made_all_others_know(self):
        at = {number: self.native(number) for number in (1, 2, 3)}
        for turn in range(30):
            here, there, yonder = (1 + (turn + step) % 3 for step in range(3))
            self.assertEqual(at[here].ask(f"REGISTER t{turn}"), b"OK")
            self.assertEqual(at[there].ask(f"PUT t{turn} one"), b"OK")
            self.assertEqual(at[yonder].ask(f"GET t{turn}"), b"OK one")
            self.assertEqual(at[there].ask(f"DELETE t{turn}"), b"OK")
            self.assertEqual(at[here].ask(f"REGISTER t{turn}"), b"OK")
            self.assertEqual(at[yonder].ask(f"DELETE t{turn}"), b"OK")

    def test_a8_command_line_round_trip_with_exit_statuses(self):
        one, two, three = (self.cluster[number] for number in (1, 2, 3))

        def fails(node, status, text, *words):
            done = node.run(*words)
            self.assertEqual(done.returncode, status, (words, done.stdout, done.stderr))
            self.assertIn(text, done.stderr.decode())
            if status == 1:
                self.assertRegex(done.stderr.decode(), r"\Awalrus: [^\n]+\n\Z")

        self.assertEqual(one.ok("topic", "create", "t", "--partitions", "2", "--set",
                                "segment_records_max=10"), b"created t\n")
        self.assertEqual(json.loads(two.ok("topic", "list", "--json"))[0]["name"], "t")
        self.assertEqual(two.ok("put", "t/0", "hello"), b"")
        self.assertEqual(three.ok("get", "t"), b"hello\n")
        self.assertEqual(one.ok("get", "t"), b"EMPTY\n")
        lines = b"".join(b"%d\n" % number for number in range(25))
        done = three.run("produce", "t/1", input=lines)
        self.assertEqual((done.returncode, done.stderr.split()[:3]),
                         (0, [b"produced", b"25", b"records"]))
        for node in (one, two, three):
            out = node.ok("consume", "t", "--partition", "1", "--format", "%s\\n")
            self.assertEqual(out, lines)
            state = json.loads(node.ok("state", "t/1"))
            self.assertEqual(state["last_sealed_entry_offset"],
                             sum(state["sealed_segments"].values()))
            described = json.loads(node.ok("topic", "describe", "t", "--json"))
            self.assertEqual([part["partition"] for part in described["partitions"]], [0, 1])
            self.assertIn("current_leader", json.loads(node.ok("metrics")))
            self.assertEqual(node.ok("cluster", "nodes", "--quiet"), b"1\n2\n3\n")
            fails(node, 1, "unknown topic nothing", "put", "nothing", "x")
            fails(node, 1, "unknown topic nothing", "consume", "nothing")
            fails(node, 1, "topic exists t", "topic", "create", "t")
            fails(node, 1, "unknown node 9", "cluster", "drain", "9")
            fails(node, 2, "", "topic", "create")
            fails(node, 2, "", "nonsense")
        self.assertEqual(two.ok("topic", "delete", "t", "--yes"), b"deleted t\n")
        fails(two, 1, "unknown topic t", "get", "t")
        three.kill9()
        fails(three, 1, three.addr, "topic", "list")

    def test_a9_refusals_are_the_same_at_every_node(self):
        self.cluster[1].ok("topic", "create", "t")
        for number in (1, 2, 3):
            connection = self.native(number)
            for request, reply in (("PUT nothing x", b"ERR unknown topic nothing"),
                                   ("GET nothing", b"ERR unknown topic nothing"),
                                   ("READ t 5", b"ERR offset out of range 0..0"),
                                   ("APPENDAT t 3 x", b"ERR expected offset 3, next is 0"),
                                   ("PUT t", b"ERR PUT requires a payload"),
                                   ("CREATE t", b"ERR topic exists t"),
                                   ("PUT t/7 x", b"ERR unknown topic t/7"),
                                   ("NOPE", b"ERR unknown command")):
                self.assertEqual(connection.ask(request), reply, request)

    def test_a10_what_was_drained_does_not_come_again(self):
        self.cluster[1].ok("topic", "create", "t")
        connection = self.native(2)
        for number in range(10):
            self.assertEqual(connection.ask(f"PUT t {number}"), b"OK")
        for number in range(10):
            self.assertEqual(connection.ask("GET t"), f"OK {number}".encode())
        self.assertEqual(connection.ask("GET t"), b"EMPTY")
        for node in self.cluster.nodes.values():
            node.kill9()
        self.cluster.start()
        connection = self.native(1)
        self.assertEqual(connection.ask("GET t"), b"EMPTY")
        self.assertEqual(connection.ask("PUT t again"), b"OK")
        self.assertEqual(connection.ask("GET t"), b"OK again")

    def test_a11_takers_at_two_nodes_share_without_loss_or_double(self):
        self.cluster[1].ok("topic", "create", "t")
        total = 400
        text = "".join(f"{number}\n" for number in range(total)).encode()
        self.cluster[3].ok("produce", "t", input=text)
        taken = {1: [], 2: []}

        def take(number):
            with Native(self.cluster[number].addr) as connection:
                while (reply := connection.ask("GET t")) != b"EMPTY":
                    taken[number].append(int(reply.removeprefix(b"OK ")))

        threads = [threading.Thread(target=take, args=(number,)) for number in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(sorted(taken[1] + taken[2]), list(range(total)))
        for one in taken.values():
            self.assertEqual(one, sorted(one))

    def test_a12_valid_frame_behind_an_oversize_one(self):
        self.cluster[1].ok("topic", "create", "t")
        for number in (1, 2, 3):
            connection = self.native(number)
            connection.send(b"PUT t " + b"x" * (2 << 20))
            self.assertEqual(connection.receive(), b"ERR invalid frame length")
            self.assertEqual(connection.ask("PUT t y"), b"OK")

    def test_pipelined_puts_of_one_connection_stay_in_order(self):
        self.cluster[1].ok("topic", "create", "t")
        total = 2_000
        for number in (1, 2, 3):
            connection = self.native(number)
            for count in range(total):
                connection.send(f"APPEND t {number} {count}")
            replies = [connection.receive() for _ in range(total)]
            offsets = [int(reply.removeprefix(b"OK ")) for reply in replies]
            self.assertEqual(offsets, list(range((number - 1) * total, number * total)))
        read = [line.split() for line in self.everything("t")]
        self.assertEqual(read, [[str(node), str(count)] for node in (1, 2, 3)
                                for count in range(total)])

    def test_named_consumer_goes_on_at_another_node(self):
        self.cluster[1].ok("topic", "create", "t")
        for number in range(6):
            self.cluster[1].ok("put", "t", f"{number}")
        for number, first in ((1, 0), (2, 2), (3, 4)):
            connection = self.native(number)
            reply = connection.ask("POLL t billing 2")
            lines = reply.decode().split("\n")
            self.assertTrue(lines[1].startswith(f"{first} "), reply)
            self.assertEqual(connection.ask(f"COMMIT t billing {first + 2}"), b"OK")


if __name__ == "__main__":
    main()
