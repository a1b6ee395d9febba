#!/usr/bin/env python3
"""Writes the synthetic access history of this folder: seeded, the same bytes on every machine.

    generate.py            writes changes.jsonl and owners.jsonl, then the states through naive_states.py
    generate.py --check    writes nothing; exits 1 unless every file here is what it would write, the table of oddities in
                           README.md says what is in the history, and none of them is missing

Everyone and everything in it is made up. README.md tells the shape and what each oddity is for.
"""
import argparse
import collections
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20200106
ORDER = ["resource_created", "owner_removed", "owner_added", "revoke", "role_change", "grant", "resource_removed"]
ROOT = "scope:/"

# The people of the story, and those of its ordinary days: apart, so that neither gets in the other's way.
DEVS = [f"dev-{n:02}" for n in range(1, 31)]
CREW = [f"dev-{n}" for n in range(31, 46)]
DIGITS = "100200300"
SHORT = "zz"
LONG = "a-plainly-fictional-login-of-39-letters"
NO_SUBJECT_OWNER = "wg-tools-leads-fictional"
BOT = "Bot-Fictional"


class Random:
    """Knuth's MMIX generator: Python's own draws have changed between versions, and these bytes must not."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % limit

    def pick(self, items):
        return items[self.below(len(items))]


class History:
    """What holds so far, and the two files as lines."""

    def __init__(self):
        self.random = Random(SEED)
        self.now = datetime.datetime(2020, 1, 6, 9, 0, 0)
        self.pull = 0
        self.number = 0
        self.held = {}
        self.owners = collections.defaultdict(set)
        self.alive = set()
        self.governed_by = {}
        # Scopes with an owners file that lists nobody: known to owners.jsonl, no resource in changes.jsonl.
        self.empty_scopes = set()
        self.told = {}
        self.changes = []
        self.owner_lines = []

    def wait(self, seconds=None, until=None):
        if until is not None:
            assert until > self.now
            self.now = until
        elif seconds is not None:
            self.now += datetime.timedelta(seconds=seconds)
        else:
            self.now += datetime.timedelta(seconds=3600 + self.random.below(6 * 86400))

    def change(self, requester, reason, pull=True):
        return Change(self, requester, reason, pull)

    def on(self, resource):
        return sorted(s for s, r in self.held if r == resource)

    def effective(self, scope):
        """The owners of a scope: its own and those of every scope on its path."""
        found = set(self.owners[scope])
        while scope != ROOT:
            head, _, _ = scope.rpartition("/")
            scope = head or ROOT
            found |= self.owners[scope]
        # Twins in a set come in no order of their own: the spelling decides between them.
        return sorted(found, key=lambda login: (login.lower(), login))


class Change:
    """One change set: operations in any order, written and applied in the order of the shape."""

    def __init__(self, history, requester, reason, pull):
        assert 1 <= len(reason) <= 120 and reason.isascii() and reason.isprintable()
        self.history, self.requester, self.reason, self.pull = history, requester, reason, pull
        self.events = []
        self.moves = {}
        self.history.number += 1
        self.id = hashlib.sha256(f"synthetic change {self.history.number}".encode()).hexdigest()[:10]

    def create(self, resource, under=None):
        self.events.append(("resource_created", resource, None, None))
        assert (under is None) == resource.startswith("scope:")
        if under:
            self.moves[resource] = under
        return self

    def move(self, resource, under):
        self.moves[resource] = under
        return self

    def own(self, resource, *subjects):
        self.events += [("owner_added", resource, "approver", s) for s in subjects]
        return self

    def disown(self, resource, *subjects):
        self.events += [("owner_removed", resource, "approver", s) for s in subjects]
        return self

    def grant(self, resource, *subjects, role="member"):
        self.events += [("grant", resource, role, s) for s in subjects]
        return self

    def revoke(self, resource, *subjects):
        self.events += [("revoke", resource, self.history.held[s, resource], s) for s in subjects]
        return self

    def role(self, resource, subject, role):
        self.events.append(("role_change", resource, role, subject))
        return self

    def respell(self, old, new):
        """Somebody writes a login in another case: all he holds is revoked and granted again."""
        assert old.lower() == new.lower() and old != new
        for (subject, resource), role in sorted(self.history.held.items()):
            if subject == old:
                self.revoke(resource, old).grant(resource, new, role=role)
        return self

    def remove(self, resource):
        """Removes a resource, with all that is left on it first."""
        self.revoke(resource, *self.history.on(resource))
        self.disown(resource, *sorted(self.history.owners[resource]))
        self.events.append(("resource_removed", resource, None, None))
        if not resource.startswith("scope:"):
            self.moves[resource] = None
        return self

    def rename(self, old, new, under=None, leave=()):
        self.create(new, under or self.history.governed_by[old])
        for subject in self.history.on(old):
            if subject not in leave:
                self.grant(new, subject, role=self.history.held[subject, old])
        return self.remove(old)

    def done(self):
        h = self.history
        at = h.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        pull = None
        if self.pull:
            h.pull += 3
            # Merged out of the order in which they were opened, now and then.
            pull = h.pull - (4 if h.random.below(5) == 0 and h.pull > 4 else 0)
        self.events.sort(key=lambda e: (ORDER.index(e[0]), e[1], e[3] or ""))
        for op, resource, role, subject in self.events:
            self.apply(op, resource, role, subject)
            org = "*" if resource == ROOT else resource.partition(":")[2].partition("/")[0]
            record = {"at": at, "change": self.id, "pr": pull, "requester": self.requester, "op": op, "org": org,
                      "resource": resource, "role": role, "subject": subject, "reason": self.reason}
            h.changes.append(json.dumps(record, separators=(",", ":")))
        for resource, scope in self.moves.items():
            if scope is None:
                del h.governed_by[resource]
            else:
                assert scope in h.alive or scope in h.empty_scopes, scope
                h.governed_by[resource] = scope
        assert all(s in h.alive or s in h.empty_scopes for s in h.governed_by.values())
        self.tell_owners(at)
        h.wait()

    def apply(self, op, resource, role, subject):
        h, pair = self.history, (subject, resource)
        assert (resource in h.alive) == (op != "resource_created"), (op, resource)
        if op == "resource_created":
            h.alive.add(resource)
            h.empty_scopes.discard(resource)
        elif op == "resource_removed":
            assert not h.on(resource) and not h.owners[resource], resource
            h.alive.remove(resource)
        elif op == "owner_added":
            assert subject not in h.owners[resource]
            h.owners[resource].add(subject)
        elif op == "owner_removed":
            h.owners[resource].remove(subject)
        elif op == "revoke":
            assert h.held.pop(pair) == role
        elif op == "role_change":
            assert h.held[pair] != role
            h.held[pair] = role
        else:
            # The two spellings of one login are never in one resource.
            assert not any(s.lower() == subject.lower() for s in h.on(resource)), pair
            h.held[pair] = role

    def tell_owners(self, at):
        h = self.history
        now = {}
        for scope in sorted({s for s in h.alive if s.startswith("scope:")} | h.empty_scopes):
            now[scope] = (h.effective(scope), sorted(h.owners[scope], key=lambda login: (login.lower(), login)))
        for scope in sorted(now.keys() | h.told.keys()):
            if now.get(scope) != h.told.get(scope):
                approvers, direct = now.get(scope, (None, None))
                h.owner_lines.append({"at": at, "change": self.id, "scope": scope, "approvers": approvers, "direct": direct})
        h.told = now
        for resource in sorted(self.moves):
            h.owner_lines.append(
                {"at": at, "change": self.id, "resource": resource, "scope": self.moves[resource], "parent": None})


def fill(history, sets):
    """Ordinary days: somebody asks for a few people to be added, dropped, or given another role."""
    r = history.random
    for _ in range(sets):
        teams = sorted(x for x in history.alive if not x.startswith("scope:"))
        requester = r.pick(CREW if r.below(2) else DEVS)
        c = history.change(requester, r.pick(FILL_REASONS))
        touched = set()
        for _ in range(1 + r.below(4)):
            resource = r.pick(teams)
            on = history.on(resource)
            low, high = ("member", "admin") if resource.startswith("org:") else ("member", "maintainer")
            # One in four asks for himself, as people do.
            subject = requester if r.below(4) == 0 and requester in CREW else r.pick(CREW)
            if (subject, resource) in touched:
                continue
            touched.add((subject, resource))
            if subject not in on:
                c.grant(resource, subject, role=high if r.below(8) == 0 else low)
            elif r.below(3) == 0:
                c.role(resource, subject, low if history.held[subject, resource] == high else high)
            elif r.below(2) == 0:
                c.revoke(resource, subject)
        if c.events:
            c.done()


FILL_REASONS = [
    "Add members", "Update teams", "Remove inactive members", "Add [name] to the build team", "Fix order; no other change",
    'Revert "Remove inactive members"', "docs: promote a reviewer (#12)", "teams.yaml: sync with owners & alias file",
]


def tell(h):
    """The story, in order. Each step says which oddity it is there for."""
    build, docs, data = "scope:acme/sig-build", "scope:acme/sig-docs", "scope:acme/sig-data"
    cache = "scope:acme/sig-build/cache"
    long_team = "team:acme/" + "a-team-with-a-name-of-the-greatest-length-that-anyone-has-seen-so-far-admins-x"

    # The first change has no pull request; the second, seconds later, brings most of the people.
    c = h.change("dev-01", "Initial commit", pull=False)
    c.create(ROOT).own(ROOT, "Ada-Fictional", "dev-01", "dev-02").done()
    h.now = datetime.datetime(2020, 1, 6, 9, 0, 6)
    c = h.change("dev-01", "Commit initial copy of members list")
    c.create("scope:acme").own("scope:acme", "dev-02", "dev-03", "dev-31", "Zed-Fictional")
    c.create("org:acme", "scope:acme").create("org:acme-labs", ROOT)
    c.grant("org:acme", "dev-01", "Ada-Fictional", role="admin")
    c.grant("org:acme", *DEVS[1:24], "Bo-Fictional", "Cy-Fictional", "Dee-Fictional", DIGITS, SHORT, LONG)
    c.grant("team:acme/docs", "Dee-Fictional", "Cy-Fictional").grant("team:acme/cache", "Cy-Fictional", role="maintainer")
    c.grant("org:acme-labs", "dev-03", role="admin").grant("org:acme-labs", *DEVS[3:12], "ada-fictional")
    for team, people in (("build-admins", DEVS[:3]), ("build-reviewers", DEVS[2:7]), ("docs", DEVS[6:9]),
                         ("data_v1.2-readers", DEVS[4:7]), ("cache", DEVS[9:12]), ("old-name", DEVS[10:14]),
                         ("short-lived", DEVS[1:3])):
        c.create(f"team:acme/{team}", "scope:acme").grant(f"team:acme/{team}", *people[1:])
        c.grant(f"team:acme/{team}", people[0], role="maintainer")
    c.create("team:acme-labs/Reviewers", ROOT).grant("team:acme-labs/Reviewers", "dev-04", "ada-fictional")
    c.done()
    fill(h, 5)

    # Teams move to scopes made in the same change.
    c = h.change("dev-03", "Split acme by group: \"sig-build\", 'sig-docs' and C:\\sig-data")
    c.create(build).own(build, "dev-04", "dev-05").create(docs).own(docs, "Dee-Fictional", "dev-06")
    c.create(data).own(data, "dev-07", NO_SUBJECT_OWNER)
    for team in ("build-admins", "build-reviewers", "cache"):
        c.move(f"team:acme/{team}", build)
    c.move("team:acme/docs", docs).move("team:acme/data_v1.2-readers", data).done()
    fill(h, 4)

    # A scope in a scope in a scope.
    c = h.change("dev-05", "Give the cache its own owners <and nobody else> | see #7; `cache/OWNERS`, 100% of it ~ ^_^ {x} [y] $0 = a+b, ok? *! @end")
    c.create(cache).own(cache, "dev-08", "Bo-Fictional").move("team:acme/cache", cache).grant("team:acme/cache", "dev-13", "bo-fictional")
    c.done()
    c = h.change("Bo-Fictional", "Add my other account to reviewers")
    c.grant("team:acme/build-reviewers", "bo-fictional").done()
    # The owner who sorts first is a twin of the subject: the next one approves.
    c = h.change("dev-05", "Add ada-fictional to the build reviewers")
    c.grant("team:acme/build-reviewers", "ada-fictional").done()
    # Requester and subject are owners who sort first: the third one approves.
    c = h.change("Ada-Fictional", "Add dev-01 to the cache team")
    c.grant("team:acme/cache", "dev-01").done()

    # A scope that owners.jsonl knows before it has an owner of its own, hence before it is a resource.
    early = "scope:acme/sig-early"
    h.empty_scopes.add(early)
    c = h.change("dev-09", "Set up the early team")
    c.create("team:acme/early-birds", early).grant("team:acme/early-birds", "dev-09", "dev-10").done()
    c = h.change("dev-02", "One more early bird")
    c.grant("team:acme/early-birds", "dev-14", role="maintainer").done()
    c = h.change("dev-09", "Owners for the early team")
    c.create(early).own(early, "dev-09").grant("team:acme/early-birds", "dev-15").done()
    fill(h, 4)

    # The last instant of a day is in its state file, the first of the next is not.
    h.wait(until=datetime.datetime(2020, 6, 30, 23, 59, 59))
    c = h.change("dev-11", "Just in time")
    c.grant("team:acme/docs", "dev-20", role="maintainer").own(docs, "dev-20").done()
    h.now = datetime.datetime(2020, 7, 1, 0, 0, 0)
    c = h.change("dev-11", "Just too late")
    c.grant("team:acme/docs", "dev-21").disown(docs, "dev-06").done()

    # Renames: plain; into another scope with a member left behind; with a login respelled on the way.
    c = h.change("dev-03", "Rename old-name to new-name")
    c.rename("team:acme/old-name", "team:acme/new-name").done()
    c = h.change("dev-04", "Move short-lived to the labs as long-lived, without [name]")
    c.rename("team:acme/short-lived", "team:acme-labs/long-lived", ROOT, leave=("dev-03",)).done()
    # Respelled logins: one, one with many pairs, one a third time.
    for old, new in (("Dee-Fictional", "dee-fictional"), ("Cy-Fictional", "cy-fictional"), ("cy-fictional", "CY-Fictional")):
        c = h.change(new, f"Fix the case of {new}")
        c.respell(old, new).done()
    c = h.change("dev-03", "Rename long-lived; one login in another case")
    c.create("team:acme-labs/lasting", ROOT).grant("team:acme-labs/lasting", "dev-02", role="maintainer")
    c.grant("team:acme-labs/lasting", "Cy-Fictional").remove("team:acme-labs/long-lived").done()
    # The name of a removed team comes back with nobody, then with others.
    c = h.change("dev-12", "short-lived again, under sig-docs")
    c.create("team:acme/short-lived", docs).grant("team:acme/short-lived", "dev-16", "dev-17").done()
    fill(h, 6)

    # Owner events alone; an owner swap with grants beside it (removed before added before granted).
    c = h.change("dev-06", "Update OWNERS")
    c.disown(data, "dev-07").own(data, "dev-12", "Ada-Fictional").done()
    c = h.change("dev-31", "Update OWNERS of the root and of docs")
    c.own(ROOT, "dev-32").own(docs, "dev-33").done()
    c = h.change("dev-07", "Hand build over and add two people")
    c.disown(build, "dev-04").own(build, "dev-07", "0wner-fictional").grant("team:acme/build-admins", "dev-18", "dev-19").done()
    # Requesters that the history knows from nowhere else.
    for name, team in (("A. Nobody", "docs"), ("B. Nobody", "new-name")):
        author = "author-" + hashlib.sha256(name.encode()).hexdigest()[:8]
        c = h.change(author, "Adding [name]")
        c.grant(f"team:acme/{team}", "dev-25" if team == "docs" else "dev-26").done()
    c = h.change(BOT, "Remove inactive members")
    c.revoke("org:acme", "dev-24").grant("team:acme/cache", LONG).done()
    c = h.change("dev-08", "The greatest length a reason may have".ljust(118, ".") + "[]")
    c.create(long_team, build).grant(long_team, LONG, DIGITS, SHORT).done()
    # All four role changes.
    c = h.change("dev-02", "Roles: two up, two down")
    c.role("org:acme", "dev-05", "admin").role("org:acme", "Ada-Fictional", "member")
    c.role(long_team, SHORT, "maintainer").role("team:acme-labs/lasting", "dev-02", "member").done()
    fill(h, 6)

    # Teams move and nothing else happens: a line of owners.jsonl whose change is not in changes.jsonl.
    c = h.change("dev-05", "Reviewers belong to the cache")
    c.move("team:acme/build-reviewers", cache).done()
    fill(h, 2)
    # A scope goes: its teams move in the same change, the owners who let them go are removed in it as well.
    c = h.change("dev-01", "Retire sig-data")
    c.move("team:acme/data_v1.2-readers", docs).remove(data).grant("team:acme/data_v1.2-readers", "dev-22").done()
    # Another goes with what it governs, which the shape lists after it.
    c = h.change("dev-09", "Retire the early group")
    c.remove(early).remove("team:acme/early-birds").done()
    # And the first comes back.
    c = h.change("dev-12", "Bring sig-data back")
    c.create(data).own(data, "dev-12").move("team:acme/data_v1.2-readers", data).done()
    h.wait(until=datetime.datetime(2021, 6, 30, 12, 0, 0))
    fill(h, 3)

    # A whole organisation comes and goes.
    c = h.change("dev-10", "Add acme-archive")
    c.create("scope:acme-archive").own("scope:acme-archive", "dev-10").create("org:acme-archive", "scope:acme-archive")
    c.create("team:acme-archive/keepers", "scope:acme-archive").grant("org:acme-archive", "dev-10", role="admin")
    c.grant("org:acme-archive", "dev-11", "Dee-Fictional").grant("team:acme-archive/keepers", "dev-11").done()
    fill(h, 4)
    c = h.change("dev-10", "Remove acme-archive")
    c.remove("scope:acme-archive").remove("org:acme-archive").remove("team:acme-archive/keepers").done()
    c = h.change("dev-10", "Reviewers back from the cache")
    c.move("team:acme/build-reviewers", build).done()
    fill(h, 5)

    # Owners of a team itself: they may decide there and nowhere else.
    lasting, reviewers = "team:acme-labs/lasting", "team:acme-labs/Reviewers"
    c = h.change("dev-03", "lasting gets owners of its own")
    c.own(lasting, "0wner-fictional", "dev-13").grant(lasting, "dev-23").done()
    c = h.change("dev-13", "Add to lasting and to Reviewers")
    c.grant(lasting, "dev-24").grant(reviewers, "dev-24").done()
    h.wait(until=datetime.datetime(2022, 3, 1, 8, 0, 0))

    # From here to "Root has owners again" acme-labs has no owner at all but those of its teams.
    c = h.change("dev-01", "Root steps back")
    c.disown(ROOT, "Ada-Fictional", "dev-01", "dev-02", "dev-32").grant("team:acme/docs", "dev-27").done()
    c = h.change("dev-14", "No owner anywhere")
    c.grant("org:acme-labs", "dev-25", "dev-26").grant(reviewers, "dev-25", "dev-05", role="maintainer").done()
    c = h.change("dev-14", "No owner anywhere, roles")
    c.role("org:acme-labs", "dev-25", "admin").role(reviewers, "dev-04", "maintainer").done()
    c = h.change("dev-26", "No owner anywhere, for myself")
    c.grant(reviewers, "dev-26").done()
    c = h.change("dev-13", "A team made while nobody owns its scope")
    c.create("team:acme-labs/orphans", ROOT).grant("team:acme-labs/orphans", "dev-13", "dev-14").done()
    # One owner, added beside the first grant that needs him.
    solo = "team:acme-labs/solo"
    c = h.change("dev-15", "A team with one owner")
    c.create(solo, ROOT).own(solo, "Eve-Fictional").grant(solo, "dev-15", "dev-16").done()
    c = h.change("Eve-Fictional", "The only owner asks")
    c.grant(solo, "dev-17").done()
    c = h.change("dev-15", "The only owner is the subject")
    c.grant(solo, "Eve-Fictional", "dev-19").done()
    c = h.change("dev-15", "The only owner leaves the team")
    c.revoke(solo, "Eve-Fictional").done()
    c = h.change("Eve-Fictional", "The only owner asks for herself")
    c.grant(solo, "Eve-Fictional", role="maintainer").revoke(solo, "dev-19").done()
    c = h.change("eve-fictional", "A twin of the only owner asks")
    c.grant(solo, "dev-20").role(solo, "dev-15", "maintainer").done()
    c = h.change("dev-16", "A twin of the only owner is the subject")
    c.revoke(solo, "Eve-Fictional").grant(solo, "EVE-fictional", role="maintainer").done()
    c = h.change("dev-16", "Two owners: one asks, one is the subject")
    c.own(solo, "dev-16").revoke(solo, "EVE-fictional").grant(solo, "Eve-Fictional").done()
    c = h.change("dev-16", "Two owners: one asks, a twin of the other is the subject")
    c.revoke(solo, "Eve-Fictional").grant(solo, "eve-fictional").done()
    # Removed before granted: the owner who goes does not decide; added before granted: the one who comes does.
    c = h.change("dev-16", "Eve leaves, so nobody is left to decide")
    c.disown(solo, "Eve-Fictional").grant(solo, "dev-21").done()
    c = h.change("dev-16", "And a new owner decides at once")
    c.own(solo, "zz-Fictional").grant(solo, "dev-22").done()
    # The scope of acme-labs at last: org and teams move while nobody owns where they were.
    labs = "scope:acme-labs"
    c = h.change("dev-05", "acme-labs gets a scope")
    c.create(labs).own(labs, "dev-05", "dev-06").move("org:acme-labs", labs).move(reviewers, labs).move(solo, labs).done()
    c = h.change("dev-05", "The two owners of labs ask for each other")
    c.grant(solo, "dev-06").revoke(reviewers, "dev-05").done()
    fill(h, 2)
    c = h.change("dev-06", "Root has owners again")
    c.own(ROOT, "dev-01", "Zed-Fictional").move("team:acme-labs/orphans", labs).grant("team:acme-labs/orphans", "dev-06").done()
    h.wait(until=datetime.datetime(2022, 6, 30, 23, 59, 58))
    c = h.change("dev-01", "Retire solo, its owners and people first")
    c.remove(solo).done()
    fill(h, 8)

    # A login of the team is respelled while its twin stands elsewhere: two cases at the end, never in one resource.
    c = h.change("dev-17", "Ada joins docs, ada stays in the labs")
    c.grant("team:acme/docs", "Ada-Fictional").done()
    c = h.change("dev-18", "Everyone out of short-lived, in again under another scope")
    c.remove("team:acme/short-lived").done()
    c = h.change("dev-18", "short-lived, third time")
    c.create("team:acme/short-lived", build).own("team:acme/short-lived", "dev-28").grant("team:acme/short-lived", "dev-18", "dev-29").done()
    fill(h, 6)
    h.wait(until=datetime.datetime(2023, 6, 25, 8, 0, 0))
    fill(h, 10)
    c = h.change("dev-29", "Rename new-name once more; CY is Cy")
    c.rename("team:acme/new-name", "team:acme/newest.name", leave=("CY-Fictional",)).grant("team:acme/newest.name", "Cy-Fictional").done()
    fill(h, 4)
    c = h.change("dev-32", "Update OWNERS")
    c.disown("scope:acme", "dev-31").own("scope:acme", "dev-34").done()
    # An owner's login respelled: the one spelling goes before the other comes.
    c = h.change("zed-fictional", "Fix the case of an approver")
    c.disown("scope:acme", "Zed-Fictional").own("scope:acme", "zed-fictional").done()
    fill(h, 5)


def census(changes, owner_lines):
    """How often each oddity occurs, as (what, count): the table of README.md."""
    events = [json.loads(line) for line in changes]
    count = collections.Counter()
    sets = collections.OrderedDict()
    for e in events:
        sets.setdefault(e["change"], []).append(e)
    for s in sets.values():
        head, ops = s[0], {e["op"] for e in s}
        count["change sets"] += 1
        count["pr null"] += head["pr"] is None
        count["requester `author-<8 hex>`"] += head["requester"].startswith("author-")
        for what, test in (("[name]", "[name]"), ("a quotation mark", '"'), ("a backslash", "\\")):
            count[f"reason with {what}"] += test in head["reason"]
        count["reason of 120 characters"] += len(head["reason"]) == 120
        count["change sets with owner events alone"] += ops <= {"owner_added", "owner_removed"}
        count["owner added beside a grant"] += {"owner_added", "grant"} <= ops
        left = {(e["resource"], e["subject"].lower()) for e in s if e["op"] == "owner_removed"}
        count["owner removed and added that differ in case only"] += sum(
            e["op"] == "owner_added" and (e["resource"], e["subject"].lower()) in left for e in s)
        count["owner removed beside a grant"] += {"owner_removed", "grant"} <= ops
        made = [e["resource"] for e in s if e["op"] == "resource_created" and e["resource"].startswith("team:")]
        gone = [e["resource"] for e in s if e["op"] == "resource_removed" and e["resource"].startswith("team:")]
        count["teams renamed"] += min(len(made), len(gone)) if "grant" in ops and "revoke" in ops else 0
        taken = {(e["resource"], e["subject"].lower()): e["subject"] for e in s if e["op"] == "revoke"}
        for e in s:
            if e["op"] == "grant":
                old = taken.get((e["resource"], e["subject"].lower()))
                count["revoke and grant that differ in case only"] += old not in (None, e["subject"])
    removed = set()
    held, owners, governed, alive = {}, collections.defaultdict(set), {}, set()
    # Both files by instant; at one instant the scopes stand before the events that rest on them.
    timeline = sorted({e["at"] for e in events} | {o["at"] for o in owner_lines})
    by_time, lines_by_time = collections.defaultdict(list), collections.defaultdict(list)
    for e in events:
        by_time[e["at"]].append(e)
    for o in owner_lines:
        lines_by_time[o["at"]].append(o)

    def chain(resource):
        while resource is not None:
            yield resource
            if resource == ROOT:
                return
            if resource.startswith("scope:"):
                resource = resource.rpartition("/")[0] or ROOT
            else:
                resource = governed[resource]

    for at in timeline:
        made = {e["resource"] for e in by_time[at] if e["op"] == "resource_created"}
        gone = {e["resource"] for e in by_time[at] if e["op"] == "resource_removed"}
        for o in lines_by_time[at]:
            if "resource" not in o:
                count["owners.jsonl: scope without an owner of its own"] += o["direct"] == [] and o["scope"] not in alive
                continue
            resource, scope = o["resource"], o["scope"]
            if scope is None:
                continue
            if resource in governed and resource not in made:
                count["org or team moved to another scope"] += 1
                count["... to a scope made in the same change"] += scope in made
                count["... from a scope removed in the same change"] += governed[resource] in gone
                count["... in a change that changes.jsonl does not have"] += not by_time[at]
                count["... from a scope without any owner"] += not any(owners[r] for r in chain(governed[resource]))
            governed[resource] = scope
            count["org or team put under a scope that is no resource yet"] += scope not in alive | made
        for e in by_time[at]:
            op, resource, subject, requester = e["op"], e["resource"], e["subject"], e["requester"]
            kind = resource.partition(":")[0]
            count[f"op {op}"] += 1
            if op == "resource_created":
                if resource in removed:
                    count[f"{kind} created again after removal"] += 1
                alive.add(resource)
            elif op == "resource_removed":
                count[f"{kind} removed"] += 1
                count["scope removed before what it governs, in one change"] += any(
                    governed.get(x) == resource for x in gone & alive)
                removed.add(resource)
                alive.remove(resource)
                governed.pop(resource, None)
            elif op == "owner_added":
                owners[resource].add(subject)
                count[f"owner on a {kind}"] += 1
            elif op == "owner_removed":
                owners[resource].remove(subject)
            elif op == "revoke":
                del held[subject, resource]
            if op not in ("grant", "role_change"):
                continue
            if op == "role_change":
                count[f"role change {held[subject, resource]} to {e['role']}"] += 1
            held[subject, resource] = e["role"]
            able = sorted(set().union(*(owners[r] for r in chain(resource))))
            exact = [o for o in able if o not in (requester, subject)]
            eligible = [o for o in exact if o.lower() not in (requester.lower(), subject.lower())]
            count["requester is the subject"] += requester == subject
            count["requester and subject differ in case only"] += requester != subject and requester.lower() == subject.lower()
            count["an owner who would sort first is kept out by a case twin"] += bool(eligible) and eligible[0] != exact[0]
            count["bytewise first owner is not eligible, a later one is"] += bool(eligible) and eligible[0] != able[0]
            if eligible:
                continue
            count[f"{op} without an eligible owner"] += 1
            if not able:
                count["... nobody owns anything above it"] += 1
            elif exact:
                count["... the only other owner differs from requester or subject in case only"] += 1
            elif set(able) == {requester}:
                count["... the only owner is the requester"] += 1
            elif set(able) == {subject}:
                count["... the only owner is the subject"] += 1
            else:
                count["... the owners are the requester and the subject"] += 1
    subjects = {e["subject"] for e in events if e["subject"]}
    resources = {e["resource"] for e in events}
    spelled = collections.defaultdict(set)
    for subject, _ in held:
        spelled[subject.lower()].add(subject)
    count["logins written in two cases at HEAD"] = sum(len(v) > 1 for v in spelled.values())
    spelled = collections.defaultdict(set)
    for login in subjects | {e["requester"] for e in events}:
        spelled[login.lower()].add(login)
    count["logins written in two cases ever"] = sum(len(v) > 1 for v in spelled.values())
    count["logins written in three cases ever"] = sum(len(v) > 2 for v in spelled.values())
    count["login of digits only"] = sum(s.isdigit() for s in subjects)
    count["team name with an upper-case letter"] = sum(r != r.lower() for r in resources)
    count["scope three segments deep"] = sum(r.startswith("scope:") and r.count("/") == 2 for r in resources)
    count["requester who is never a subject"] = len({e["requester"] for e in events} - subjects)
    count["owner who never holds a grant"] = len({e["subject"] for e in events if e["op"] == "owner_added"}
                                                 - {e["subject"] for e in events if e["op"] == "grant"})
    count["change at the last second of a state's day"] = sum(
        s[0]["at"][4:] == "-06-30T23:59:59Z" for s in sets.values())
    count["events"] = len(events)
    return sorted(count.items(), key=lambda item: CENSUS.index(item[0]))


# The order of the table; a line that is missing here stops the script.
CENSUS = [
    "events", "change sets", "op resource_created", "op owner_removed", "op owner_added", "op revoke", "op role_change",
    "op grant", "op resource_removed",
    "revoke and grant that differ in case only", "logins written in two cases ever", "logins written in three cases ever",
    "logins written in two cases at HEAD", "requester and subject differ in case only", "login of digits only",
    "team name with an upper-case letter", "requester `author-<8 hex>`", "requester who is never a subject",
    "owner who never holds a grant", "requester is the subject", "pr null", "reason with [name]",
    "reason with a quotation mark", "reason with a backslash", "reason of 120 characters",
    "change at the last second of a state's day", "teams renamed", "team removed", "scope removed", "org removed",
    "team created again after removal", "scope created again after removal",
    "scope removed before what it governs, in one change",
    "role change member to maintainer", "role change maintainer to member", "role change member to admin",
    "role change admin to member", "scope three segments deep", "owner on a scope", "owner on a team",
    "change sets with owner events alone", "owner added beside a grant", "owner removed beside a grant",
    "owner removed and added that differ in case only",
    "org or team moved to another scope", "... to a scope made in the same change",
    "... from a scope removed in the same change", "... in a change that changes.jsonl does not have",
    "... from a scope without any owner", "owners.jsonl: scope without an owner of its own",
    "org or team put under a scope that is no resource yet", "bytewise first owner is not eligible, a later one is",
    "an owner who would sort first is kept out by a case twin",
    "grant without an eligible owner", "role_change without an eligible owner", "... nobody owns anything above it",
    "... the only owner is the requester", "... the only owner is the subject",
    "... the owners are the requester and the subject",
    "... the only other owner differs from requester or subject in case only",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--census", action="store_true", help="print the table of oddities")
    args = parser.parse_args()

    history = History()
    tell(history)
    rows = census(history.changes, history.owner_lines)
    missing = [what for what in CENSUS if not dict(rows).get(what)]
    wrong = [f"oddity missing: {what}" for what in missing]
    listed = "".join(f"| {what} | {n} |\n" for what, n in rows if n)
    if args.census:
        print(listed, end="")
        return
    files = {
        "changes.jsonl": "".join(line + "\n" for line in history.changes),
        "owners.jsonl": "".join(json.dumps(o, separators=(",", ":")) + "\n" for o in history.owner_lines),
    }
    for name, text in files.items():
        path = HERE / name
        if not args.check:
            path.write_bytes(text.encode("ascii"))
        elif not path.is_file() or path.read_bytes() != text.encode("ascii"):
            wrong.append(f"{name}: not what this script writes")
    readme = HERE / "README.md"
    if args.check and (not readme.is_file() or listed not in readme.read_text(encoding="utf-8")):
        wrong.append("README.md: the table of oddities is not that of --census")
    states = [sys.executable, str(HERE / "naive_states.py")] + (["--check"] if args.check else [])
    if subprocess.run(states, check=False).returncode:
        wrong.append("the states are not those of changes.jsonl")
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
