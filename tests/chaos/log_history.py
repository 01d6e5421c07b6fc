"""What clients of a log did and were told: the history of a run, a line of JSON an operation.

Every value that is sent is another one and says where it belongs, so that it is known again
wherever it turns up. Times are nanoseconds of one clock. An outcome is `ok`, `fail` where it is
certain that nothing was done, and `info` where nobody knows; a process of which one is `info` does
nothing any more, another one takes its place.

  f      what                          fields
  send   a record is appended          partition, value; ok: offset, if it was told
  read   records of a partition        partition, offset (where from), records [[offset, value]...]
  range  "out of range" for a read     partition, offset (asked for), low, high
  end    where a partition ends        partition, high (confirmed by the leader)
  take   the next record of a queue    value; none: it was EMPTY
  processed  by a member of a group    partition, records
  commit     of what was processed     partition, high (where the group goes on)
  committed  what the group is told    partition, high; none: nothing was committed yet
"""

import dataclasses
import json
import zlib

FILLER = b"abcdefghijklmnopqrstuvwxyz" * 40
BYTES_MIN, BYTES_STEP = 40, 7  # of the filler: by sequence, so that sizes are many


@dataclasses.dataclass
class Operation:
    process: str
    f: str
    topic: str
    invoked: int
    completed: int = 0
    outcome: str = "info"
    partition: int | None = None
    value: str | None = None
    offset: int | None = None
    records: list = dataclasses.field(default_factory=list)
    low: int | None = None
    high: int | None = None
    node: int | None = None  # that was asked, where it is known
    final: bool = False  # when all was healed: a read of all, a take until nothing is left

    def line(self):
        kept = {name: value for name, value in dataclasses.asdict(self).items()
                if value is not None and value is not False and value != []}
        return json.dumps(kept)


def write_down(operations, path):
    with path.open("w") as file:
        for operation in sorted(operations, key=lambda one: one.invoked):
            file.write(operation.line() + "\n")


def read_back(path):
    with path.open() as file:
        return [Operation(**json.loads(line)) for line in file]


def name_of(topic, partition, process, sequence):
    """What a value is called in the history."""
    return f"{topic}/{partition} {process} {sequence}"


def bytes_of(name):
    """The value itself: its name, something to carry, a sum over both."""
    size = BYTES_MIN + BYTES_STEP * (zlib.crc32(name.encode()) % 100)
    text = name.encode() + b" " + FILLER[:size]
    return text + b" %08x" % zlib.crc32(text)


def name_in(value):
    """The name of what was read; of damaged bytes one that nobody has sent."""
    text, _, checksum = value.rpartition(b" ")
    if checksum == b"%08x" % zlib.crc32(text):
        return text.rpartition(b" ")[0].decode()
    return f"damaged: {value[:80]!r}"
