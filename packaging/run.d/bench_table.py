#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Print benchmark results: one JSON object a line in; a table, the same lines, or a table in Markdown out.

usage: bench_table.py FILE NAME no|yes|markdown"""
import json
import sys


def short(value):
    if isinstance(value, (int, float)):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "" if value is None else str(value)


def main():
    path, only, form = sys.argv[1:4]
    rows = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if not line.lstrip().startswith("{"):
                continue
            row = json.loads(line)
            if row["name"].startswith(only):
                rows.append(row)
    if not rows:
        print(f"run: no benchmark's name starts with '{only}', and tests/bench has no such folder" if only else "run: there are no benchmarks yet", file=sys.stderr)
        return 1
    if form == "yes":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return 0
    table = [("name", "value", "unit", "peer", "peer value", "ratio", "runs")]
    for row in rows:
        table.append(tuple(short(row.get(k)) for k in ("name", "value", "unit", "peer", "peer_value", "ratio", "runs")))
    if form == "markdown":
        for n, line in enumerate(table):
            print("| " + " | ".join(line) + " |" + ("\n|" + "---|" * len(line) if n == 0 else ""))
        return 0
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for n, line in enumerate(table):
        cells = [c.rjust(w) if i in (1, 4, 5, 6) else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())
        if n == 0:
            print("  ".join("-" * w for w in widths))
    return 0


sys.exit(main())
