"""Closed schemas (docs/format.md, sections 4, 6, 11 and 12): docs/schema where JSON Schema says it, code where it can not."""

import calendar
import json
import os
import re
from functools import lru_cache

from canonical import MAX_INT, canonical, need

SCHEMAS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "schema")
with open(os.path.join(SCHEMAS, "entry.schema.json"), encoding="utf-8") as file:
    ENTRY = json.load(file)
DEFS = ENTRY["$defs"]
# What a text of the wrong form is called where it is not `schema`.
CODES = {"Timestamp": "time", "KeyBytes": "base64", "Signature": "base64"}
PATH_CAPACITIES = ("business_owner", "application_owner", "platform_owner", "operations_owner", "control_owner", "risk_owner")


@lru_cache(maxsize=None)
def compiled(pattern):
    # `$` of JSON Schema is the end of the text, that of Python also stands before a last line feed.
    return re.compile(re.sub(r"\$(?=\)|$)", r"\\Z", pattern))


def matches(schema, value):
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        return False
    if "not" in schema and matches(schema["not"], value):
        return False
    if "anyOf" in schema and not any(matches(one, value) for one in schema["anyOf"]):
        return False
    return "pattern" not in schema or compiled(schema["pattern"]).search(value) is not None


def check(schema, value, code="schema"):
    """Holds a value against a schema, members in their order, and raises the code of the first that does not fit."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name == "Event":
            return check_event(value)
        if name == "Path":
            return need(check_path(value, 1) <= 12)
        check(DEFS[name], value, CODES.get(name, code))
        if name == "Timestamp":
            year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
            need(day <= calendar.monthrange(year, month)[1], "time")
        return None
    if "const" in schema:
        need(not isinstance(schema["const"], int) or not isinstance(value, int) or value >= 0, "number")
        return need(value == schema["const"] and type(value) is type(schema["const"]))
    if "oneOf" in schema:
        return check_one_of(schema["oneOf"], value)
    kind = schema["type"]
    if kind == "string":
        need(isinstance(value, str))
        text = schema.get("pattern", "").startswith("^[^")
        need(matches(schema, value), "text" if text else code)
    elif kind == "boolean":
        need(isinstance(value, bool))
    elif kind == "integer":
        need(isinstance(value, int) and not isinstance(value, bool))
        need(value >= 0, "number")
        need(schema.get("minimum", 0) <= value <= schema.get("maximum", MAX_INT))
    elif kind == "array":
        check_array(schema, value)
    else:
        need(isinstance(value, dict))
        if "propertyNames" not in schema:  # else any object of the profile
            check_members(schema, value)
    return None


def check_members(schema, value, skip=()):
    for name in sorted(set(schema["properties"]) | set(value)):
        need(name in schema["properties"])
        need(name in value or name not in schema["required"])
        if name in value and name not in skip:
            check(schema["properties"][name], value[name])


def check_array(schema, value):
    need(isinstance(value, list) and len(value) >= schema.get("minItems", 0))
    for item in value:
        check(schema["items"], item)
    order = schema.get("$comment", "")
    if order:
        by = re.search("by `([a-z]+)`", order)
        keys = [(item[by.group(1)] if by else canonical(item)).encode() for item in value]
        need(all(a < b for a, b in zip(keys, keys[1:])))


def check_one_of(variants, value):
    variants = [DEFS[v["$ref"].rpartition("/")[2]] if "$ref" in v else v for v in variants]
    if "const" in variants[0]:
        return need(isinstance(value, str) and any(value == v["const"] for v in variants))
    need(isinstance(value, dict))
    fits = [v for v in variants if set(v["required"]) <= set(value) <= set(v["properties"])]
    need(fits)
    return check(fits[0], value)


def check_event(value):
    need(isinstance(value, dict) and isinstance(value.get("type"), str))
    kinds = {one["$ref"].rpartition("/")[2] for one in DEFS["Event"]["oneOf"]}
    need(value["type"] in kinds, "unknown_kind")
    check(DEFS[value["type"]], value)


def check_path(value, depth):
    """Checks an approval path and counts its capacities (section 12)."""
    need(depth <= 4 and isinstance(value, dict))
    if set(value) == {"capacity"}:
        need(value["capacity"] in PATH_CAPACITIES)
        return 1
    need(set(value) in ({"all"}, {"any"}, {"stages"}, {"at_least", "of"}))
    parts = next(value[name] for name in ("all", "any", "stages", "of") if name in value)
    need(isinstance(parts, list) and parts)
    if "at_least" in value:
        least = value["at_least"]
        need(isinstance(least, int) and not isinstance(least, bool))
        need(least >= 0, "number")
        need(1 <= least <= len(parts))
    return sum(check_path(part, depth + 1) for part in parts)
