"""The same raw requests to Walrus and to Kafka: their answers are the same, or answers.toml says
why not."""

import os

import peers
import suite


def cases(tally):
    if tally.against == "kafka":
        tally.add("SKIP", "answers", "compares Walrus with Kafka: nothing to do against Kafka")
        return
    python = peers.python_clients()
    with suite.server("kafka") as kafka, suite.server("walrus") as ours:
        tally.collect("answers", [python, suite.HERE / "answers.py", ours.kafka, kafka.kafka],
                      env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
