"""What people see of a benchmark's rows: a table, a page, a chart."""

import html

WIDTH, LEFT, BAR, STEP = 920, 270, 430, 34


def number(value):
    if value is None:
        return ""
    for limit, divisor, letter in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if abs(value) >= limit:
            return f"{value / divisor:.2f}{letter}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def target(row):
    if row["target"] is None:
        return ""
    sign = "≥" if row["better"] == "higher" else "≤"
    return f"{sign} {number(row['target'])}" + (" ×" if row["target_of"] == "ratio" else "")


def verdict(row):
    return {None: "", True: "met", False: "MISSED"}[row["met"]]


def ratio(row):
    return "" if row["ratio"] is None else f"{row['ratio']:.3g} ×"


def cells(row):
    peer = "" if row["peer"] is None else f"{number(row['peer_value'])} ({row['peer']})"
    return [row["name"], f"{number(row['value'])} {row['unit']}", peer, ratio(row), target(row),
            verdict(row)]


HEAD = ["row", "walrus", "against", "ratio", "target", ""]


def table(rows):
    lines = [HEAD] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip()
                     for line in lines) + "\n"


def markdown(rows):
    out = ["| " + " | ".join(HEAD) + " |", "|---|---:|---:|---:|---:|---|"]
    out += ["| " + " | ".join([f"`{c[0]}`"] + c[1:]) + " |" for c in map(cells, rows)]
    out += ["", "## Latencies, microseconds", "",
            "| row | p50 | p90 | p99 | p99.9 |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        if "latency_us" in row:
            values = (f"{row['latency_us'][p]:,.1f}" for p in ("p50", "p90", "p99", "p99.9"))
            out.append(f"| `{row['name']}` | " + " | ".join(values) + " |")
    out += ["", "## Conditions and rounds", ""]
    for row in rows:
        rounds = ", ".join(number(value) for value in row["rounds"])
        out.append(f"- `{row['name']}`: {row['conditions']}. Rounds: {rounds}.")
    return "\n".join(out) + "\n"


def reach(row):
    """How much of its target a row reaches: 1 is the target itself, more is better."""
    measured = row["ratio"] if row["target_of"] == "ratio" else row["value"]
    wanted = row["target"]
    if row["better"] == "higher":
        return measured / wanted
    if measured == 0:
        return 10.0
    return wanted / measured


def svg(rows):
    """One bar a row with a target, on a logarithmic scale; the line in the middle is the target."""
    import math
    shown = [row for row in rows if row["target"] is not None]
    height = 84 + STEP * len(shown)
    least, most = 0.1, 10.0

    def place(value):
        value = min(max(value, least), most)
        return LEFT + BAR * (math.log(value / least) / math.log(most / least))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
           f'<text x="16" y="26" font-size="16" font-weight="bold" fill="#222222">Each row against '
           f'its target (right of the line: better)</text>']
    for tick, label in ((0.1, "0.1"), (0.2, "0.2"), (0.5, "0.5"), (1, "target"), (2, "2 ×"),
                        (5, "5 ×"), (10, "10 ×")):
        x = place(tick)
        colour, width = ("#444444", 2) if tick == 1 else ("#dddddd", 1)
        out.append(f'<line x1="{x:.1f}" y1="58" x2="{x:.1f}" y2="{height - 16}" '
                   f'stroke="{colour}" stroke-width="{width}"/>')
        out.append(f'<text x="{x:.1f}" y="50" text-anchor="middle" font-size="11" '
                   f'fill="#666666">{label}</text>')
    middle = place(1)
    for i, row in enumerate(shown):
        y = 64 + STEP * i
        end = place(reach(row))
        x, width = min(middle, end), max(abs(end - middle), 1.5)
        colour = "#2f7d4f" if row["met"] else "#b5482e"
        text = f"{number(row['value'])} {row['unit']}"
        if row["ratio"] is not None:
            text += f" = {ratio(row)}"
        out.append(f'<text x="{LEFT - 12}" y="{y + 17}" text-anchor="end" '
                   f'fill="#222222">{html.escape(row["name"])}</text>')
        out.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="18" '
                   f'fill="{colour}"/>')
        out.append(f'<text x="{LEFT + BAR + 12}" y="{y + 17}" font-size="12" '
                   f'fill="#222222">{html.escape(text)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
