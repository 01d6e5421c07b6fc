"""confluent-kafka and kafka-python, in a virtual environment of their own."""

import os

import peers
import suite

SCRIPTS = {"confluent": "confluent_cases.py", "kafka-python": "kafka_python_cases.py"}


def cases(tally):
    python = peers.python_clients()
    for name, script in SCRIPTS.items():
        with suite.server(tally.against) as node:
            tally.collect(name, [python, suite.HERE / script, node.kafka],
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
