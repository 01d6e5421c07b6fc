#!/usr/bin/env python3
"""A switch in user space for links that are slow: it delays, reorders, loses and doubles packets,
where the kernel has no queueing discipline that would. Started by network.py, which routes through
it what is to be slow; it holds a TUN device of each host.

usage: switch.py HOSTS SEED     on stdin, a line each, answered by a line "ok":
  slow SENDER RECEIVER DELAY_MS JITTER_MS LOSS_PERCENT DOUBLE_PERCENT
  fast                                                    from now on all links are
Ends with its stdin. Its devices are slow1, slow2, ... of which network.py gives one to each host.
"""

import dataclasses
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
PACKET_MAX = 65536
SENDER_BYTE, RECEIVER_BYTE = 15, 19  # of an IPv4 header: the last bytes of the addresses


@dataclasses.dataclass(frozen=True)
class Link:
    delay_ms: float = 0
    jitter_ms: float = 0  # up to so much more, each packet its own: they overtake each other
    loss_percent: float = 0
    double_percent: float = 0


class Switch:
    def __init__(self, hosts, seed):
        self.random = random.Random(seed)
        self.devices = {host: open_device(f"slow{host}") for host in range(1, hosts + 1)}
        self.hosts = {device: host for host, device in self.devices.items()}
        self.links = {}
        self.waiting = []  # (when, number, device, packet)
        self.number = 0

    def run(self):
        poll = select.poll()
        for device in [sys.stdin.fileno(), *self.hosts]:
            poll.register(device, select.POLLIN)
        while True:
            for device, _ in poll.poll(self.milliseconds_left()):
                if device == sys.stdin.fileno():
                    if not self.obey(sys.stdin.readline()):
                        return
                else:
                    self.take(device)
            self.deliver()

    def milliseconds_left(self):
        if not self.waiting:
            return None
        return max(0, (self.waiting[0][0] - time.monotonic()) * 1e3)

    def obey(self, line):
        words = line.decode().split()
        if not words:
            return False
        if words[0] == "slow":
            sender, receiver = map(int, words[1:3])
            self.links[sender, receiver] = Link(*map(float, words[3:]))
        else:
            self.links.clear()
        print("ok", flush=True)
        return True

    def take(self, device):
        try:
            packet = os.read(device, PACKET_MAX)
        except BlockingIOError:
            return
        if packet[0] >> 4 != 4 or packet[RECEIVER_BYTE] not in self.devices:
            return
        link = self.links.get((packet[SENDER_BYTE], packet[RECEIVER_BYTE]), Link())
        if self.random.uniform(0, 100) < link.loss_percent:
            return
        for _ in range(2 if self.random.uniform(0, 100) < link.double_percent else 1):
            self.number += 1
            late = link.delay_ms + self.random.uniform(0, link.jitter_ms)
            heapq.heappush(self.waiting, (time.monotonic() + late / 1e3, self.number,
                                          self.devices[packet[RECEIVER_BYTE]], packet))

    def deliver(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(self.waiting)
            try:
                os.write(device, packet)
            except OSError:
                pass  # its queue is full, or the host is gone: lost, as packets are


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main():
    # Line by line from the descriptor itself: poll() does not see what a buffer holds already.
    sys.stdin = os.fdopen(os.dup(0), "rb", buffering=0)
    switch = Switch(int(sys.argv[1]), int(sys.argv[2]))
    print("ok", flush=True)
    switch.run()


if __name__ == "__main__":
    main()
