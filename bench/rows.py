"""What the benches beside another system share: their options, the rows of earlier runs, the pages,
and how a run ends."""
import argparse
import json
import pathlib
import sys

import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build/bench"
DOCS = ROOT / "docs/benchmarks"


def options(name, description, only="ROW", only_help=None):
    """The parser of `./dev bench NAME`; --only may be given several times."""
    parser = argparse.ArgumentParser(prog=f"./dev bench {name}", description=description)
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--short", action="store_true", help="only to see that each row works")
    parser.add_argument("--only", action="append", metavar=only, help=only_help)
    parser.add_argument("--report", action="store_true",
                        help="measure nothing, write the pages of what there is")
    return parser


class Rows:
    """The rows of a bench, in the order of `specs`. Where only some are asked for, the others are
    those of the runs before."""

    def __init__(self, name, specs, args):
        self.name, self.specs, self.args = name, specs, args
        OUT.mkdir(parents=True, exist_ok=True)
        self.place = OUT / (f"{name}.short.json" if args.short else f"{name}.json")
        kept = (args.only or args.report) and self.place.exists()
        self.old = json.loads(self.place.read_text()) if kept else []

    def save(self, rows):
        """Also in the midst of a run; all rows that there are now."""
        merged = {row["name"]: row for row in [*self.old, *rows]}
        ordered = [merged[spec.name] for spec in self.specs if spec.name in merged]
        self.place.write_text(json.dumps(ordered, indent=2) + "\n")
        return ordered

    def finish(self, rows, failed, behind, before=lambda rows: ""):
        """Prints, and writes the pages: `behind` and `before` say, of all rows, what stands around
        the results. The exit status."""
        rows = self.save(rows)
        print(report.table(rows), end="")
        measured = {row["name"] for row in rows}
        lacking = [spec.name for spec in self.specs if spec.name not in measured]
        if lacking:
            print(f"not measured: {' '.join(lacking)}")
        if self.args.short:
            print(f"short runs, which say nothing about speed: {self.place.relative_to(ROOT)}")
        elif not lacking or self.args.report:
            self.write_pages(rows, lacking, behind, before)
        for text in failed:
            print(f"{self.name}_bench.py: {text}", file=sys.stderr)
        missed = any(row["met"] is False for row in rows)
        incomplete = lacking and not self.args.only
        return 1 if failed or incomplete or (self.args.check and missed) else 0

    def write_pages(self, rows, lacking, behind, before):
        DOCS.mkdir(parents=True, exist_ok=True)
        page = (DOCS / f"{self.name}.intro.md").read_text() + before(rows) + "\n## Results\n\n"
        if rows:
            page += report.markdown(rows) + behind(rows)
        if lacking:
            page += f"\nNot measured yet: {', '.join(f'`{name}`' for name in lacking)}.\n"
        (DOCS / f"{self.name}.md").write_text(page)
        (DOCS / f"{self.name}.svg").write_text(report.svg(rows))
