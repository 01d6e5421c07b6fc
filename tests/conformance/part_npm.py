"""kafkajs and @platformatic/kafka, on a Node.js from the same registry."""

import peers
import suite


def cases(tally):
    modules = peers.npm("kafkajs", ("@platformatic/kafka", "platformatic"), "node")
    for name, script in (("kafkajs", "kafkajs_cases.cjs"),
                         ("platformatic", "platformatic_cases.mjs")):
        with suite.server(tally.against) as node:
            tally.collect(name, [modules / "node/bin/node", suite.HERE / script, modules,
                                 node.kafka])
