"""Keys and signatures (docs/format.md, section 5), as strict as that section asks."""

import base64
import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAE_TYPE = b"application/vnd.countersign.statement.v1+json"

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
I = pow(2, (P - 1) // 4, P)
BASE_Y = 4 * pow(5, -1, P) % P


def decode_point(data):
    """The point (x, y) of 32 bytes in their one encoding, or None."""
    y, sign = int.from_bytes(data, "little") & (2**255 - 1), data[31] >> 7
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == P - u and u:
        x = x * I % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def times(point, n):
    """[n] of a point (x, y)."""
    x, y = point
    total, step = (0, 1, 1, 0), (x, y, 1, x * y % P)
    while n:
        if n & 1:
            total = add(total, step)
        step, n = add(step, step), n >> 1
    inverse = pow(total[2], -1, P)
    return total[0] * inverse % P, total[1] * inverse % P


def small_encodings():
    """The encodings of the eight points of small order: multiples of what [L] leaves of a point with torsion."""
    for y in range(3, P):
        point = decode_point(y.to_bytes(32, "little"))
        rest = point and times(point, L)
        if rest and times(rest, 4) != NEUTRAL:
            points = [times(rest, n) for n in range(8)]
            return {(y | (x & 1) << 255).to_bytes(32, "little") for x, y in points}


NEUTRAL = (0, 1)
SMALL = small_encodings()


@lru_cache(maxsize=1 << 12)
def is_accepted(key):
    point = decode_point(key)
    return point is not None and key not in SMALL and times(point, L) == NEUTRAL


@lru_cache(maxsize=1 << 16)
def verifies(key, signature, message):
    """Strictly. OpenSSL refuses S of L or more and compares R by the bytes of its one encoding, without the cofactor; small orders
    are up to us. A key that is not accepted makes no signature valid."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return is_accepted(key) and signature[:32] not in SMALL


def sha(data):
    return hashlib.sha256(data).digest()


def pae(statement):
    return b"DSSEv1 %d %s %d %s" % (len(PAE_TYPE), PAE_TYPE, len(statement), statement)


def key_bytes(text):
    return base64.b64decode(text, validate=True)


def key_id(key):
    return sha(key).hex()
