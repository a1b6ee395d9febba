"""Lines one by one (docs/format.md, sections 2 and 13, steps 2 to 4 and 6): what their own bytes tell. Pure, and remembered."""

import os
from functools import lru_cache

from canonical import Fault, Reader, canonical, need
from shapes import ENTRY, check, check_members

MAX_LINE, MAX_STATEMENT = 65535, 49152


@lru_cache(maxsize=1 << 16)
def read_line(line):
    """The entry that a line is, after steps 2 and 3 of section 13; a fault is returned, not raised, so that it is remembered too."""
    try:
        if len(line) > MAX_LINE:
            raise Fault("line_too_long")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Fault("utf8", error.start) from None
        value = Reader(text).whole()
        spelled = canonical(value).encode()
        if spelled != line:
            raise Fault("not_canonical", len(os.path.commonprefix([spelled, line])))
        return value
    except Fault as fault:
        return fault


@lru_cache(maxsize=1 << 16)
def outer_fault(line):
    """Step 4 of section 13: the members of an entry but its statement."""
    entry = read_line(line)
    try:
        need(isinstance(entry, dict))
        schema = {**ENTRY, "properties": {**ENTRY["properties"]}}
        # None at all, or too many, has codes of its own, later.
        schema["properties"]["signatures"] = {"type": "array", "items": {"$ref": "#/$defs/SignaturePart"}}
        check_members(schema, entry, skip=("statement",))
    except Fault as fault:
        return fault
    return None


@lru_cache(maxsize=1 << 16)
def statement_of(line):
    """Step 6: the exact bytes of the statement, and its fault."""
    statement = read_line(line)["statement"]
    exact = canonical(statement).encode()
    try:
        need(len(exact) <= MAX_STATEMENT, "statement_too_long")
        check({"$ref": "#/$defs/Statement"}, statement)
    except Fault as fault:
        return exact, fault
    return exact, None
