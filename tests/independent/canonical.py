"""Canonical JSON (docs/format.md, section 3): a strict reader that names the first fault, and the one spelling."""

import re

MAX_DEPTH, MAX_INT = 32, 2**53 - 1


class Fault(Exception):
    def __init__(self, code, offset=None):
        super().__init__(code)
        self.code, self.offset = code, offset


def need(condition, code="schema"):
    if not condition:
        raise Fault(code)


BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
FORBIDDEN = re.compile(f"[\0{BIDI}\ud800-\udfff]")
NAME = re.compile("[a-z0-9_]{1,64}")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
SPACE = re.compile(r"[ \t\n\r]*")
RUN = re.compile(f'[^"\\\\\0-\x1f{BIDI}]*')
SHORT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}
SPELLED = {ord(c): "\\" + s for s, c in SHORT.items() if s != "/"}
SPELLED = {**{n: f"\\u{n:04x}" for n in range(32)}, **SPELLED}


class Reader:
    """Reads one value of the profile; positions are in characters."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def fail(self, code, at=None):
        at = self.at if at is None else at
        raise Fault(code, len(self.text[:at].encode()))

    def peek(self):
        self.at = SPACE.match(self.text, self.at).end()
        return self.text[self.at : self.at + 1]

    def take(self, char):
        if self.peek() != char:
            self.fail("json")
        self.at += 1

    def whole(self):
        value = self.value(1)
        if self.peek():
            self.fail("json")
        return value

    def value(self, depth):
        char = self.peek()
        if char == "":
            self.fail("json")
        if char in "{[" and depth > MAX_DEPTH:
            self.fail("depth")
        if char == "{":
            return self.object(depth)
        if char == "[":
            return self.array(depth)
        if char == '"':
            return self.string()
        if char in "-0123456789":
            return self.number()
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                if value is None:
                    self.fail("schema")
                self.at += len(word)
                return value
        self.fail("json")

    def object(self, depth):
        self.at += 1
        members = {}
        if self.peek() == "}":
            self.at += 1
            return members
        while True:
            if self.peek() != '"':
                self.fail("json")
            start = self.at
            name = self.string()
            if not NAME.fullmatch(name):
                self.fail("key_form", start)
            if name in members:
                self.fail("duplicate_key", start)
            self.take(":")
            members[name] = self.value(depth + 1)
            if self.peek() == "}":
                self.at += 1
                return members
            self.take(",")

    def array(self, depth):
        self.at += 1
        items = []
        if self.peek() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            if self.peek() == "]":
                self.at += 1
                return items
            self.take(",")

    def string(self):
        self.at += 1
        parts = []
        while True:
            run = RUN.match(self.text, self.at)
            parts.append(run.group())
            self.at = run.end()
            char = self.text[self.at : self.at + 1]
            if char == '"':
                self.at += 1
                return "".join(parts)
            if char == "\\":
                parts.append(self.escape())
            else:  # the end, a raw control character, or a bidirectional control
                self.fail("text" if char > "\x1f" else "json")

    def escape(self):
        start = self.at
        letter = self.text[start + 1 : start + 2]
        if letter in SHORT and letter:
            self.at += 2
            return SHORT[letter]
        unit = self.unit(start)
        self.at += 6
        if 0xD800 <= unit < 0xDC00 and self.text.startswith("\\u", self.at):
            low = self.unit(self.at)
            if 0xDC00 <= low < 0xE000:
                self.at += 6
                unit = 0x10000 + (unit - 0xD800) * 0x400 + low - 0xDC00
        if FORBIDDEN.match(chr(unit)):
            self.fail("text", start)
        return chr(unit)

    def unit(self, start):
        match = re.compile("\\\\u([0-9a-fA-F]{4})").match(self.text, start)
        if not match:
            self.fail("json", start)
        return int(match.group(1), 16)

    def number(self):
        match = NUMBER.match(self.text, self.at)
        if not match:
            self.fail("json")
        text = match.group()
        if self.text[match.end() : match.end() + 1].isdigit():
            self.fail("json")
        if match.group(1) or match.group(2) or text == "-0" or len(text) > 17 or abs(int(text)) > MAX_INT:
            self.fail("number")
        self.at = match.end()
        return int(text)


def canonical(value):
    """The one spelling of a value, as text. Member names are ASCII, so that their order as text is their order as bytes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.translate(SPELLED) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return "{" + ",".join(f'"{name}":{canonical(value[name])}' for name in sorted(value)) + "}"
