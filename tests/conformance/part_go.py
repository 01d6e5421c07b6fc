"""franz-go, by a Go of its own."""

import peers
import suite


def cases(tally):
    program = suite.OUT / "franz_cases"
    peers.build_go(peers.go_module("github.com/twmb/franz-go", ("kgo", "kadm")),
                   suite.HERE / "franz_cases.go", program)
    with suite.server(tally.against) as node:
        tally.collect("franz-go", [program, node.kafka])
