#!/usr/bin/env python3
"""A second verifier of ledgers, that follows docs/format.md and docs/schema alone.

It checks what section 1 of that document lists, but for the rules: framing, limits, profile, canonical form, schemas, chain,
ledger id, serial, seen, signers, signatures, the life of keys, and checkpoints. It prints one JSON object with those members of
`countersign verify --json` that it can know; `verified` says that nothing of this is amiss.

usage: verify.py LEDGER [--ledger-id ID] [--checkpoint FILE]... [--require-checkpoint]

LEDGER is a file or a directory (section 10). Exit codes are those of `countersign`: 0 verified, 1 not, 2 usage. It needs
Python 3.11 and the package `cryptography`, whatever version Debian 12 or later has.
"""

import base64
import json
import os
import re
import sys

from canonical import Fault, need
from checkpoints import hold_checkpoint, read_note, root_of
from entries import outer_fault, read_line
from keys import sha
from ledger import RULES, Ledger

# Faults that are in no line, with those of checkpoints.
IN_NO_LINE = {"ledger_pin", "empty_ledger", "note"}


def lines_of(path):
    """Each line without its LF, or the fault that stands at its place; byte offsets are of a single file."""
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return split(file.read())
    folder, found = os.path.join(path, "entries"), []
    names = [name for name in sorted(os.listdir(folder)) if name.endswith(".jsonl")]
    segments = [name for name in names if re.fullmatch(r"[0-9]{20}\.jsonl", name)]
    for name in segments:
        place = os.path.join(folder, name)
        if os.path.islink(place):
            raise OSError(f"a symbolic link: {place}")
        if name != f"{len(found):020}.jsonl":
            return [*found, Fault("segment_name")]
        with open(place, "rb") as file:
            more = split(file.read())
        if not more and name != segments[-1]:
            return [*found, Fault("empty_segment")]
        found += more
        if found and isinstance(found[-1], Fault):
            return found
    return found if names == segments else [*found, Fault("segment_name")]


def split(data):
    *lines, rest = data.split(b"\n")
    return [*lines, Fault("torn_tail")] if rest else lines


def changed_entry(lines, seq):
    """Which of two entries was changed where `prev` of the second is wrong (section 7)."""
    if seq == 0 or seq + 1 >= len(lines) or isinstance(lines[seq + 1], Fault):
        return seq
    after = read_line(lines[seq + 1])
    legible = not isinstance(after, Fault) and not outer_fault(lines[seq + 1])
    return seq - 1 if legible and after["prev"] == sha(b"\0" + lines[seq]).hex() else seq


def verify(lines, checkpoints=(), pin=None, required=False):
    """The report on a ledger, as members of `countersign verify --json`."""
    ledger, seq, found, anchored = Ledger(pin), 0, None, 0
    try:
        for seq, line in enumerate(lines):
            if isinstance(line, Fault):
                raise line
            entry = ledger.place(line, seq)
            if seq == 0 or ledger.rules == RULES:
                ledger.judge(line, entry, seq)
            ledger.leaves.append(sha(b"\0" + line))
        seq = len(lines)
        need(lines, "empty_ledger")
    except Fault as fault:
        found, seq = fault, changed_entry(lines, seq) if fault.code == "prev" else seq
    good = seq
    del ledger.leaves[good:]
    ledger.judged = min(ledger.judged, good)
    for data in checkpoints:
        try:
            anchored = max(anchored, hold_checkpoint(data, ledger))
        except Fault as fault:
            if not found and fault.code in ("checkpoint_signature", "checkpoint_root"):
                seq = (read_note(data)[2] or good + 1) - 1
            found = found or fault
    if required and not anchored:
        found = found or Fault("checkpoint_missing")
    verdict = "failed" if found else "verified" if ledger.judged == good else "not_checkable"
    start = sum(len(line) + 1 for line in lines[:seq])
    fault = found and {"seq": seq, "line": seq + 1, "offset": start + (found.offset or 0), "code": found.code}
    if found and (found.code in IN_NO_LINE or found.code.startswith("checkpoint_")):
        del fault["line"], fault["offset"]
    root = base64.b64encode(root_of(ledger.leaves)).decode()
    report = {"verdict": verdict, "entries": ledger.judged, "size": good, "root": root, "ledger": ledger.id}
    return {**report, "anchored": anchored, "rules": ledger.rules, "fault": fault}


def main(arguments):
    path, pin, files, required = None, None, [], False
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--ledger-id" and rest:
            pin = rest.pop(0)
        elif word == "--checkpoint" and rest:
            files.append(rest.pop(0))
        elif word == "--require-checkpoint":
            required = True
        elif path is None and not word.startswith("-"):
            path = word
        else:
            path, rest = None, []
    if path is None:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        beside = os.path.join(path, "checkpoint") if os.path.isdir(path) else path + ".checkpoint"
        files = [beside] * os.path.exists(beside) + files
        notes = []
        for name in files:
            with open(name, "rb") as file:
                notes.append(file.read())
        result = verify(lines_of(path), notes, pin, required)
    except OSError as error:
        print(f"verify.py: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, separators=(",", ":")))
    return 0 if result["verdict"] == "verified" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
