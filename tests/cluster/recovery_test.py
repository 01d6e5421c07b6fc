#!/usr/bin/env python3
"""A majority of the voters is lost for ever, and the metadata goes on with one node that survives:
three real processes, directories that are deleted, `walrus cluster recover-metadata`."""

import json
import shutil

from nodes import ClusterTest, main, wait_until, walrus


class Recovery(ClusterTest):
    def mend(self, number, *words, status=0):
        done = walrus("cluster", "recover-metadata", "--data-dir", self.cluster[number].directory,
                      *words)
        self.assertEqual(done.returncode, status, (done.stdout, done.stderr))
        return done

    def seen(self, number):
        return json.loads(self.mend(number, "--show", "--json").stdout)

    def lose(self, *wiped):
        for node in self.cluster.nodes.values():
            node.kill9()
        for number in wiped:
            shutil.rmtree(self.cluster[number].directory)

    def put(self, topic, count):
        for number in range(count):
            self.cluster[1 + number % 3].ok("put", topic, f"{number}")

    def read(self, node, topic, partition=0):
        out = node.ok("consume", topic, "--partition", partition, "--format", "%s ")
        return [int(word) for word in out.split()]

    def test_one_of_three_goes_on_and_two_new_ones_join_it(self):
        three = self.cluster[3]
        self.cluster[1].ok("topic", "create", "kept")
        self.cluster[1].ok("topic", "create", "single", "--partitions", "6",
                           "--replication-factor", "1")
        self.put("kept", 20)
        for partition in range(6):
            self.cluster[1].ok("put", f"single/{partition}", f"{partition}")
        before = self.cluster.segments("single")
        here = [part["partition"] for part in before if part["leader"] == 3]
        self.assertGreater(len(here), 0)
        done = self.mend(3, "--yes", status=1)
        self.assertIn(b"locked", done.stderr)
        wait_until(lambda: self.cluster.segments("kept", three)[0]["leader"], "node 3 knows it")
        self.lose(1, 2)
        # What survives is shown, and nothing is changed before somebody says so.
        seen = self.seen(3)
        self.assertEqual((seen["node"], seen["state"]), (3, "as it was"))
        self.assertEqual([node["votes"] for node in seen["nodes"]], [True] * 3)
        topics = {one["name"]: one for one in seen["topics"]}
        self.assertEqual((topics["single"]["open_segments"], topics["single"]["open_segments_here"],
                          topics["single"]["open_segments_whole"]), (6, len(here), len(here)))
        text = self.mend(3, "--show").stdout.decode()
        self.assertIn(f"ends at term {seen['term']} index {seen['index']}", text)
        self.assertIn(f"{7 - len(here)} open segments have copies on other nodes", text)
        self.assertIn(b"say --yes", self.mend(3, status=1).stderr)
        self.assertEqual(self.seen(3), seen)
        self.assertIn(b"goes on with node 3", self.mend(3, "--yes").stdout)
        again = self.mend(3, "--yes", "--json")  # as if it had not been seen to end
        self.assertEqual(json.loads(again.stdout)["state"], "recovered")
        three.start()
        status = self.cluster.status(three)
        self.assertEqual([(one["node"], one["index"]) for one in status["recoveries"]],
                         [(3, seen["index"])])
        self.assertNotEqual(status["cluster_id"], seen["cluster_id"])
        for partition in here:  # that had no other copy
            self.assertEqual(self.read(three, "single", partition), [partition])
        for number in (4, 5):
            self.cluster.nodes[number] = self.joined(number, three)
        self.cluster.await_states({4: "active", 5: "active"})
        for number in (1, 2):
            three.ok("cluster", "remove", number, "--force", "--yes")
        # What else was acknowledged is lost, and that is shown before it is accepted.
        for topic, count in (("kept", 1), ("single", 6 - len(here))):
            waiting = wait_until(lambda topic=topic, count=count: self.waiting(topic, count),
                                 f"{count} of {topic} wait")
            shown = three.run("cluster", "seal", topic).stdout.decode()
            self.assertIn("survives", shown)
            three.ok("cluster", "seal", topic, "--accept-loss", "--yes")
            if topic == "kept":
                end = waiting[0]["end"]
        self.assertGreater(end, 0)
        four = self.cluster[4]
        self.assertEqual(self.read(four, "kept"), list(range(end)))
        four.ok("put", "kept", "1000")
        self.assertEqual(self.read(self.cluster[5], "kept"), [*range(end), 1000])
        self.assertEqual(self.cluster.segments("kept", four)[0]["losses"], 1)
        for partition in here:
            self.assertEqual(self.read(four, "single", partition), [partition])
        self.cluster.await_health("ok", four)
        wait_until(lambda: sum(node.metrics()["walrus_metadata_votes"]
                               for node in (three, four, self.cluster[5])) == 3, "three voters")

    def joined(self, number, member):
        """A node of a new directory, that is told of this member alone."""
        nodes, self.cluster.nodes = self.cluster.nodes, {member.number: member}
        try:
            return self.cluster.add(number)
        finally:
            self.cluster.nodes = nodes

    def waiting(self, topic, count):
        done = self.cluster[3].run("cluster", "seal", topic, "--json")
        seen = json.loads(done.stdout)["waiting"] if done.returncode == 0 else []
        return len(seen) == count and all(one.get("waits") for one in seen) and seen

    def test_another_survivor_joins_with_its_copies_and_nothing_is_lost(self):
        self.cluster[1].ok("topic", "create", "kept", "--partitions", "2")
        for number in range(20):
            self.cluster[1].ok("put", f"kept/{number % 2}", f"{number}")
        self.lose(1)
        seen = {number: self.seen(number) for number in (2, 3)}
        survivor = max(seen, key=lambda number: (seen[number]["term"], seen[number]["index"]))
        other = 5 - survivor
        self.mend(survivor, "--yes")
        one, two = self.cluster[survivor], self.cluster[other]
        one.begin()
        two.begin()
        self.assertEqual(two.await_end(), 1)
        self.assertIn("was recovered without this node", two.error_text())
        one.await_ready()
        self.assertEqual(self.seen(other)["state"], "left out")
        two.start()
        wiped = self.cluster[1]
        wiped.arguments += ["--join", one.peer]
        wiped.start()
        self.cluster.await_states({1: "active", 2: "active", 3: "active"})
        self.assertEqual({self.cluster.status(node)["cluster_id"]
                          for node in self.cluster.nodes.values()},
                         {self.cluster.status(one)["cluster_id"]})
        wiped.ok("put", "kept/0", "20")
        self.assertEqual(self.read(two, "kept"), [*range(0, 20, 2), 20])
        self.assertEqual(self.read(one, "kept", 1), list(range(1, 20, 2)))
        self.cluster.await_health("ok", one)
        for part in self.cluster.segments("kept", one):
            self.assertEqual(part["losses"], 0)


if __name__ == "__main__":
    main()
