"""Real dialogues as traffic: chatterbot-corpus in Portuguese, Spanish and English, as events of the wire contract.

One topic of the corpus is one contact's thread: its dialogues one after the other, the first statement from the contact,
the next from us, and so on; then session.closed. The threads are interleaved round-robin, as traffic is: order holds
inside a thread, and only there. The same --run and --start print the same lines.
"""

import argparse
import hashlib
import importlib.util
import json
import sys
import uuid
from datetime import datetime, timedelta, timezone
from itertools import zip_longest
from pathlib import Path

import yaml

LANGUAGES = "portuguese", "spanish", "english"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "corpus.conversationd.example")


def dialogues(path):
    """The file's dialogues, each a list of texts."""
    # BaseLoader leaves every scalar the text it is: `1492`, `Yes` and `~` are answers here, not numbers or truth values.
    for dialogue in yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)["conversations"]:
        texts = (text(statement) for statement in (dialogue if isinstance(dialogue, list) else [dialogue]))
        yield [t for t in texts if t]


def text(statement):
    if isinstance(statement, dict):  # an unquoted colon in a sentence
        statement = ", ".join(f"{key}: {value}" for key, value in statement.items())
    return str(statement).strip()


def seed(*parts):
    """A stable number for a name."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")


def thread(language, path, run, start, limit):
    """The events of one topic."""
    name = f"{run}/{language}/{path.stem}"
    # Brazil has no area code 00, so nobody has this number.
    identity = {
        "project_uuid": str(uuid.uuid5(NAMESPACE, f"project/{language}")),
        "contact_urn": f"whatsapp:+5500{seed(name) % 10**9:09}",
        "channel_uuid": str(uuid.uuid5(NAMESPACE, f"channel/{language}")),
    }
    at, n = start, 0
    for dialogue in dialogues(path):
        for turn, said in enumerate(dialogue):
            if limit is not None and n >= limit:
                break
            n += 1
            at += timedelta(milliseconds=500 + seed(name, n) % 1000)
            incoming = turn % 2 == 0
            yield {
                "event_type": "message.received" if incoming else "message.sent",
                "correlation_id": f"{name}/{n}",
                "data": identity
                | {
                    "message": {
                        "id": str(uuid.uuid5(NAMESPACE, f"{name}/{n}")),
                        "text": said,
                        "source": "incoming" if incoming else "outgoing",
                        "created_at": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z",
                        "contact_name": path.stem,
                    }
                },
            }
    yield {
        "event_type": "session.closed",
        "correlation_id": f"{name}/closed",
        "data": identity | {"session_id": str(uuid.uuid5(NAMESPACE, f"{name}/session"))},
    }


def utc(argument):
    at = datetime.fromisoformat(argument.replace("Z", "+00:00"))
    return at.astimezone(timezone.utc) if at.tzinfo else at.replace(tzinfo=timezone.utc)


def main():
    now = datetime.now(timezone.utc)
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--run", default=now.strftime("%Y%m%dT%H%M%SZ"), help="new ids and contacts for every run (now)")
    options.add_argument("--start", type=utc, default=now.replace(second=0, microsecond=0) - timedelta(hours=1),
                         help="before the first message of every thread, ISO 8601 (an hour ago)")  # fmt: skip
    options.add_argument("--limit", type=int, help="at most so many messages of each thread (all)")
    options = options.parse_args()

    corpus = Path(importlib.util.find_spec("chatterbot_corpus").origin).parent / "data"
    files = [(language, path) for language in LANGUAGES for path in sorted((corpus / language).glob("*.yml"))]
    threads = [thread(language, path, options.run, options.start, options.limit) for language, path in files]
    messages = 0
    for round_ in zip_longest(*threads):
        for event in filter(None, round_):
            messages += event["event_type"].startswith("message.")
            print(json.dumps(event, ensure_ascii=False))
    print(f"{len(threads)} threads, {messages} messages, run {options.run}", file=sys.stderr)


if __name__ == "__main__":
    main()
