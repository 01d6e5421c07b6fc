"""What people see of a run: a page, and its timeline as a picture."""

import collections
import html

WIDTH, LEFT, RIGHT, LANE = 1240, 110, 20, 22
BUCKET_SECONDS = 0.25
RATE_HEIGHT, FAULT_HEIGHT = 90, 150
SILENCE_MS = 1000  # without an acknowledgement: shown in a partition's lane
COLOURS = {"starting": "#e8c547", "up": "#7fb685", "stopped": "#e07a3f", "dead": "#8a8f98"}
KINDS = {"native": "#3d6fb4", "kafka": "#8d5fb0", "taken": "#5aa9a0"}


def seconds(moment, began):
    return (moment - began) / 1e9


class Run:
    """What happened: `began` and `ended` by the clock of all moments."""

    def __init__(self, title, began, ended, operations, done, states):
        self.title, self.began, self.ended = title, began, ended
        self.operations, self.done, self.states = operations, done, states

    def acknowledged(self):
        return [one for one in self.operations if one.f == "send" and one.outcome == "ok"]

    def by_partition(self):
        """Name: when something was acknowledged, in order."""
        moments = collections.defaultdict(list)
        for one in self.acknowledged():
            moments[f"{one.topic}/{one.partition}"].append(one.completed)
        return {name: sorted(times) for name, times in sorted(moments.items())}

    def silences(self):
        """(partition, from, to) of each time without an acknowledgement that is worth a look."""
        for name, moments in self.by_partition().items():
            edges = [self.began, *(m for m in moments if self.began <= m <= self.ended), self.ended]
            for before, after in zip(edges, edges[1:]):
                if (after - before) / 1e6 >= SILENCE_MS:
                    yield name, before, after

    def longest_silence_ms(self, begun, ended):
        """Of any partition, of those that touch the time."""
        longest = 0
        for moments in self.by_partition().values():
            last = self.began
            for moment in [*moments, self.ended]:
                if moment > begun and last < ended:
                    longest = max(longest, moment - last)
                last = moment
        return longest / 1e6


# --- the page ---

def page(run, verdict, facts, lines):
    """Markdown: `facts` name to value, `lines` whatever went wrong."""
    out = [f"# {run.title}", "", f"**{verdict}**", ""]
    if lines:
        out += ["```", *lines, "```", ""]
    out += ["![timeline](timeline.svg)", "", "| | |", "|---|---|"]
    out += [f"| {name} | {value} |" for name, value in facts.items()]
    out += ["", "| at, s | fault | for, s | longest silence of a partition, ms | writes to all "
            "after the heal, ms |", "|---:|---|---:|---:|---:|"]
    for one in run.done:
        silence = run.longest_silence_ms(one.begun, one.ended)
        out.append(f"| {seconds(one.begun, run.began):.1f} | {one.fault.what} | "
                   f"{seconds(one.ended, one.begun):.1f} | {silence:.0f} | "
                   f"{one.writes_after_ms:.0f} |")
    return "\n".join(out) + "\n"


def counts(operations):
    """For the page: how many operations ended how."""
    table = collections.Counter((one.f, one.outcome) for one in operations)
    return {f"{f}: ok, certainly not, unknown":
            ", ".join(str(table[f, outcome]) for outcome in ("ok", "fail", "info"))
            for f in ("send", "read", "end", "take", "commit") if any(key[0] == f for key in table)}


# --- the picture ---

class Picture:
    """Lanes from top to bottom over one axis of time."""

    def __init__(self, run):
        self.run, self.y, self.out = run, 40, []

    def x(self, moment):
        share = (moment - self.run.began) / max(1, self.run.ended - self.run.began)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0), 1)

    def bar(self, begun, ended, y, height, colour, title=""):
        width = max(self.x(ended) - self.x(begun), 0.7)
        self.out.append(f'<rect x="{self.x(begun):.1f}" y="{y:.1f}" width="{width:.1f}" '
                        f'height="{height:.1f}" fill="{colour}">'
                        f'<title>{html.escape(title)}</title></rect>')

    def text(self, x, y, text, more=""):
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(text)}</text>')

    def label(self, name, y):
        self.text(LEFT - 8, y, name, 'text-anchor="end"')

    def draw(self):
        self.faults()
        for node in sorted({node for _, node, _ in self.run.states}):
            self.node(node)
        for name in self.run.by_partition():
            self.partition(name)
        self.rates()
        self.axis()
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.y}" '
                f'viewBox="0 0 {WIDTH} {self.y}" font-family="sans-serif" font-size="11">'
                f'<rect width="{WIDTH}" height="{self.y}" fill="#ffffff"/>'
                f'<text x="16" y="24" font-size="15" font-weight="bold">'
                f'{html.escape(self.run.title)}</text>')
        return "\n".join([head, *self.out, "</svg>"]) + "\n"

    def faults(self):
        self.label("fault", self.y + 14)
        for one in self.run.done:
            self.bar(one.begun, one.ended, self.y, FAULT_HEIGHT, "#f3d9d3", one.fault.what)
            x, y = self.x(one.begun) + 11, self.y + FAULT_HEIGHT - 4
            self.text(x, y, one.name, f'transform="rotate(-90 {x:.1f} {y:.1f})"')
        self.y += FAULT_HEIGHT + 8

    def node(self, node):
        self.label(f"node {node}", self.y + 13)
        states = sorted((when, state) for when, one, state in self.run.states if one == node)
        ends = [when for when, _ in states[1:]] + [self.run.ended]
        for (begun, state), ended in zip(states, ends):
            if ended > self.run.began and begun < self.run.ended:
                self.bar(begun, ended, self.y, LANE - 6, COLOURS[state], state)
        self.y += LANE

    def partition(self, name):
        self.label(name, self.y + 11)
        self.bar(self.run.began, self.run.ended, self.y, LANE - 10, "#e3ece4")
        for other, begun, ended in self.run.silences():
            if other == name:
                self.bar(begun, ended, self.y, LANE - 10, "#c0392b",
                         f"nothing acknowledged for {(ended - begun) / 1e6:.0f} ms")
        self.y += LANE - 4

    def rates(self):
        """Of what was acknowledged and taken, a bar each quarter of a second."""
        buckets = collections.Counter()
        for one in self.run.operations:
            if one.outcome == "ok" and (one.f == "send" or one.f == "take" and one.value):
                kind = "taken" if one.f == "take" else \
                    "kafka" if one.process.startswith("kafka") else "native"
                buckets[int(seconds(one.completed, self.run.began) / BUCKET_SECONDS), kind] += 1
        most = max((sum(buckets[at, kind] for kind in KINDS) for at, _ in list(buckets)), default=1)
        self.y += 8
        self.label(f"{most / BUCKET_SECONDS:.0f}/s", self.y + 10)
        for i, (kind, colour) in enumerate(KINDS.items()):
            self.text(16, self.y + 30 + 14 * i, kind, f'fill="{colour}"')
        bottom = self.y + RATE_HEIGHT
        for at in sorted({at for at, _ in buckets}):
            begun = self.run.began + int(at * BUCKET_SECONDS * 1e9)
            y = bottom
            for kind, colour in KINDS.items():
                height = RATE_HEIGHT * buckets[at, kind] / most
                y -= height
                if height and begun < self.run.ended:
                    self.bar(begun, begun + int(BUCKET_SECONDS * 0.9e9), y, height, colour)
        self.y = bottom + 4

    def axis(self):
        length = seconds(self.run.ended, self.run.began)
        step = next(step for step in (1, 2, 5, 10, 30, 60, 300, 1800, 1e9) if length / step <= 15)
        at = 0
        while at <= length:
            x = self.x(self.run.began + int(at * 1e9))
            self.out.append(f'<line x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="{self.y}" '
                            'stroke="#000000" stroke-opacity="0.12"/>')
            self.text(x, self.y + 14, f"{at:g} s", 'text-anchor="middle"')
            at += step
        self.y += 24
