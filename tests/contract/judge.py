"""Judges bodies by the published schemas: a line of JSON in, {"schema": NAME, "body": TEXT}; 1 or 0 out.

With "strict": true a field that the schema does not name is wrong as well, and why a body is not valid goes to the errors.

Checks the schemas against their meta-schema first, and knows the words of docs/contract.md that begin with x-.
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators


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


def closed(schema):
    """The same, with no field in any object but those it names."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        shut["additionalProperties"] = False
    return shut


def main():
    judges, strict = {}, {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        judge = validators.extend(Draft202012Validator, WORDS)
        judges[path.name.removesuffix(".json")] = judge(schema)
        strict[path.name.removesuffix(".json")] = judge(closed(schema), format_checker=FormatChecker())
    for line in sys.stdin:
        asked = json.loads(line)
        body = json.loads(asked["body"])
        if not asked.get("strict"):
            print(int(judges[asked["schema"]].is_valid(body)))
            continue
        faults = list(strict[asked["schema"]].iter_errors(body))
        print(int(not faults))
        for fault in faults:
            for cause in [fault, *(fault.context or [])]:
                print(f"{asked['schema']}: {cause.json_path}: {cause.message[:300]}", file=sys.stderr)


main()
