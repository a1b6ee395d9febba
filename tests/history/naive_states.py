#!/usr/bin/env python3
"""States and owners of a recorded access history, computed the slow and obvious way.

    naive_states.py [--check] [--changes FILE] [--out DIR] [DATE ...]

For every DATE (YYYY-MM-DD, meaning 23:59:59Z of that day, included) and for HEAD (everything) it writes
`state-<date>.tsv` (subject, role, resource) and `owners-<date>.tsv` (resource, direct approver): tab-separated, LF,
sorted bytewise, no header. With --check it writes nothing and exits 1 where a file differs or is missing.

This is the oracle for the replay, so it shares no code with anything: not with generate.py, not with the library.
It rescans the whole file for each date. It also refuses a history that contradicts itself, since a state computed
from one would prove nothing.
"""
import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
DATES = ["2020-06-30", "2021-06-30", "2022-06-30", "2023-06-30"]


def fold(lines, until):
    """The (subject, role, resource) and (resource, approver) sets after the last change at or before `until`."""
    held = {}
    owners = set()
    alive = set()
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        # Both are RFC 3339 instants in UTC of one width, so text order is time order.
        if until is not None and event["at"] > until:
            break
        op, resource, role, subject = event["op"], event["resource"], event["role"], event["subject"]

        def insist(condition, what):
            if not condition:
                sys.exit(f"line {number}: {op}: {what}")

        if op == "resource_created":
            insist(resource not in alive, "the resource exists")
            alive.add(resource)
            continue
        insist(resource in alive, "no such resource")
        pair = (subject, resource)
        if op == "resource_removed":
            insist(not any(r == resource for _, r in held), "grants are left on it")
            insist(not any(r == resource for r, _ in owners), "owners are left on it")
            alive.remove(resource)
        elif op == "owner_added":
            insist((resource, subject) not in owners, "already an owner")
            owners.add((resource, subject))
        elif op == "owner_removed":
            insist((resource, subject) in owners, "not an owner")
            owners.remove((resource, subject))
        elif op == "grant":
            insist(pair not in held, "already granted")
            held[pair] = role
        elif op == "revoke":
            insist(held.get(pair) == role, "not held in this role")
            del held[pair]
        elif op == "role_change":
            insist(pair in held and held[pair] != role, "not held, or in this role already")
            held[pair] = role
        else:
            insist(False, "unknown operation")
    return {(subject, role, resource) for (subject, resource), role in held.items()}, owners


def table(rows):
    return b"".join(sorted("\t".join(row).encode("ascii") + b"\n" for row in rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=pathlib.Path, default=HERE / "changes.jsonl")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("dates", nargs="*", metavar="DATE")
    args = parser.parse_args()

    lines = args.changes.read_text(encoding="ascii").splitlines()
    wrong = 0
    for date in (args.dates or DATES) + ["HEAD"]:
        grants, owners = fold(lines, None if date == "HEAD" else f"{date}T23:59:59Z")
        for name, rows in ((f"state-{date}.tsv", grants), (f"owners-{date}.tsv", owners)):
            path, data = args.out / name, table(rows)
            if not args.check:
                path.write_bytes(data)
            elif not path.is_file() or path.read_bytes() != data:
                print(f"{name}: differs from what {args.changes} gives", file=sys.stderr)
                wrong += 1
            else:
                print(f"{name}: equal, {len(rows)} rows")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
