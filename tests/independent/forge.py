"""What the cases are made with: keys known to everyone, signing, spelling and chaining anew."""

import base64
import hashlib
import json

from canonical import canonical
from checkpoints import root_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from keys import L, pae


class Key:
    def __init__(self, seed):
        self.seed = seed
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(self.public).hexdigest()
        self.text = base64.b64encode(self.public).decode()

    def small_r_signature(self, message):
        """Holds in the equation, with the neutral point as R: what strict verification refuses and most libraries accept."""
        hashed = hashlib.sha512(self.seed).digest()
        scalar = (int.from_bytes(hashed[:32], "little") & ((1 << 254) - 8)) | 1 << 254
        r = (1).to_bytes(32, "little")
        k = int.from_bytes(hashlib.sha512(r + self.public + message).digest(), "little")
        return base64.b64encode(r + (k * scalar % L).to_bytes(32, "little")).decode()

    def signature(self, message):
        return base64.b64encode(self.private.sign(message)).decode()


def key_of(name):
    return Key(hashlib.sha256(b"countersign replay key, known to everyone\0" + name.encode()).digest())


def digest_of(statement):
    return hashlib.sha256(pae(canonical(statement).encode())).hexdigest()


def sign(entry, keys):
    message = pae(canonical(entry["statement"]).encode())
    parts = [{"keyid": key.id, "sig": key.signature(message)} for key in keys]
    entry["signatures"] = sorted(parts, key=lambda part: part["keyid"])


def spell(entry):
    return canonical(entry).encode()


def leaf_of(line):
    return hashlib.sha256(b"\0" + line).digest()


def chained(lines, start=0):
    done = list(lines[:start])
    for seq in range(start, len(lines)):
        entry = json.loads(lines[seq])
        if isinstance(entry, dict):
            entry["seq"] = seq
            entry["prev"] = leaf_of(done[-1]).hex() if done else "0" * 64
        done.append(spell(entry))
    return done


def checkpoint(ledger_id, lines, size, keys, root=None):
    root = root or root_of([leaf_of(line) for line in lines[:size]])
    text = f"{ledger_id}\n{size}\n{base64.b64encode(root).decode()}\n"
    blobs = []
    for key in keys:
        kid = hashlib.sha256(ledger_id.encode() + b"\n\1" + key.public).digest()[:4]
        blobs.append(f"\u2014 {ledger_id} {base64.b64encode(kid + key.private.sign(text.encode())).decode()}\n")
    return (text + "\n" + "".join(blobs)).encode()


class Case:
    """A ledger as bytes, with what a verifier is told beside it."""

    def __init__(self, label, ledger, notes=(), pin=None, required=False):
        self.label, self.notes, self.pin, self.required = label, list(notes), pin, required
        self.bytes = ledger if isinstance(ledger, bytes) else b"".join(line + b"\n" for line in ledger)
