#!/usr/bin/env python3
"""What a producer notices of a partition that changes hands: nothing."""

import subprocess
import time

from nodes import ClusterTest, DEADLINE, environment, main, wait_until

HANDED_ON = "walrus_replica_appends_handed_on_total"


class Roll(ClusterTest):
    def test_a_drain_costs_a_kafka_producer_nothing(self):
        one = self.cluster[1]
        one.ok("topic", "create", "t")
        one.ok("put", "t", "first")
        leader = self.cluster.leader("t")
        producer = subprocess.Popen(
            ["kcat", "-P", "-b", self.cluster[leader].kafka, "-t", "t", "-X",
             "enable.idempotence=true", "-X", "linger.ms=1"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        sent = 0

        def send(seconds):
            nonlocal sent
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                producer.stdin.write(b"%d\n" % sent)
                producer.stdin.flush()
                sent += 1
                time.sleep(0.001)  # a producer's pace
        send(1)
        one.ok("cluster", "drain", leader)
        send(3)
        _, errors = producer.communicate(timeout=DEADLINE)
        self.assertEqual((producer.returncode, errors.count(b"ERROR")), (0, 0), errors)
        self.assertNotEqual(self.cluster.leader("t"), leader)
        # librdkafka went on at the old leader, which handed on what came.
        wait_until(lambda: self.cluster[leader].metrics()[HANDED_ON] > 0, "appends handed on")
        out = one.ok("consume", "t", "--format", "%s\\n").split()
        self.assertEqual(out, [b"first", *(b"%d" % number for number in range(sent))])


if __name__ == "__main__":
    main()
