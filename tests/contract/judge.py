"""Judges bodies by the published schemas: a line of JSON in, {"schema": NAME, "body": TEXT}; 1 or 0 out.

Checks the schemas against their meta-schema first, and knows the words of docs/contract.md that begin with x-.
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator, ValidationError, validators


def json_bytes(value):
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))


def max_bytes(_, limit, value, __):
    size = len(value.encode("utf-8")) if isinstance(value, str) else json_bytes(value)
    if size > limit:
        yield ValidationError("too many bytes")


def max_json_bytes(_, limit, value, __):
    if json_bytes(value) > limit:
        yield ValidationError("too many bytes")


def max_different(_, limit, value, __):
    if isinstance(value, list) and len({json.dumps(entry) for entry in value}) > limit:
        yield ValidationError("too many entries")


WORDS = {"x-max-bytes": max_bytes, "x-max-json-bytes": max_json_bytes, "x-max-different": max_different}


def main():
    judges = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        judges[path.stem] = validators.extend(Draft202012Validator, WORDS)(schema)
    for line in sys.stdin:
        asked = json.loads(line)
        print(int(judges[asked["schema"]].is_valid(json.loads(asked["body"]))))


main()
