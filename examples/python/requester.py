"""Asks conversationd something: python requester.py get_context '{"project_uuid": …, "contact_urn": …, "channel_uuid": …}'

Sent among the events of its thread, in its group: the answer knows of every event sent before. SQS_CONVERSATION_QUEUE_URL names
the queue, REPLY_QUEUE_URL a queue of this program alone; the daemon's CONVERSATIOND_REPLY_QUEUES must name it too.
"""

import json
import os
import sys
import time
import uuid

import boto3

from publisher import entry, send

PATIENCE = 30  # seconds


def ask(sqs, queue_url, reply_url, request, data):
    """Sends a request and waits for its reply; None when none comes."""
    now = time.time()
    asked = {
        "event_type": request,
        "correlation_id": str(uuid.uuid4()),
        "reply_to": reply_url,
        "deadline": int(now + PATIENCE),
        "data": data,
    }
    send(sqs, queue_url, [entry(asked)])
    while time.time() < now + PATIENCE:
        answer = sqs.receive_message(QueueUrl=reply_url, WaitTimeSeconds=10, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=reply_url, ReceiptHandle=message["ReceiptHandle"])
            reply = json.loads(message["Body"])
            # any other is the late reply to a question that nobody waits for any more
            if reply.get("correlation_id") == asked["correlation_id"]:
                return reply
    return None


def main():
    queue_url, reply_url = os.environ["SQS_CONVERSATION_QUEUE_URL"], os.environ["REPLY_QUEUE_URL"]
    reply = ask(boto3.client("sqs"), queue_url, reply_url, sys.argv[1], json.loads(sys.argv[2]))
    print(json.dumps(reply, ensure_ascii=False))
    sys.exit(0 if reply and reply["status"] in ("ok", "empty") else 1)


if __name__ == "__main__":
    main()
