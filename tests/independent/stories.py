"""Ledgers made anew, signed as they should be or nearly so: the life of keys, genesis, upgrades, weak keys, checkpoints."""

import base64
import hashlib
import json
import os
import re
import time

from canonical import Fault, canonical
from forge import Case, chained, checkpoint, digest_of, key_of, leaf_of, sign, spell
from keys import NEUTRAL, L, P, decode_point, pae, times
from ledger import Ledger, holders
from tamper import blank, cut, deep, drop, edit, flip, member, places, rechained, splice, stretched, swap


GOLDEN_EVENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "events")


class Desk:
    """Writes entries, each signed by whom it should be, and follows who holds which key."""

    def __init__(self, rng):
        self.rng, self.lines, self.ledger, self.time, self.made = rng, [], Ledger(), 1_700_000_000_000, {}
        self.is_over, self.departed = False, set()
        seats = [("user:gail", "user:greg", "user:gwen"), ("user:rea", "user:rudi")]
        charter = {
            "governors": [self.holder(name) for name in seats[0]],
            "quorum": 2,
            "recorder": self.recorder("service:recorder"),
            "recovery": {"delay_seconds": 3600, "keys": [self.holder(name) for name in seats[1]], "quorum": 2},
        }
        genesis = {**charter, "name": "story", "rules": 1, "suite": "ed25519-strict+sha256+jcs-int", "type": "ledger.opened"}
        names = [name for name, _ in holders(charter)]
        self.state(genesis, names[0], sorted(names[1:]), ledger="story")

    def new_key(self, name):
        key = key_of(f"{name} {len(self.made)}")
        self.made[key.id] = key
        return key

    def holder(self, name, key=None):
        return {"key": (key or self.new_key(name)).text, "person": "person:" + name.partition(":")[2], "principal": name}

    def recorder(self, name, key=None):
        return {"controllers": ["person:otto"], "key": (key or self.new_key(name)).text, "principal": name}

    def live(self, name):
        return [self.made[kid] for kid, key in self.ledger.keys.items() if key.owner == name and not key.ended]

    def any_key(self):
        return self.rng.choice(list(self.made.values()))

    def state(self, event, author, cosigners=(), spoil=None, **members):
        seq = len(self.lines)
        texts = re.findall('"key":"([^"]+)"', json.dumps(event, separators=(",", ":")))
        named = {key.id: key for key in self.made.values() if key.text in texts}
        new = {kid: key for kid, key in named.items() if kid not in self.ledger.keys}
        signers = {} if seq == 0 else {name: self.rng.choice(self.live(name) or [self.any_key()]) for name in (author, *cosigners)}
        key = signers[author] if seq else next(self.made[k] for k in new if self.made[k].text == event["governors"][0]["key"])
        serials = self.ledger.serials.get(key.id, {4999})  # the first may be any
        statement = {
            "author": author, "event": event, "issued_at": stamp(self.time), "key": key.id, "ledger": self.ledger.id or "story",
            "serial": max(serials) + 1, "v": 1, **members,
        }  # fmt: skip
        if cosigners:
            statement["cosigners"] = sorted(cosigners)
        if seq:
            size = self.rng.randrange(1, seq + 1)
            statement["seen"] = {"leaf": leaf_of(self.lines[size - 1]).hex(), "size": size}
        prev = leaf_of(self.lines[-1]).hex() if seq else "0" * 64
        entry = {"prev": prev, "recorded_at": stamp(self.time), "seq": seq, "signatures": [], "statement": statement, "v": 1}
        keys = {**new, **{key.id: key for key in signers.values()}}
        if spoil:
            spoil(self, entry, keys)
        sign(entry, keys.values())
        if spoil and self.rng.random() < 0.4:
            spoil_signatures(self, entry)
        self.append(spell(entry))

    def append(self, line):
        seq = len(self.lines)
        self.lines.append(line)
        try:
            self.ledger.judge(line, self.ledger.place(line, seq), seq)
            self.ledger.leaves.append(leaf_of(line))
        except Fault:
            self.is_over = True


def stamp(millis):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000)) + f".{millis % 1000:03}Z"


def spoil_statement(desk, entry, keys):
    """Makes something about an envelope doubtful, before it is signed."""
    rng, statement = desk.rng, entry["statement"]
    serials = desk.ledger.serials.get(statement["key"], {4999})
    way = rng.randrange(10)
    if way in (0, 9):
        statement["serial"] = max(0, max(serials) + rng.choice((0, -1, -1023, -1023, -1024, -1024, -1025, 1, 5000)))
    elif way == 1 and "seen" in statement:
        size = rng.choice((0, 1, entry["seq"], entry["seq"] + 1, 2**53 - 1))
        leaf = leaf_of(desk.lines[min(size, len(desk.lines)) - 1]).hex()
        statement["seen"] = {"leaf": rng.choice((leaf, leaf, "0" * 64)), "size": size}
    elif way == 2:
        statement["ledger"] = rng.choice(("story", "story/" + "0" * 64, desk.ledger.id or "x"))
    elif way == 3:
        statement["key"] = desk.any_key().id
    elif way == 4:
        names = sorted({*statement.get("cosigners", []), rng.choice((statement["author"], "user:greg", "user:nobody"))})
        statement["cosigners"] = names
    elif way == 5:
        key = desk.any_key()
        keys[key.id] = key
    elif way == 6 and keys:
        del keys[rng.choice(sorted(keys))]
    elif way == 7:
        statement["author"] = rng.choice(sorted({key.owner for key in desk.ledger.keys.values()} | {"user:nobody"}))
    else:
        edit(rng, statement)


def spoil_signatures(desk, entry):
    rng, parts = desk.rng, entry["signatures"]
    way = rng.randrange(8)
    if way == 0:
        rng.shuffle(parts)
    elif way == 1:
        entry["signatures"] = []
    elif way == 2 and parts:
        parts.append(parts[-1])
    elif way == 3:
        entry["signatures"] = [{"keyid": f"{n:064x}", "sig": "A" * 86 + "=="} for n in range(rng.choice((63, 64, 65)))]
    elif way == 4 and parts:
        del parts[rng.randrange(len(parts))]
    elif way == 5 and parts:  # S + L: the same equation, another spelling
        part = rng.choice(parts)
        raw = base64.b64decode(part["sig"])
        scalar = int.from_bytes(raw[32:], "little") + L
        part["sig"] = base64.b64encode(raw[:32] + scalar.to_bytes(32, "little")).decode()
    elif way == 6 and parts:
        part = rng.choice(parts)
        message = pae(canonical(entry["statement"]).encode())
        if part["keyid"] in desk.made:
            part["sig"] = desk.made[part["keyid"]].small_r_signature(message)
    elif parts:
        part = rng.choice(parts)
        raw = bytearray(base64.b64decode(part["sig"]))
        raw[rng.randrange(64)] ^= 1 << rng.randrange(8)
        part["sig"] = base64.b64encode(bytes(raw)).decode()


def charter_anew(desk):
    """Another charter: a key or a governor replaced, now and then one that can not be."""
    rng, charter = desk.rng, json.loads(json.dumps({k: desk.ledger.charter[k] for k in ("governors", "quorum", "recorder", "recovery")}))
    way = rng.randrange(8)
    if way == 0:
        charter["recorder"]["key"] = desk.new_key("r").text
    elif way == 1:
        place = rng.randrange(3)
        charter["governors"][place]["key"] = desk.new_key("g").text
    elif way == 2:
        charter["governors"][rng.randrange(3)] = desk.holder(f"user:g{len(desk.made)}")
    elif way == 3:
        charter["recorder"] = desk.recorder(f"service:r{len(desk.made)}")
    elif way == 4:
        charter["recovery"]["keys"][rng.randrange(2)]["key"] = desk.new_key("k").text
    elif way == 5 and rng.random() < 0.2:
        charter["governors"][rng.randrange(3)]["key"] = desk.any_key().text
    elif way == 6:
        registered = [key.owner for key in desk.ledger.keys.values() if key.owner.startswith("user:p") and not key.ended]
        if registered:
            name = rng.choice(registered)
            charter["governors"][rng.randrange(3)] = desk.holder(name, desk.live(name)[0])
    charter["governors"].sort(key=lambda holder: holder["principal"])
    return charter


def step(desk, spoil=None):
    """One more entry of a story."""
    rng, governors = desk.rng, [holder["principal"] for holder in desk.ledger.charter["governors"]]
    author, second = rng.sample(governors, 2)
    reason = {"text": "A story."}
    seated = {name for name, _ in holders(desk.ledger.charter)}
    people = sorted({key.owner for key in desk.ledger.keys.values() if key.owner.startswith("user:p")} - seated - desk.departed)
    desk.time += rng.choice((0, 1000, 60_000, 60_000, 1_800_000, 4_000_000))
    way = rng.choice(("new", "new", "further", "retired", "compromised", "departed", "loss", "amended", "proposed", "vetoed", "plain", "plain"))
    person = rng.choice(people) if people else None
    both = (author, [second], spoil)
    if way == "new" or not person:
        name = f"user:p{len(desk.lines)}"
        desk.state({"kind": "human", "person": name.replace("user", "person"), "principal": name, "type": "principal.registered"}, author, [second])
        desk.state({"enrolment": "first", "key": desk.new_key(name).text, "principal": name, "type": "key.enrolled"}, *both)
    elif way == "further" and desk.live(person):
        key = desk.new_key(person) if rng.random() < 0.9 else desk.any_key()
        desk.state({"enrolment": "further", "key": key.text, "principal": person, "type": "key.enrolled"}, person, (), spoil)
    elif way == "loss" and not desk.live(person):
        desk.state({"enrolment": "after_loss", "key": desk.new_key(person).text, "principal": person, "type": "key.enrolled"}, *both)
    elif way in ("retired", "compromised") and desk.live(person):
        key = rng.choice(desk.live(person))
        event = {"key": key.text, "principal": person, "reason": reason, "type": "key." + way}
        since = desk.ledger.keys[key.id].admitted + 1
        if way == "compromised" and since < len(desk.lines):
            desk.state({**event, "from": rng.randrange(since, len(desk.lines))}, *both)
        else:
            desk.state(event, rng.choice((author, person)), (), spoil)
    elif way == "departed":
        desk.departed.add(person)
        desk.state({"principal": person, "reason": reason, "type": "principal.departed"}, author, (), spoil)
    elif way == "amended":
        desk.state({"charter": charter_anew(desk), "reason": reason, "type": "charter.amended"}, *both)
    elif way == "proposed" and not desk.ledger.pending:
        names = [holder["principal"] for holder in desk.ledger.charter["recovery"]["keys"]]
        desk.state({"amendment": charter_anew(desk), "reason": reason, "type": "recovery.proposed"}, names[0], names[1:], spoil)
    elif way == "vetoed" and desk.ledger.pending and rng.random() < 0.3:
        desk.state({"proposal": desk.ledger.pending[1], "reason": reason, "type": "recovery.vetoed"}, *both)
    else:
        desk.state({"resource": f"db:acme/{len(desk.lines)}", "tier": "low", "type": "resource.registered"}, *both)


def story(rng):
    """Lines, checkpoints and a pin."""
    desk = Desk(rng)
    ends = rng.randrange(1, 25)
    while len(desk.lines) < ends and not desk.is_over:
        step(desk)
    if not desk.is_over and rng.random() < 0.7:
        step(desk, spoil_statement)
    notes = []
    if rng.random() < 0.6 and desk.ledger.recorders:
        size = rng.randrange(0, len(desk.lines) + 1)
        named = {key for keys in desk.ledger.recorders[max(0, size - 2) : size + 1] for key in keys}
        keys = [key for key in desk.made.values() if key.public in named]
        notes.append(checkpoint(desk.ledger.id, desk.lines, size, rng.sample(keys, rng.randrange(len(keys) + 1) or len(keys))))
    return Case("story", desk.lines, notes, required=rng.random() < 0.1)


def genesis(rng):
    """A genesis that is changed and then signed by all whom it names."""
    desk = Desk(rng)
    entry = json.loads(desk.lines[0])
    event, keys = entry["statement"]["event"], dict(desk.made)
    way = rng.randrange(12)
    if way == 0:
        event["rules"] = rng.choice((0, 1, 2, 2**53 - 1))
    elif way == 1:
        entry["statement"]["ledger"] = rng.choice(("story", "story/" + "0" * 64, "other"))
    elif way == 2:
        entry["statement"]["seen"] = {"leaf": "0" * 64, "size": rng.choice((0, 1))}
    elif way == 3:
        entry["statement"]["author"] = rng.choice(("user:gail", "user:greg", "user:nobody"))
    elif way == 4:
        entry["statement"]["cosigners"].pop(rng.randrange(len(entry["statement"]["cosigners"])))
    elif way == 5:
        event["quorum"] = rng.choice((0, 3, 4))
    elif way == 6:
        event["recorder"]["key"] = rng.choice((event["governors"][0]["key"], weak_key(rng)))
    elif way == 7:
        event["governors"] = rng.choice(([], event["governors"][1:], event["governors"][:1]))
    elif way == 8:
        entry[rng.choice(("prev", "seq", "recorded_at"))] = rng.choice((1, "1" * 64, "2020-01-06T09:00:00.000Z"))
    else:
        edit(rng, rng.choice((entry["statement"], event)))
    if way < 9 and rng.random() < 0.2:
        spoil_statement(desk, entry, keys)
    try:
        sign(entry, keys.values())
    except UnicodeEncodeError:
        return genesis(rng)
    if rng.random() < 0.2:
        spoil_signatures(desk, entry)
    line = spell(entry)
    found = f"story/{digest_of(entry['statement'])}"
    notes = [checkpoint(found, [line], rng.randrange(3), [rng.choice(list(keys.values()))])] if rng.random() < 0.3 else []
    return Case("genesis", [line], notes, pin=rng.choice((None, None, found, "story/" + "0" * 64)), required=rng.random() < 0.2)


def kind(rng):
    """A golden event of any kind, edited and then signed: rules refuse most, but its form is read before."""
    desk = Desk(rng)
    names = sorted(os.listdir(GOLDEN_EVENTS))
    telling = ("policy.published.json", "policy.published.json", "custom.json", "capacity.assigned.json")
    name = rng.choice(telling if rng.random() < 0.5 else names)
    with open(os.path.join(GOLDEN_EVENTS, name), encoding="utf-8") as file:
        event = json.load(file)["event"]
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        edit(rng, event)
    if name == "custom.json" and rng.random() < 0.5 and isinstance(event.get("data"), dict):
        depth = rng.choice((1, 26, 27, 28, 29, 30))
        event["data"]["x"] = json.loads("[" * depth + rng.choice(("-7", "{}", '"\\u0001"', "true", "-9007199254740991")) + "]" * depth)
    if name == "policy.published.json" and rng.random() < 0.5 and isinstance(event.get("document"), dict):
        rule = {"distinct_persons": True, "name": "n", "path": path(rng, rng.choice((2, 3, 4, 5, 5)))}
        event["document"] = {"paths": [rule]}
    moments = [(place, key) for place in places(event) for key in place if isinstance(place, dict) and key in ("from", "until", "expires")]
    if moments and rng.random() < 0.5:
        place, key = rng.choice(moments)
        days = ("2026-02-28", "2026-02-29", "2028-02-29", "2000-02-29", "2100-02-29", "2026-04-31", "2026-12-31", "2026-00-10", "2026-13-01")
        place[key] = rng.choice(days) + rng.choice(("T00:00:00.000Z", "T23:59:59.999Z", "T23:59:60.000Z", "T24:00:00.000Z"))
    try:
        desk.state(event, "user:gail", ["user:greg"])
    except UnicodeEncodeError:
        return kind(rng)
    return Case("kind", desk.lines)


def path(rng, depth):
    """An approval path about as deep, as wide and as demanding as one may be."""
    if depth == 1 or rng.random() < 0.05:
        names = ("business_owner", "application_owner", "platform_owner", "operations_owner", "control_owner", "risk_owner")
        return {"capacity": rng.choice(names) if rng.random() < 0.98 else rng.choice(("auditor", "governor", "owner"))}
    parts = [path(rng, depth - 1)] + [path(rng, 1) for _ in range(rng.choice((0, 1, 2, 3, 10, 11, 12) if depth == 2 else (0, 1)))]
    rng.shuffle(parts)
    shape = rng.choice(("all", "any", "stages", "of", "of"))
    return {shape: parts} if shape != "of" else {"at_least": rng.choice((1, len(parts)) if rng.random() < 0.9 else (len(parts) + 1, 0, -1)), "of": parts}


def weak_key(rng):
    """32 bytes that no reader accepts as a key, though most of them can be decoded."""
    torsion = rng.randbytes(32)
    while decode_point(torsion) is None or times(decode_point(torsion), L) == NEUTRAL:
        torsion = rng.randbytes(32)
    choices = (
        torsion,  # seven of eight points have it
        bytes(32),  # order 4
        (1).to_bytes(32, "little"),  # the neutral point
        (1 | 1 << 255).to_bytes(32, "little"),  # the same, with a sign
        (P + 1).to_bytes(32, "little"),  # the same, not reduced
        (P - 1).to_bytes(32, "little"),  # order 2
        (2).to_bytes(32, "little"),  # not on the curve
        (P + 3).to_bytes(32, "little"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),  # order 8
    )
    return base64.b64encode(rng.choice(choices)).decode()


def weak(rng):
    """Enrols a key that is none, with whatever in place of its proof."""
    desk = Desk(rng)
    step(desk)
    event = {"enrolment": "further", "key": weak_key(rng), "principal": "user:p1", "type": "key.enrolled"}
    desk.state(event, "user:p1")
    entry = json.loads(desk.lines.pop())
    kid = hashlib.sha256(base64.b64decode(event["key"])).hexdigest()
    entry["signatures"].append({"keyid": kid, "sig": base64.b64encode(rng.randbytes(63) + b"\0").decode()})
    if rng.random() < 0.3:
        entry["signatures"][0]["sig"] = base64.b64encode(rng.randbytes(63) + b"\0").decode()
    entry["signatures"].sort(key=lambda part: part["keyid"])
    return Case("weak", [*desk.lines, spell(entry)])


def upgraded(rng):
    """A ledger that goes on under other rules, tampered with before or after."""
    desk = Desk(rng)
    step(desk)
    rules = rng.choice((0, 1, 2, 2, 2, 2, 3, 2**53 - 1))
    desk.state({"reason": {"text": "A story."}, "rules": rules, "type": "ledger.upgraded"}, "user:gail", ["user:greg"])
    desk.ledger.rules = 1
    for _ in range(rng.randrange(4)):
        if not desk.is_over:
            step(desk, spoil_statement)
    lines = desk.lines
    size = rng.randrange(len(lines) + 1)
    root = None if rng.random() < 0.7 else bytes(32)
    notes = [checkpoint(desk.ledger.id, lines, size, rng.sample(list(desk.made.values()), 5), root)]
    if rng.random() < 0.5:
        ways = (flip, splice, cut, drop, swap, member, rechained, stretched, deep, blank)
        lines = rng.choice(ways)(rng, lines)
    return Case("upgraded", lines, rng.choice(([], notes)), required=rng.random() < 0.2)


def note(rng):
    """A checkpoint changed somewhere, or of another size, root, origin or signer."""
    desk = Desk(rng)
    while len(desk.lines) < 4 and not desk.is_over:
        step(desk)
    recorder = next(key for key in desk.made.values() if key.text == desk.ledger.charter["recorder"]["key"])
    sizes = (0, 1, 2, len(desk.lines), len(desk.lines), len(desk.lines) + 1, 2**63 - 1, 2**63)
    size = rng.choice(sizes)
    keys = [rng.choice((recorder, recorder, recorder, desk.any_key())) for _ in range(rng.choice((1, 1, 1, 2, 100, 101)))]
    root = rng.choice((None, None, None, bytes(32)))
    origin = rng.choice((desk.ledger.id, desk.ledger.id, desk.ledger.id, desk.ledger.id + "0", "countersign-snapshot/v1"))
    data = checkpoint(origin, desk.lines, size, keys, root)
    way = rng.randrange(5)
    if way == 0:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    elif way == 1:
        at = rng.choice([i for i, byte in enumerate(data) if byte in b"\n \xe2=+/"] + [0, len(data)])
        pieces = (b"", b"\n", b"\n\n", b" ", b"\r", b"\t", b"0", b"+", b"=", b"\0", b"\xff", "\u00a0".encode(), "\u2014 x AAAAAAA=\n".encode(), b"x\n")
        data = data[:at] + rng.choice(pieces) + data[at + rng.randrange(3) :]
    elif way == 2:
        lines = data.split(b"\n")
        rng.choice((lambda: lines.pop(rng.randrange(len(lines))), lambda: rng.shuffle(lines)))()
        data = b"\n".join(lines)
    good = checkpoint(desk.ledger.id, desk.lines, 1, [recorder])
    if rng.random() < 0.1:
        data = data.replace("\u2014 ".encode(), "\u2014 x AAAAAAA=\n".encode() * 3 + "\u2014 ".encode())
    return Case("note", desk.lines, rng.choice(([data], [good, data], [data, good])), required=rng.random() < 0.3)


def resigned(rng, lines, names={}):
    """An entry of a real history edited and signed again, in whole by those who signed it."""
    place = rng.randrange(1, min(len(lines), 220))
    kept = lines[: place + 1]
    entry = json.loads(kept[place])
    if not names:
        for line in lines:
            for name in re.findall(rb'"(?:principal|author)":"([^"]+)"', line):
                names[key_of(name.decode()).id] = name.decode()
    keys = [key_of(names[part["keyid"]]) for part in entry["signatures"]]
    way = rng.randrange(6)
    if way == 0:
        entry["statement"] = json.loads(lines[rng.randrange(1, place + 1)])["statement"]
    elif way == 1:
        entry["statement"]["event"] = json.loads(rng.choice(lines))["statement"]["event"]
    else:
        edit(rng, rng.choice((entry["statement"], entry["statement"]["event"])))
    try:
        sign(entry, keys)
    except UnicodeEncodeError:
        return resigned(rng, lines)
    return Case("resigned", [*kept[:place], spell(entry), *chained([*kept, *lines[place + 1 : place + 3]], place + 1)[place + 1 :]])
