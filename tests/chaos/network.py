"""A network of hosts of its own, of the kernel's making: a network namespace a host, a bridge
between them, and links that are cut and healed one way.

    network.enter()                  # first of all: from here on nothing of the machine is touched
    hosts = Network(3)
    subprocess.Popen(hosts.inside(1) + ["walrus", "serve", "--listen", hosts.address(1) + ":9092"])
    hosts.cut(1, 2)                  # what 1 sends to 2 is lost, silently; 2 still reaches 1
    hosts.slow(1, 2, delay_ms=80)    # what 1 sends to 2 comes 80 ms later (switch.py)
    hosts.heal()

enter() starts the program anew in namespaces for networks, mounts and processes: names and
addresses are nobody else's, several runs do not meet, and with the program's end, however it ends,
the kernel removes the hosts, the mounts and every process that was started. Neither root nor
nftables is needed, where users may make namespaces.

Each host knows the others' link addresses by heart. A cut is one address that is false: the frames
leave, and nobody takes them, as with a switch that drops them. Nothing is refused, no error is
seen, and a connection that is open goes on after the heal. A slow link is a route through TUN
devices and a switch in user space; all others stay the kernel's.
"""

import os
import pathlib
import subprocess
import sys

OUTSIDE = 254  # the host that this program is, where clients are
PREFIX = "10.77.0"
DEVICE = "eth0"
INSIDE = "WALRUS_IN_NAMESPACES"
SKIPPED = 77  # the exit status that ctest knows


def enter():
    """Does not return but in the namespaces; status 77, which ctest knows as skipped, where the
    machine permits none. Returns at once in what enter() itself has started."""
    if os.environ.pop(INSIDE, None):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        return
    command = into_namespaces()
    if reason := refusal():
        print(f"SKIP no network namespaces here: {reason}", flush=True)
        sys.exit(SKIPPED)
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def into_namespaces():
    """What to put before a command that is to run in namespaces of its own."""
    return ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net",
            "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def refusal():
    """Why this machine lets us make no network; None if it does."""
    steps = ("mount -t tmpfs tmpfs /run && ip netns add probe && ip link add probe0 type veth peer "
             "name probe1 netns probe && ip link add probe2 type bridge")
    try:
        done = subprocess.run([*into_namespaces(), "sh", "-c", steps], capture_output=True,
                              text=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return (done.stderr or done.stdout or f"status {done.returncode}").strip().splitlines()[0] \
        if done.returncode else None


class Network:
    """Hosts 1 to `hosts` and OUTSIDE, each reaching each. Of one thread."""

    def __init__(self, hosts):
        self.hosts = list(range(1, hosts + 1))
        self.lost = set()  # (sender, receiver)
        self.slowed = set()
        self.switch = None
        lines = ["link set lo up", "link add bridge0 type bridge", "link set bridge0 up",
                 f"link set bridge0 address {mac(OUTSIDE)}",
                 f"addr add {self.address(OUTSIDE)}/24 dev bridge0"]
        for host in self.hosts:
            lines += [f"netns add {name(host)}",
                      f"link add port{host} type veth peer name {DEVICE} netns {name(host)}",
                      f"link set port{host} master bridge0 up"]
        ip(lines)
        for host in self.hosts:
            ip([f"link set {DEVICE} address {mac(host)}", f"link set {DEVICE} up", "link set lo up",
                f"addr add {self.address(host)}/24 dev {DEVICE}"], host)
        for sender in self.everyone():
            ip([self._neighbour(sender, receiver) for receiver in self.everyone()
                if receiver != sender], sender)

    def everyone(self):
        return [*self.hosts, OUTSIDE]

    def address(self, host):
        return f"{PREFIX}.{host}"

    def inside(self, host):
        """What to put before a command that is to run on a host. The process is the command's own:
        a signal reaches it."""
        return ["ip", "netns", "exec", name(host)] if host != OUTSIDE else []

    def cut(self, sender, receiver):
        """From now on nothing that `sender` sends arrives at `receiver`."""
        self.lost.add((sender, receiver))
        ip([self._neighbour(sender, receiver)], sender)

    def cut_between(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def isolate(self, host):
        """From all others, and they from it; OUTSIDE still reaches it."""
        for other in self.hosts:
            if other != host:
                self.cut_between(host, other)

    def heal(self):
        for sender, receiver in sorted(self.lost):
            self.lost.remove((sender, receiver))
            ip([self._neighbour(sender, receiver)], sender)
        for sender, receiver in sorted(self.slowed):
            ip([f"route del {self.address(receiver)}/32 dev slow{sender}"], sender)
        if self.slowed:
            self.slowed.clear()
            self._tell_switch("fast")

    def slow(self, sender, receiver, delay_ms=0, jitter_ms=0, loss_percent=0, double_percent=0):
        """From now on what `sender` sends to `receiver`, both hosts, is treated so."""
        self.start_switch()
        self._tell_switch(f"slow {sender} {receiver} {delay_ms} {jitter_ms} {loss_percent} "
                          f"{double_percent}")
        if (sender, receiver) not in self.slowed:
            self.slowed.add((sender, receiver))
            ip([f"route add {self.address(receiver)}/32 dev slow{sender} "
                f"src {self.address(sender)}"], sender)

    def start_switch(self, seed=1):
        """Once; the seed is of what it loses and how late it delivers."""
        if self.switch:
            return
        self.switch = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("switch.py"), str(len(self.hosts)),
             str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._await_switch()
        for host in self.hosts:
            ip([f"link set slow{host} netns {name(host)}"])
            ip([f"link set slow{host} up"], host)

    def close(self):
        """Ends what was started, so that another one can be made; the kernel does so, too, with the
        program."""
        if self.switch:
            self.switch.stdin.close()
            self.switch.wait()
            self.switch.stdout.close()
            self.switch = None
        if self.hosts:
            # The links first: those of a namespace go some time after it.
            ip([*(f"link del port{host}" for host in self.hosts),
                *(f"netns del {name(host)}" for host in self.hosts), "link del bridge0"])
            self.hosts = []

    def _tell_switch(self, line):
        self.switch.stdin.write(line.encode() + b"\n")
        self.switch.stdin.flush()
        self._await_switch()

    def _await_switch(self):
        if self.switch.stdout.readline() != b"ok\n":
            raise AssertionError(f"the switch ended with status {self.switch.wait()}")

    def _neighbour(self, sender, receiver):
        nobody = (sender, receiver) in self.lost
        device = "bridge0" if sender == OUTSIDE else DEVICE
        return (f"neigh replace {self.address(receiver)} dev {device} nud permanent "
                f"lladdr {'02:ff' if nobody else '02:00'}{mac(receiver)[5:]}")


def name(host):
    return f"host{host}"


def mac(host):
    return f"02:00:00:00:00:{host:02x}"


def ip(lines, host=OUTSIDE):
    """Commands of ip(8), one a line, on a host; all or an exception."""
    where = ["-n", name(host)] if host != OUTSIDE else []
    subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", text=True,
                   check=True, stdout=subprocess.DEVNULL)
