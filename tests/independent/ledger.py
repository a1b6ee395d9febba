"""What the entries so far leave (docs/format.md, sections 5 to 7): chain, ledger id, serials, heads, signers, the life of keys."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from canonical import Fault, need
from entries import outer_fault, read_line, statement_of
from keys import is_accepted, key_bytes, key_id, pae, sha, verifies

MAX_SIGNATURES, SERIAL_WINDOW, SEEN_WINDOW, RULES = 64, 1024, 65536, 1


def charter_of(event):
    """The charter that an event names, if it names one."""
    if event["type"] == "ledger.opened":
        return event
    return event.get("charter") or event.get("amendment")


def holders(charter):
    """(principal, key bytes) of all whom a charter names."""
    named = charter.get("governors", []) + charter.get("recovery", {}).get("keys", []) + [charter["recorder"]]
    return [(holder["principal"], key_bytes(holder["key"])) for holder in named]


def millis(instant):
    moment = datetime.fromisoformat(instant[:-1] + "+00:00")
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)


@dataclass
class Key:
    owner: str
    data: bytes
    admitted: int
    rests_on: list = field(default_factory=list)  # keyids of those who enrolled it
    ended: bool = False
    distrusted: int | None = None  # the first seq whose signature by it is distrusted


class Ledger:
    """What the entries so far leave: enough to check the next one."""

    def __init__(self, pin=None):
        self.pin, self.id, self.rules = pin, None, None
        self.leaves, self.time, self.judged = [], "", 0
        self.keys = {}  # keyid -> Key
        self.serials = {}  # keyid -> recorded serials
        self.statements = {}  # statement digest -> seq
        self.charter, self.pending = None, None  # the one in force, and one announced with its digest and instant
        self.recorders = []  # for each entry the keys that may sign a checkpoint up to it

    def place(self, line, seq):
        """Steps 2 to 5 of section 13."""
        entry = read_line(line)
        fault = entry if isinstance(entry, Fault) else outer_fault(line)
        if fault:
            raise Fault(fault.code, fault.offset)
        need(entry["seq"] == seq, "seq")
        need(entry["prev"] == (self.leaves[-1].hex() if seq else "0" * 64), "prev")
        need(entry["recorded_at"] >= self.time, "time_backwards")
        self.time = entry["recorded_at"]
        return entry

    def judge(self, line, entry, seq):
        """Steps 6 to 10, and what follows for the entries to come."""
        exact, fault = statement_of(line)
        if fault:
            raise Fault(fault.code)
        statement, message = entry["statement"], pae(exact)
        digest, event = sha(message).hex(), statement["event"]
        before = self.charter and self.charter["recorder"]
        if self.pending and millis(self.time) >= self.pending[0]:
            self.seat(self.pending[2], seq)
            self.pending = None
        self.whose(statement, seq, digest)
        self.serial_and_seen(statement, seq)
        check_signature_set(entry["signatures"])
        new = self.new_keys(event)
        signed = self.signers(statement, entry["signatures"], new, seq)
        for key, part in zip(signed, entry["signatures"]):
            weak = part["keyid"] in new and not is_accepted(key)
            need(weak or verifies(key, key_bytes(part["sig"]), message), "signature")
        need(all(is_accepted(key) for _, key in new.values()), "weak_key")
        self.admit(statement, seq, digest, new, [part["keyid"] for part in entry["signatures"]])
        named = [holder["key"] for holder in (before, self.charter["recorder"]) if holder]
        self.recorders.append({key_bytes(text) for text in named})
        self.judged = seq + 1

    def whose(self, statement, seq, digest):
        event = statement["event"]
        need((event["type"] == "ledger.opened") == (seq == 0), "genesis")
        if seq:
            return need(statement["ledger"] == self.id, "ledger_id")
        need(not re.search("/[0-9a-f]{64}$", statement["ledger"]), "genesis")
        if event["rules"] <= RULES:  # else there is no saying what else it should be
            first = event["governors"][0] if event.get("governors") else None
            need(event["rules"] == RULES and statement["ledger"] == event["name"] and "seen" not in statement, "genesis")
            need(first and first["principal"] == statement["author"], "genesis")
            need(key_id(key_bytes(first["key"])) == statement["key"], "genesis")
        need(self.pin in (None, f"{event['name']}/{digest}"), "ledger_pin")
        return need(event["rules"] <= RULES, "rule:needs_rules")

    def serial_and_seen(self, statement, seq):
        before = self.serials.get(statement["key"])
        if before:
            need(statement["serial"] not in before and statement["serial"] > max(before) - SERIAL_WINDOW, "serial")
        seen, event = statement.get("seen"), statement["event"]
        if not seen:
            return
        need(1 <= seen["size"] <= seq and self.leaves[seen["size"] - 1].hex() == seen["leaf"], "seen")
        decided = None
        if event["type"] in ("access.approved", "access.denied"):
            decided = event["request"]
        elif event["type"] == "exception.granted":
            decided = event["covers"].get("request") or event["covers"]["policy"]
        need(seq - seen["size"] <= SEEN_WINDOW or self.statements.get(decided) == seen["size"] - 1, "seen")

    def new_keys(self, event):
        """The keys that an event admits, now or when it takes effect, by keyid."""
        if event["type"] == "key.enrolled":
            named = [(event["principal"], key_bytes(event["key"]))]
        elif charter_of(event):
            named = holders(charter_of(event))
        else:
            return {}
        announced = {key_id(key) for _, key in holders(self.pending[2])} if self.pending else set()
        new = {}
        for owner, key in named:
            known = self.keys.get(key_id(key))
            if known and event["type"] != "key.enrolled" and known.owner == owner and not known.ended:
                continue
            need(known is None and key_id(key) not in announced, "key_reused")
            new[key_id(key)] = (owner, key)
        return new

    def signers(self, statement, signatures, new, seq):
        """The keys of the signatures, in their order, where they are of exactly those who have to sign."""
        author, cosigners, ids = statement["author"], statement.get("cosigners", []), [part["keyid"] for part in signatures]
        if seq == 0:
            named = holders(statement["event"])
            need(cosigners == sorted(name for name, _ in named if name != author), "signer_set")
            need(all(kid in ids for kid in new), "no_possession")
            need(all(kid in new for kid in ids), "signer_set")
            return [new[kid][1] for kid in ids]
        missing, keys = {author, *cosigners}, []
        for kid in ids:
            if kid in new:
                keys.append(new[kid][1])
                continue
            need(kid in self.keys, "unknown_key")
            key = self.keys[kid]
            need(not key.ended, "key_ended")
            need(key.owner in missing and (kid == statement["key"]) == (key.owner == author), "signer_set")
            missing.remove(key.owner)
            keys.append(key.data)
        need(all(kid in ids for kid in new), "no_possession")
        need(not missing and author not in cosigners, "signer_set")
        return keys

    def admit(self, statement, seq, digest, new, signed):
        event = statement["event"]
        kind = event["type"]
        if kind == "ledger.opened":
            self.id = f"{event['name']}/{digest}"
        if kind in ("ledger.opened", "charter.amended"):
            self.seat(charter_of(event), seq)
        elif kind == "recovery.proposed" and "recovery" in self.charter:
            delay = self.charter["recovery"]["delay_seconds"]
            self.pending = millis(self.time) + 1000 * delay, digest, event["amendment"]
        elif kind == "recovery.vetoed" and self.pending and self.pending[1] == event["proposal"]:
            self.pending = None
        elif kind == "key.enrolled":
            rests_on = [kid for kid in signed if kid not in new]
            for kid, (owner, key) in new.items():
                self.keys[kid] = Key(owner, key, seq, rests_on)
        elif kind == "key.retired" and key_id(key_bytes(event["key"])) in self.keys:
            self.keys[key_id(key_bytes(event["key"]))].ended = True
        elif kind == "key.compromised":
            self.distrust(key_id(key_bytes(event["key"])), event.get("from", seq))
        elif kind == "principal.departed":
            self.end_keys_of(event["principal"])
        if kind in ("ledger.opened", "ledger.upgraded"):
            self.rules = event["rules"]
        self.serials.setdefault(statement["key"], set()).add(statement["serial"])
        self.statements[digest] = seq

    def seat(self, charter, seq):
        """Puts a charter in force: whom it names holds the one key it names, and whom only the one before named holds none."""
        for owner, key in holders(charter):
            self.keys.setdefault(key_id(key), Key(owner, key, seq))
            self.end_keys_of(owner, but=key_id(key))
        for owner, _ in holders(self.charter) if self.charter else []:
            if owner not in dict(holders(charter)):
                self.end_keys_of(owner)
        self.charter = charter

    def end_keys_of(self, owner, but=None):
        for kid, key in self.keys.items():
            key.ended = key.ended or (key.owner == owner and kid != but)

    def distrust(self, kid, start):
        """Ends a key, and those enrolled with it since: they are distrusted in whole."""
        key = self.keys.get(kid)
        if key is None or (key.distrusted is not None and key.distrusted <= start):
            return
        key.distrusted, key.ended = start, True
        for other, resting in self.keys.items():
            if kid in resting.rests_on and resting.admitted >= start:
                self.distrust(other, resting.admitted + 1)


def check_signature_set(signatures):
    ids = [part["keyid"] for part in signatures]
    need(ids, "unsigned")
    need(len(ids) <= MAX_SIGNATURES and all(a < b for a, b in zip(ids, ids[1:])), "signature_order")
