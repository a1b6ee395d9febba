"""Tampering without a key: with bytes, with lines, and with members. Each takes a generator and lines, and gives lines or bytes."""

import copy
import json

from canonical import canonical
from entries import MAX_LINE, MAX_STATEMENT
from forge import chained, spell


def flip(rng, lines):
    data = bytearray(b"".join(line + b"\n" for line in lines))
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)
    return bytes(data)


def splice(rng, lines):
    """Puts a telling piece somewhere in a line, in place of some bytes."""
    pieces = [
        b"", b"\n", b"\r\n", b" ", b"\t", b"\0", b"\x7f", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xae",
        b"\\u0000", b"\\u202e", b"\\ud800", b"\\ud83d\\ude00", b"\\u0061", b"\\/", b"\\u000A", b"\\x", b'"', b"\\", b"{", b"}", b"[", b"]",
        b",", b":", b"null", b"true", b"-", b"0", b"00", b".0", b"e1", b"E+2", b"-0", b"9007199254740991", b"9007199254740992",
        b'"v":1,', b'{"v":1}', "é".encode(), "\u200d".encode(),
    ]  # fmt: skip
    place = rng.randrange(len(lines))
    line = lines[place]
    at = rng.randrange(len(line) + 1)
    if rng.random() < 0.5:  # where it is most likely to matter: beside a token
        at = rng.choice([i for i, byte in enumerate(line) if byte in b'{}[],:"'])
        at += rng.randrange(2)
    return [*lines[:place], line[:at] + rng.choice(pieces) + line[at + rng.choice((0, 0, 1, 2)) :], *lines[place + 1 :]]


def cut(rng, lines):
    data = b"".join(line + b"\n" for line in lines)
    return data[: rng.randrange(len(data))]


def drop(rng, lines):
    place = rng.randrange(len(lines))
    return lines[:place] + lines[place + 1 :]


def swap(rng, lines):
    lines = list(lines)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def twice(rng, lines):
    place = rng.randrange(len(lines))
    return [*lines[: place + 1], lines[place], *lines[place + 1 :]]


def blank(rng, lines):
    place = rng.randrange(len(lines) + 1)
    return [*lines[:place], rng.choice((b"", b" ", b"{}", b"[]", b"null", b"7", b'""', b"-1")), *lines[place:]]


def stretched(rng, lines):
    """A line about as long as a line may be, or a statement about as long as a statement may be."""
    place = rng.randrange(len(lines))
    entry = json.loads(lines[place])
    limit, inner = rng.choice(((MAX_LINE, entry), (MAX_STATEMENT, entry["statement"])))
    size = len(canonical(inner))
    entry["statement"]["event"]["x"] = "x" * (limit - size - 7 + rng.randrange(-1, 3))
    return [*lines[:place], spell(entry), *lines[place + 1 :]]


def deep(rng, lines):
    place = rng.randrange(len(lines))
    entry = json.loads(lines[place])
    depth = rng.randrange(26, 34)
    inner = json.loads("[" * depth + "]" * depth) if rng.random() < 0.5 else json.loads('{"a":' * depth + "1" + "}" * depth)
    rng.choice((entry, entry["statement"], entry["statement"]["event"]))["x"] = inner
    return [*lines[:place], spell(entry), *lines[place + 1 :]]


VALUES = [
    0, 1, 2, -1, 3, 1023, 1024, 1025, 2**53 - 1, True, False, "", "x", "1", "user:alice", "person:alice", "service:ci/../x", "db:a/./b", "*",
    "spiffe://acme/w", "spiffe://acme/..", "scope:root/*", "user:", "custom", "access.approved", "ledger.opened", "low", "governor", "0" * 64, "F" * 64,
    "f" * 63, "2020-01-06T09:00:00.000Z", "2019-02-29T09:00:00.000Z", "2020-02-29T23:59:60.000Z", "1969-12-31T23:59:59.999Z", "2020-01-06T24:00:00.000Z",
    "2020-01-06t09:00:00.000z", "9999-12-31T23:59:59.999Z", "A" * 43 + "=", "A" * 42 + "B=", "A" * 86 + "==", "A" * 85 + "B==", "a\n", "\u202e", "\0", "é",
    "x" * 129, [], {}, [1], ["user:alice", "user:alice"], ["b", "a"], ["user:a", "user:b"], {"text": ""}, {"text": "x"}, {"text": "\0"},
    {"commitment": "0" * 64, "length": 1}, {"commitment": "0" * 64, "length": -1}, {"seconds": 0}, {"seconds": 60}, {"class": "standing"}, {"class": "X"},
    {"on": "*"}, {"on": "scope:root/*", "except": []}, {"leaf": "0" * 64, "size": 0}, {"capacity": "auditor"}, {"all": []},
    {"at_least": 3, "of": [{"capacity": "risk_owner"}]}, {"stages": [{"any": [{"all": [{"any": [{"capacity": "risk_owner"}]}]}]}]},
]  # fmt: skip


def places(value, found=None):
    """Every object and array in a value."""
    found = [] if found is None else found
    if isinstance(value, (dict, list)):
        found.append(value)
        for inner in value.values() if isinstance(value, dict) else value:
            places(inner, found)
    return found


def edit(rng, value):
    """Changes one member or item somewhere in a value, in place."""
    holder = rng.choice([place for place in places(value) if place])
    key = rng.choice(sorted(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    way = rng.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[rng.choice(("a", "x", "zz", "key", "type", "text", "from", "until", "seen", "cosigners", "reason"))] = copy.deepcopy(rng.choice(VALUES))
    elif way == 1:
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
    elif way == 2 and isinstance(holder[key], str) and holder[key]:
        text, at = holder[key], rng.randrange(len(holder[key]))
        holder[key] = text[:at] + rng.choice(("", "a", "A", "0", "/", "/.", " ", "\n", "_", "é", "=")) + text[at + rng.randrange(2) :]
    elif way == 2 and isinstance(holder[key], int):
        number = int(holder[key])
        holder[key] = rng.choice((number - 1, number + 1, number - 1024, number + 1024, number + 2**52, -1, -1))
    elif way == 3 and isinstance(holder[key], list) and len(holder[key]) > 1:
        rng.shuffle(holder[key])
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))


def member(rng, lines):
    place = rng.randrange(len(lines))
    entry = json.loads(lines[place])
    edit(rng, rng.choice((entry, entry["statement"], entry["statement"]["event"])))
    return [*lines[:place], spell(entry), *lines[place + 1 :]]


def rechained(rng, lines):
    """Edits or drops an entry and chains all that follow anew: what whoever holds the file can do without a key."""
    place = rng.randrange(len(lines))
    entry = json.loads(lines[place])
    kept = list(lines)
    way = rng.randrange(4)
    if way == 0:
        del kept[place]
    elif way == 1 and place + 1 < len(lines):
        kept[place], kept[place + 1] = kept[place + 1], kept[place]
    elif way == 2:
        kept.insert(rng.randrange(place, len(lines)), kept[place])
    else:
        edit(rng, entry)
        kept[place] = spell(entry)
    return chained(kept)


UNSIGNED = [(flip, 4), (splice, 6), (cut, 1), (drop, 1), (swap, 1), (twice, 1), (blank, 1), (stretched, 1), (deep, 1), (member, 10), (rechained, 5)]
