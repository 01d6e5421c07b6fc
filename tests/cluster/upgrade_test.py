#!/usr/bin/env python3
"""A rolling upgrade of three real processes from an older feature level. A node that knows that
level alone is one with `cluster.feature_level_max` set to it: it registers so, uses and takes
nothing that came later, and does not go on above. What a native and a Kafka producer write
meanwhile is not refused once; the level rises by itself when the last node was upgraded, and then
who knows the old one alone is told so."""

import subprocess
import threading

from nodes import BINARY, ClusterTest, DEADLINE, Node, environment, main, wait_until

OLD, NEW = 1, 3
HOLD = ["--set", f"cluster.feature_level_max={OLD}"]
FAILED = 1


def release(node):
    """From its next start on the node goes up to what its program knows."""
    at = node.arguments.index(HOLD[1])
    del node.arguments[at - 1:at + 1]


class Stream:
    """Numbered lines into a producer's standard input, a thousand a second, until it is to end."""

    def __init__(self, *words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment())
        self.sent, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.feed)
        self.thread.start()

    def feed(self):
        while not self.over.wait(0.001):
            try:
                self.process.stdin.write(b"%d\n" % self.sent)
                self.process.stdin.flush()
            except BrokenPipeError:
                return
            self.sent += 1

    def end(self):
        """Its exit status, and what it said."""
        self.over.set()
        self.thread.join()
        out, errors = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, (out + errors).decode()

    def kill(self):
        self.over.set()
        self.thread.join()
        self.process.kill()
        self.process.communicate()


class Upgrade(ClusterTest):
    arguments = [*HOLD, "--set", "log.shards=1", "--set", "log.maintenance_interval_ms=200"]

    def levels(self, node=None):
        """The cluster's, and what each node says that it knows."""
        status = self.cluster.status(node)
        return status["feature_level"], [one["feature_level"] for one in status["nodes"]]

    def compacted_to(self):
        return self.cluster.segments("kept")[0]["compacted_to"]

    def await_streams(self, streams):
        """Each gets on, over a hundred records and more."""
        for topic, stream in streams.items():
            before = stream.sent
            wait_until(lambda topic=topic, before=before:
                       self.cluster.any().high_watermark(topic) > before + 100, f"{topic} goes on")

    def expect_old(self):
        level, _ = self.levels()
        self.assertEqual(level, OLD)
        self.assertEqual(self.compacted_to(), 0)
        done = self.cluster.any().run("cluster", "replace", "1", "2", "--yes")
        self.assertEqual(done.returncode, FAILED)
        self.assertRegex(done.stderr.decode(),
                         rf"\Awalrus: [^\n]*the cluster is of feature level {OLD}, which has no "
                         r"handing over, until every node runs a later program[^\n]*\n\Z")

    def expect_refused(self, node):
        """It ends, and its last line says why."""
        node.begin()
        self.assertEqual(node.await_end(), FAILED, node.error_text())
        said = node.error_text().splitlines()[-1]
        self.assertRegex(said, rf"\Awalrus: .*the cluster is of (a later feature level than this "
                               rf"program, which|feature level {NEW}, this program) knows {OLD}.* "
                               rf"\(cluster.feature_level_max = {OLD}, its program knows {NEW}\)\Z")

    def test_node_after_node_while_producers_go_on(self):
        one = self.cluster[1]
        self.assertEqual(self.levels(), (OLD, [OLD] * 3))
        for topic in ("native", "kafka"):
            one.ok("topic", "create", topic)
        one.ok("topic", "create", "kept", "--set", "compact=true", "--set", "segment_records_max=8")
        for _ in range(4):  # a segment each, of one key
            one.ok("produce", "kept", "--key", "k", input=(b"v" * 8192 + b"\n") * 8)
        nodes = self.cluster.nodes.values()
        streams = {
            "native": Stream(BINARY, "produce", "native", "--addr",
                             ",".join(node.addr for node in nodes)),
            # -E: not to end when all its connections are down for a moment.
            "kafka": Stream("kcat", "-P", "-E", "-b", ",".join(node.kafka for node in nodes), "-t",
                            "kafka", "-p", "0", "-X", "enable.idempotence=true", "-X",
                            "linger.ms=1")}
        for stream in streams.values():
            self.addCleanup(stream.kill)
        for upgraded, number in enumerate((3, 1, 2)):
            self.await_streams(streams)
            self.expect_old()
            node = self.cluster[number]
            self.assertEqual(node.stop(), 0)
            release(node)
            node.start()
            self.cluster.await_health()
            knows = [OLD] * (2 - upgraded) + [NEW] * (1 + upgraded)
            wait_until(lambda knows=knows: sorted(self.levels()[1]) == knows, f"they know {knows}")
        for node in nodes:
            wait_until(lambda node=node: self.levels(node)[0] == NEW, "the level rises by itself")
        self.await_streams(streams)
        wait_until(lambda: self.compacted_to() > 0, "what the old program had not is done")
        for topic, stream in streams.items():
            status, said = stream.end()
            self.assertEqual(status, 0, said)
            self.assertNotIn("Delivery failed", said)
            for node in nodes:
                out = node.ok("consume", topic, "--format", "%s\\n")
                self.assertTrue(out == b"".join(b"%d\n" % at for at in range(stream.sent)),
                                f"{topic} at node {node.number} is not what was sent")
        self.check_the_old_are_refused()

    def check_the_old_are_refused(self):
        """One that was there, and a newcomer; without the hold both are let in."""
        three = self.cluster[3]
        self.assertEqual(three.stop(), 0)
        three.arguments += HOLD
        self.expect_refused(three)
        release(three)
        three.start()
        four = Node(self.path("node4"), 4, [three.peer], *HOLD)
        self.addCleanup(four.close)
        self.expect_refused(four)
        self.assertNotIn(4, self.cluster.states())
        release(four)
        self.cluster.nodes[4] = four.start()
        self.cluster.await_states({4: "active"})


if __name__ == "__main__":
    main()
