#!/usr/bin/env python3
"""Holds the verifier of this folder against the program, over ledgers tampered with in seeded ways.

Both must agree on verdict, position, code and offset. Where the program names a rule, that the statement is refused is all that it
knows more; the other verifier has to find nothing before.

usage: compare.py --program COUNTERSIGN --ledger LEDGER.jsonl [--cases N] [--at-least N] [--seconds N] [--seed N]

After --seconds no more cases are begun, once there were --at-least.
LEDGER is one of the example `replay_history`, whose keys are known to everyone. The golden files are verified too.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter

import verify as other
from checkpoints import root_of, strict_base64
from entries import outer_fault, read_line, statement_of
from forge import Case, Key, leaf_of
from keys import pae, verifies
from stories import genesis, kind, note, resigned, story, upgraded, weak
from tamper import UNSIGNED

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RULES_ONLY = ("rule:", "seen_missing", "signer_set")
AT_THE_END = ("empty_ledger", "note", "checkpoint_")


def unsigned(rng, lines):
    way = rng.choices([way for way, _ in UNSIGNED], [weight for _, weight in UNSIGNED])[0]
    try:
        return Case(way.__name__, way(rng, lines[: rng.choice((1, 3, 20, 40, 150))]))
    except UnicodeEncodeError:  # a lone surrogate has no bytes
        return unsigned(rng, lines)


def anchored(rng, lines, checkpoint):
    """The whole ledger with the checkpoint that its recorder signed, tampered with once."""
    way = rng.choices([way for way, _ in UNSIGNED], [weight for _, weight in UNSIGNED])[0]
    return Case("anchored", way(rng, lines), [checkpoint])


def ask_other(case):
    return other.verify(other.split(case.bytes), case.notes, case.pin, case.required)


def ask_program(program, case, folder, number):
    path = os.path.join(folder, f"{number}.jsonl")
    names = [path] + [f"{path}.{n}" for n in range(len(case.notes))]
    for name, data in zip(names, [case.bytes, *case.notes]):
        with open(name, "wb") as file:
            file.write(data)
    words = [program, "verify", "--json", path] + [word for name in names[1:] for word in ("--checkpoint", name)]
    words += ["--ledger-id", case.pin] if case.pin else []
    words += ["--require-checkpoint"] if case.required else []
    done = subprocess.run(words, capture_output=True, timeout=60)
    for name in names:
        os.remove(name)
    return json.loads(done.stdout) if done.stdout else {"usage": done.stderr.decode()}


def difference(mine, theirs):
    """Why two reports do not agree, or None."""
    if "usage" in theirs:
        return f"the program refuses to look: {theirs['usage']}"
    ours, fault = mine["fault"], theirs["fault"]
    place = ours and (ours["seq"], ours["code"])
    if fault and fault["code"].startswith(RULES_ONLY) and place != (fault["seq"], fault["code"]):
        late = ours is None or ours["seq"] > fault["seq"] or ours["code"].startswith(AT_THE_END)
        # Where the entry after it tells that an entry was changed, that one is at the same position.
        late = late or (ours["code"] == "prev" and ours["seq"] == fault["seq"])
        # The one code that rules share with the check of an envelope: a kind may ask for other cosigners than there are.
        return None if late else "another fault than the program's, and no later one"
    for name in ("seq", "line", "code"):
        if (ours or {}).get(name) != (fault or {}).get(name):
            return name
    for name in ("verdict", "entries", "size", "anchored", "rules"):
        if mine[name] != theirs[name]:
            return name
    if mine["verdict"] == "verified" and (mine["root"], mine["ledger"]) != (theirs["root"], theirs["ledger"]):
        return "root or ledger"
    return None


# The golden files, as section 14 of the document says


def golden():
    """What is wrong with the golden files, all of them by one key each: most of their statements no rules admit."""
    folder = os.path.join(ROOT, "tests", "golden")
    with open(os.path.join(folder, "entries.jsonl"), "rb") as file:
        lines = other.split(file.read())
    with open(os.path.join(folder, "pins.tsv"), encoding="utf-8") as file:
        pins = [row.rstrip("\n").split("\t") for row in file][1:]
    pins, clause = pins[: len(lines)], pins[-1]
    keys = {key.id: key.public for key in (Key(bytes([seed] * 32)) for seed in range(1, 13))}
    wrong, prev = [], "0" * 64
    for seq, (line, (_, kind, digest, leaf)) in enumerate(zip(lines, pins, strict=True)):
        entry = read_line(line)
        exact, fault = statement_of(line)
        signed = all(verifies(keys[part["keyid"]], strict_base64(part["sig"]), pae(exact)) for part in entry["signatures"])
        with open(os.path.join(folder, "events", kind + ".json"), "rb") as file:
            event = file.read()
        found = (hashlib.sha256(pae(exact)).hexdigest(), leaf_of(line).hex(), entry["seq"], entry["prev"], signed, event)
        if outer_fault(line) or fault or found != (digest, leaf, seq, prev, True, exact):
            wrong.append(kind)
        prev = leaf
    with open(os.path.join(folder, "entries.jsonl.checkpoint"), "rb") as file:
        text, origin, size, root, [(name, blob)] = other.read_note(file.read())
    signed = verifies(Key(bytes([3] * 32)).public, blob[4:], text)
    ledger_id = f"{json.loads(lines[0])['statement']['ledger']}/{pins[0][2]}"
    if (origin, name, size, root, signed) != (ledger_id, ledger_id, len(lines), root_of([leaf_of(line) for line in lines]), True):
        wrong.append("checkpoint")
    with open(os.path.join(folder, "clause.json"), "rb") as file:
        if hashlib.sha256(b"countersign/clause/v1\0" + file.read()).hexdigest() != clause[2]:
            wrong.append("clause")
    return wrong


def folders(lines):
    """What is wrong with reading a ledger from a directory of segments rather than from one file."""
    wrong, whole = [], other.verify(lines)
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "entries"))
        for start, end in ((0, 7), (7, 30), (30, len(lines)), (len(lines), len(lines))):
            with open(os.path.join(folder, "entries", f"{start:020}.jsonl"), "wb") as file:
                file.write(b"".join(line + b"\n" for line in lines[start:end]))
        if other.verify(other.lines_of(folder)) != whole:
            wrong.append("segments")
        entries = os.path.join(folder, "entries")
        for old, new, place, code in (
            (f"{7:020}.jsonl", f"{8:020}.jsonl", 7, "segment_name"),
            (f"{8:020}.jsonl", f"{7:020}.jsonl", None, None),
            (f"{len(lines):020}.jsonl", f"{7:020}x.jsonl", len(lines), "segment_name"),
            (f"{7:020}x.jsonl", f"{7:020}.jsonl", 7, "empty_segment"),
        ):
            os.replace(os.path.join(entries, old), os.path.join(entries, new))
            fault = other.verify(other.lines_of(folder))["fault"] or {}
            if (fault.get("seq"), fault.get("code")) != (place, code):
                wrong.append(f"{new}: {fault}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--at-least", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    started = time.monotonic()
    with open(asked.ledger, "rb") as file:
        lines = other.split(file.read())
    with open(asked.ledger + ".checkpoint", "rb") as file:
        checkpoint = file.read()

    wrong = [f"golden: {name}" for name in golden()] + [f"folder: {name}" for name in folders(lines[:60])]
    makers = [
        (10, lambda rng: unsigned(rng, lines)),
        (6, story),
        (4, genesis),
        (4, kind),
        (4, note),
        (4, upgraded),
        (3, lambda rng: resigned(rng, lines)),
        (1, weak),
    ]
    makers = [maker for weight, maker in makers for _ in range(weight)]
    labels, codes, late = Counter(), Counter(), 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:

        def judged(number, case):
            return number, case, pool.submit(ask_program, asked.program, case, folder, number)

        whole = [Case("whole", lines, [checkpoint], required=True)]
        whole += [anchored(random.Random(f"{asked.seed} whole {n}"), lines, checkpoint) for n in range(8)]
        waiting = [judged(f"whole {n}", case) for n, case in enumerate(whole)]
        number = 0
        while waiting:
            while len(waiting) < 8 and number < asked.cases:
                if number >= asked.at_least and time.monotonic() - started >= asked.seconds:
                    break
                case = makers[number % len(makers)](random.Random(f"{asked.seed} {number}"))
                waiting.append(judged(number, case))
                number += 1
            name, case, answer = waiting.pop(0)
            mine, theirs = ask_other(case), answer.result()
            why = difference(mine, theirs)
            fault = theirs.get("fault") or {}
            codes[fault.get("code") or theirs.get("verdict")] += 1
            labels[case.label] += 1
            late += fault.get("code", "").startswith(RULES_ONLY) and mine["fault"] is None
            if why:
                said = f"{mine['verdict']} {mine['fault']}; the program: {theirs.get('verdict')} {theirs.get('fault')}"
                wrong.append(f"{case.label} {name}: {why}: {said}")
    rows = sum(codes.values())
    print(f"{rows} ledgers in {time.monotonic() - started:.0f} s, seed {asked.seed}; {late} of them only rules can tell")
    print("  cases:", ", ".join(f"{name} {count}" for name, count in sorted(labels.items())))
    print("  verdicts:", ", ".join(f"{name} {count}" for name, count in sorted(codes.items())))
    if number < asked.at_least:
        wrong.append(f"{number} cases are fewer than {asked.at_least}")
    for line in wrong[:20]:
        print("DIFFERENT", line)
    if wrong:
        print(f"{len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
