"""Clients of a cluster that is put to the test: each a thread that writes, reads or takes, slowly
enough that the machine mostly waits, and records what it asked and was told (log_history.py).

What a client is told is one of three things: done, certainly not done, nobody knows. After the
last one it goes on under another name, over another connection.
"""

import itertools
import logging
import re
import threading
import time
import traceback

import confluent_kafka as kafka

from log_history import Operation, bytes_of, name_in, name_of

ANSWER_SECONDS = 20  # a node answers within 10 s, if it is only that no leader is there
PAUSE = 0.02  # before a node that is not there is tried again
NOTHING_STORED = (b"ERR no leader for ", b"ERR busy, try again")
UNKNOWN = (b"ERR timed out", b"ERR shutting down", b"ERR storage f")  # full, failed
OUT_OF_RANGE = re.compile(rb"ERR offset out of range (\d+)\.\.(\d+)")
BYTES_MAX = 1 << 20


class Strange(Exception):
    """An answer that no documentation knows of."""


class History:
    """All operations, and which partitions have acknowledged what. Of all threads."""

    def __init__(self, log, queue):
        self.log, self.queue = log, queue  # (topic, partition) that are read, that are taken from
        self.operations = []
        # Of each partition when the newest that is acknowledged was asked for.
        self.acknowledged = dict.fromkeys([*log, *queue], 0)

    def add(self, operation):
        self.operations.append(operation)
        return operation

    def done(self, operation):
        """An answer has come that says so."""
        operation.outcome, operation.completed = "ok", time.monotonic_ns()
        if operation.f == "send":
            where = operation.topic, operation.partition
            self.acknowledged[where] = max(self.acknowledged[where], operation.invoked)


class Client(threading.Thread):
    """Of one thread but for `ended`, `problem` and what it adds to the history."""

    def __init__(self, name, history, pause):
        super().__init__(name=name)
        self.history, self.pause = history, pause
        self.ended = threading.Event()
        self.problem = None
        self.lives = itertools.count(1)

    def run(self):
        try:
            while not self.ended.is_set():
                self.live(f"{self.name}.{next(self.lives)}")
        except Exception:  # a client that dies must not look like one that has nothing to say
            self.problem = traceback.format_exc()

    def live(self, process):
        """One process, as the history has it: until nobody knows, or the end."""
        raise NotImplementedError

    def going_on(self):
        return not self.ended.wait(self.pause)

    def operation(self, process, f, topic, **more):
        return self.history.add(Operation(process, f, topic, time.monotonic_ns(), **more))


class NativeClient(Client):
    """At one node, over one connection after another."""

    def __init__(self, name, history, pause, native, node):
        super().__init__(name, history, pause)
        self.native, self.node = native, node  # native(node): a connection

    def live(self, process):
        try:
            connection = self.native(self.node)
        except OSError:
            self.ended.wait(PAUSE)
            return
        with connection:
            try:
                self.talk(process, connection)
            except (OSError, EOFError):
                self.ended.wait(PAUSE)

    def talk(self, process, connection):
        raise NotImplementedError


class Writer(NativeClient):
    """Appends to each partition in turn, some at once."""

    AT_ONCE = 3

    def talk(self, process, connection):
        for number in itertools.count(0, self.AT_ONCE):
            if not self.going_on():
                return
            under_way = [self.send(process, connection, number + i) for i in range(self.AT_ONCE)]
            answers = [take_answer(self.history, connection, one) for one in under_way]
            if not all(answers):
                return

    def send(self, process, connection, number):
        places = self.history.log
        topic, partition = places[number // self.AT_ONCE % len(places)]
        value = name_of(topic, partition, process, number)
        operation = self.operation(process, "send", topic, partition=partition, value=value,
                                   node=self.node)
        connection.send(f"APPEND {topic}/{partition} ".encode() + bytes_of(value))
        return operation


def take_answer(history, connection, operation):
    """To a PUT or an APPEND. Whether the process goes on."""
    reply = connection.receive()
    if reply == b"OK" or reply.startswith(b"OK "):
        operation.offset = int(reply[3:]) if len(reply) > 2 else None
        history.done(operation)
        return True
    operation.completed = time.monotonic_ns()
    if reply.startswith(NOTHING_STORED):
        operation.outcome = "fail"
        return True
    if reply.startswith(UNKNOWN):
        return False
    raise Strange(f"{operation.value}: {reply!r}")


class Reader(NativeClient):
    """Reads on in each partition, for ever from where it stands."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.next = {}

    def talk(self, process, connection):
        for topic, partition in itertools.cycle(self.history.acknowledged):
            if not self.going_on():
                return
            where = topic, partition
            read_from(connection, self, where, self.next.setdefault(where, 0))

    def got(self, operation):
        if operation.records:
            self.next[operation.topic, operation.partition] = operation.records[-1][0] + 1


def read_from(connection, reader, where, offset, final=False):
    """One READ; the operation. `reader` goes by one name: its position outlives connections."""
    topic, partition = where
    operation = reader.operation(reader.name, "read", topic, partition=partition, offset=offset,
                                 node=reader.node, final=final)
    reply = connection.ask(f"READ {topic}/{partition} {offset} {BYTES_MAX}")
    operation.completed = time.monotonic_ns()
    if bounds := OUT_OF_RANGE.fullmatch(reply):
        operation.f, operation.outcome = "range", "ok"
        operation.low, operation.high = map(int, bounds.groups())
    elif reply.startswith(b"OK "):
        operation.records = records_of(reply)
        operation.outcome = "ok"
        reader.got(operation)
    elif not reply.startswith((*NOTHING_STORED, *UNKNOWN)):
        raise Strange(f"READ {topic}/{partition} {offset}: {reply!r}")
    return operation


def records_of(reply):
    head, _, rest = reply.partition(b"\n")
    records = []
    for _ in range(int(head.split()[1])):
        offset, _, size, rest = rest.split(b" ", 3)
        records.append([int(offset), name_in(rest[:int(size)])])
        rest = rest[int(size) + 1:]
    return records


class Putter(NativeClient):
    """Fills the queue; it is told no offsets."""

    def talk(self, process, connection):
        for number in itertools.count():
            if not self.going_on():
                return
            topic, partition = self.history.queue[number % len(self.history.queue)]
            value = name_of(topic, partition, process, number)
            operation = self.operation(process, "send", topic, partition=partition, value=value,
                                       node=self.node)
            connection.send(f"PUT {topic}/{partition} ".encode() + bytes_of(value))
            if not take_answer(self.history, connection, operation):
                return


class Taker(NativeClient):
    """Takes from the queue."""

    def talk(self, process, connection):
        while self.going_on() and take_one(connection, self, process).outcome != "info":
            pass


def take_one(connection, taker, process, final=False):
    """One GET; the operation."""
    queue = taker.history.queue[0][0]
    operation = taker.operation(process, "take", queue, node=taker.node, final=final)
    reply = connection.ask(f"GET {queue}")
    operation.completed = time.monotonic_ns()
    if reply == b"EMPTY":
        operation.outcome = "ok"
    elif reply.startswith(b"OK "):
        operation.outcome, operation.value = "ok", name_in(reply[3:])
    elif reply.startswith(NOTHING_STORED):
        operation.outcome = "fail"
    elif not reply.startswith(UNKNOWN):
        raise Strange(f"GET {queue}: {reply!r}")
    return operation


# What a Kafka client waits before it looks elsewhere: less than the faults last.
KAFKA = {"socket.timeout.ms": 5000, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
         "topic.metadata.refresh.interval.ms": 2000, "log_level": 0}
KAFKA_PRODUCER = {"enable.idempotence": True, "acks": "all", "linger.ms": 5,
                  "request.timeout.ms": 4000, "retry.backoff.ms": 20, "message.timeout.ms": 30000,
                  "debug": "eos", "log_level": 7}
KAFKA_CONSUMER = {"group.id": "none", "enable.auto.commit": False, "auto.offset.reset": "error",
                  "fetch.wait.max.ms": 200, "fetch.error.backoff.ms": 20}


def logger_to(path):
    logger = logging.Logger(path.name)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    return logger


class KafkaWriter(Client):
    """An idempotent producer: what it sends again is stored once."""

    AT_ONCE = 6

    def __init__(self, name, history, pause, servers, log):
        super().__init__(name, history, pause)
        self.servers = servers
        self.fatal = 0  # producers that gave up for good; another one takes the place
        self.logger = logger_to(log)  # what its library makes of the answers

    def live(self, process):
        producer = kafka.Producer({"bootstrap.servers": self.servers, **KAFKA, **KAFKA_PRODUCER},
                                  logger=self.logger)
        self.lost = False
        limit = ANSWER_SECONDS + KAFKA_PRODUCER["message.timeout.ms"] / 1e3
        done = [self.unless_fatal(self.send_all, process, producer),
                self.unless_fatal(producer.flush, limit)]
        if not all(done):
            self.fatal += 1
            self.unless_fatal(producer.flush, limit)  # what is under way has an answer all the same

    def send_all(self, process, producer):
        for number in itertools.count(0, self.AT_ONCE):
            if self.lost or not self.going_on():
                return
            for i in range(self.AT_ONCE):
                self.send(process, producer, number + i)
            producer.poll(0)

    @staticmethod
    def unless_fatal(call, *arguments):
        """False: the producer has given up for good, which any of its calls may tell."""
        try:
            call(*arguments)
            return True
        except kafka.KafkaException as error:
            if not error.args[0].fatal() and error.args[0].code() != kafka.KafkaError._FATAL:
                raise
            return False

    def send(self, process, producer, number):
        topic, partition = self.history.log[number % len(self.history.log)]
        value = name_of(topic, partition, process, number)
        operation = self.operation(process, "send", topic, partition=partition, value=value)

        def answered(error, message):
            if error is None:
                offset = message.offset()
                operation.offset = offset if offset is not None and offset >= 0 else None
                self.history.done(operation)
                return
            operation.completed = time.monotonic_ns()
            self.lost = True
        producer.produce(topic, bytes_of(value), partition=partition, on_delivery=answered)


class KafkaReader(Client):
    """Reads all partitions as one consumer that is assigned them, from a node of its choice."""

    def __init__(self, name, history, pause, servers, rack=""):
        super().__init__(name, history, pause)
        self.settings = {"bootstrap.servers": servers, "client.rack": rack, **KAFKA,
                         **KAFKA_CONSUMER}
        self.next = dict.fromkeys(history.acknowledged, 0)

    def live(self, process):
        consumer = kafka.Consumer(self.settings)
        consumer.assign([kafka.TopicPartition(topic, partition, offset)
                         for (topic, partition), offset in self.next.items()])
        try:
            while not self.ended.is_set():
                self.take_all(consumer.consume(500, self.pause))
        finally:
            consumer.close()

    def take_all(self, messages, final=False):
        got = {}
        for message in messages:
            if error := message.error():
                self.note_error(error, message)
                continue
            got.setdefault((message.topic(), message.partition()), []).append(
                [message.offset(), name_in(message.value())])
        for (topic, partition), records in got.items():
            operation = self.operation(self.name, "read", topic, partition=partition, final=final,
                                       offset=self.next[topic, partition], records=records)
            operation.outcome, operation.completed = "ok", time.monotonic_ns()
            self.next[topic, partition] = records[-1][0] + 1

    def note_error(self, error, message):
        """A broker that is not there is no news; a position that is not there is."""
        if error.code() == kafka.KafkaError._AUTO_OFFSET_RESET:
            raise Strange(f"{self.name}: {message.topic()}/{message.partition()}: {error}")


class GroupMember(Client):
    """Of a consumer group: handles records, then commits. It leaves now and then and comes back."""

    LIFE_SECONDS = 8
    GROUP = {"group.id": "group", "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
             "heartbeat.interval.ms": 500}

    def __init__(self, name, history, pause, servers):
        super().__init__(name, history, pause)
        self.settings = {"bootstrap.servers": servers, **KAFKA, **KAFKA_CONSUMER, **self.GROUP}

    def live(self, process):
        consumer = kafka.Consumer(self.settings)
        consumer.subscribe([self.history.log[0][0]], on_assign=self.assigned)
        end = time.monotonic() + self.LIFE_SECONDS
        try:
            while time.monotonic() < end and not self.ended.is_set():
                self.handle(process, consumer, consumer.consume(100, self.pause))
        finally:
            consumer.close()

    def assigned(self, consumer, partitions):
        ask_committed(consumer, self, partitions)
        consumer.assign(partitions)

    def handle(self, process, consumer, messages):
        got = {}
        for message in messages:
            if not message.error():
                got.setdefault(message.partition(), []).append(
                    [message.offset(), name_in(message.value())])
        for partition, records in got.items():
            topic, high = self.history.log[0][0], records[-1][0] + 1
            operation = self.operation(process, "processed", topic, partition=partition,
                                       records=records)
            self.history.done(operation)
            operation = self.operation(process, "commit", topic, partition=partition, high=high)
            try:
                consumer.commit(offsets=[kafka.TopicPartition(topic, partition, high)],
                                asynchronous=False)
                self.history.done(operation)
            except kafka.KafkaException:
                pass  # nobody knows; where it was refused, it is somebody else's


def ask_committed(consumer, asker, partitions, final=False, seconds=4):
    """Where the group goes on; whether that was told."""
    invoked = time.monotonic_ns()
    try:
        told = consumer.committed(partitions, timeout=seconds)
    except kafka.KafkaException:
        return False
    for one in told:
        if one.error:
            return False
        asker.history.done(asker.history.add(Operation(
            asker.name, "committed", one.topic, invoked, partition=one.partition, final=final,
            high=one.offset if one.offset >= 0 else None)))
    return True


class EndWatcher(Client):
    """Asks where each partition ends, which its leader has confirmed by a quorum."""

    def __init__(self, name, history, pause, servers):
        super().__init__(name, history, pause)
        self.settings = {"bootstrap.servers": servers, **KAFKA, **KAFKA_CONSUMER}

    def live(self, process):
        consumer = kafka.Consumer(self.settings)
        try:
            for topic, partition in itertools.cycle(self.history.acknowledged):
                if not self.going_on():
                    return
                ask_end(consumer, self, topic, partition)
        finally:
            consumer.close()


def ask_end(consumer, asker, topic, partition, seconds=4):
    """The end; None where nobody answered."""
    operation = Operation(asker.name, "end", topic, time.monotonic_ns(), partition=partition)
    operation.high = ask_place(consumer, topic, partition, kafka.OFFSET_END, seconds)
    if operation.high is None:
        return None
    asker.history.done(asker.history.add(operation))
    first = ask_place(consumer, topic, partition, kafka.OFFSET_BEGINNING, seconds)
    if first:
        raise Strange(f"{topic}/{partition} begins at {first}")
    return operation.high


def ask_place(consumer, topic, partition, place, seconds):
    """One question, one answer. (get_watermark_offsets() asks for both ends, and of an error for
    one that is followed at once by an answer for the other it makes 0 and 0, without an error.)"""
    try:
        answer = consumer.offsets_for_times([kafka.TopicPartition(topic, partition, place)],
                                            timeout=seconds)[0]
    except kafka.KafkaException:
        return None
    return None if answer.error else answer.offset
