"""Merkle roots and checkpoints (docs/format.md, sections 8 and 9)."""

import base64
import re

from canonical import Fault, need
from keys import sha, verifies

MAX_NOTE, MAX_NOTE_LINES = 1_000_000, 100


def root_of(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root_of(leaves[:k]) + root_of(leaves[k:]))


def strict_base64(text):
    """The bytes of a text in strict base64, or None."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def read_note(data):
    """The signed text of a checkpoint, its three lines, and its signature lines as (key name, key id and signature)."""
    need(len(data) <= MAX_NOTE, "note")
    try:
        note = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("note") from None
    need(not re.search("[\0-\x09\x0b-\x1f]", note) and "\n\n" in note and note.endswith("\n"), "note")
    text, _, tail = note.rpartition("\n\n")
    signatures = []
    for line in tail[:-1].split("\n"):
        match = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
        need(match, "note")
        blob = strict_base64(match.group(2))
        need(blob is not None and len(blob) >= 5, "note")
        signatures.append((match.group(1), blob))
    need(len(signatures) <= MAX_NOTE_LINES, "note")
    lines = text.split("\n")
    need(len(lines) == 3 and lines[0] and re.fullmatch("0|[1-9][0-9]*", lines[1]), "note")
    root = strict_base64(lines[2])
    need(root is not None and len(root) == 32 and int(lines[1]) < 2**63, "note")
    need(int(lines[1]) or root == root_of([]), "note")
    return (text + "\n").encode(), lines[0], int(lines[1]), root, signatures


def hold_checkpoint(data, ledger):
    """Holds a checkpoint against a ledger; the size that it anchors, or 0 where its signer is beyond what was judged."""
    text, origin, size, root, signatures = read_note(data)
    need(origin == ledger.id, "checkpoint_origin")
    need(size <= len(ledger.leaves), "checkpoint_ahead")
    judged = size <= ledger.judged
    good = not judged
    for key in ledger.recorders[max(size, 1) - 1] if judged else ():
        kid = sha(ledger.id.encode() + b"\n\1" + key)[:4]
        for name, blob in signatures:
            if name == ledger.id and blob[:4] == kid:
                need(verifies(key, blob[4:], text), "checkpoint_signature")
                good = True
    need(good, "checkpoint_signature")
    need(root == root_of(ledger.leaves[:size]), "checkpoint_root")
    return size if judged else 0
