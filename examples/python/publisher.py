"""Publishes events to conversationd: python publisher.py FILE

FILE holds JSON Lines, one event a line, as docs/contract.md says. SQS_CONVERSATION_QUEUE_URL names the queue; credentials and
region are read as every AWS tool reads them. Needs boto3. Publishing a file again is safe: what is sent twice is kept once.
"""

import hashlib
import json
import os
import random
import sys
import time

import boto3

BATCH = 10  # entries of a call, by SQS's own limit
BYTES = 1_048_576  # bytes of a call
TRIES = 8


def fifo_id(name):
    """`name` as a group id: itself where SQS allows it, else its readable beginning and its hash."""
    if 0 < len(name) <= 128 and all("!" <= c <= "~" for c in name):
        return name
    digest = hashlib.sha256(name.encode("utf-8")).hexdigest()
    readable = "".join(c for c in name if "!" <= c <= "~")
    return f"{readable[:63]}~{digest}"


def group_id(data):
    """One group for each thread: what is sent to it is handled in the order in which it was sent."""
    if data.get("conversation_id"):
        return fifo_id(f"{data['project_uuid']}:{data['conversation_id']}")
    parts = [data["project_uuid"], data.get("channel_uuid") or "", data.get("contact_urn") or ""]
    return fifo_id(":".join(parts))


def deduplication_id(event):
    """The same on every try of one event, and of no other: made of its own id, never drawn."""
    name = [group_id(event["data"]), event["event_type"], event["correlation_id"]]
    return hashlib.sha256("\0".join(name).encode("utf-8")).hexdigest()


def entry(event):
    return {
        "MessageBody": json.dumps(event, ensure_ascii=False),
        "MessageGroupId": group_id(event["data"]),
        "MessageDeduplicationId": deduplication_id(event),
    }


def batches(entries):
    """Cuts entries into calls, with one of each group at most: SQS may refuse any entry of a batch, and the ones of its
    group behind it must not overtake it."""
    batch, groups, size = [], set(), 0
    for sent in entries:
        length = len(sent["MessageBody"].encode("utf-8"))
        if len(batch) == BATCH or sent["MessageGroupId"] in groups or size + length > BYTES:
            yield batch
            batch, groups, size = [], set(), 0
        batch.append(sent)
        groups.add(sent["MessageGroupId"])
        size += length
    if batch:
        yield batch


def send(sqs, queue_url, batch):
    """Sends one batch until every entry of it is taken. A call may succeed and some of its entries fail."""
    waiting = {str(place): sent for place, sent in enumerate(batch)}
    for attempt in range(TRIES):
        try:
            answer = sqs.send_message_batch(
                QueueUrl=queue_url, Entries=[{"Id": place, **sent} for place, sent in waiting.items()]
            )
        except (sqs.exceptions.ClientError, boto3.exceptions.botocore.exceptions.BotoCoreError):
            if attempt + 1 == TRIES:
                raise
        else:
            failed = answer.get("Failed", [])
            refused = [fault["Code"] for fault in failed if fault["SenderFault"]]
            if refused:
                raise RuntimeError(f"the queue refuses an event for good: {refused[0]}")
            waiting = {fault["Id"]: waiting[fault["Id"]] for fault in failed}
        if not waiting:
            return
        time.sleep(random.uniform(0, min(10, 0.1 * 2**attempt)))
    raise RuntimeError(f"{len(waiting)} events are not taken after {TRIES} tries")


def publish(sqs, queue_url, events):
    count = 0
    for batch in batches(entry(event) for event in events):
        send(sqs, queue_url, batch)
        count += len(batch)
    return count


def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        events = (json.loads(line) for line in lines if line.strip())
        print("published", publish(boto3.client("sqs"), os.environ["SQS_CONVERSATION_QUEUE_URL"], events))


if __name__ == "__main__":
    main()
