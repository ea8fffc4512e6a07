// Asks conversationd something: node build/requester.js get_context '{"project_uuid": …, "contact_urn": …, "channel_uuid": …}'
//
// Sent among the events of its thread, in its group: the answer knows of every event sent before. SQS_CONVERSATION_QUEUE_URL names
// the queue, REPLY_QUEUE_URL a queue of this program alone; the daemon's CONVERSATIOND_REPLY_QUEUES must name it too.
import { randomUUID } from "node:crypto";
import { DeleteMessageCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { type Data, entry, send } from "./publisher.js";

const PATIENCE = 30; // seconds

export interface Reply {
  event_type: string;
  correlation_id?: string;
  status: "ok" | "empty" | "not_found" | "rejected" | "expired" | "error";
  reason?: string;
  data: Record<string, unknown> | null;
}

/** Sends a request and waits for its reply; null when none comes. */
export async function ask(
  sqs: SQSClient,
  queueUrl: string,
  replyUrl: string,
  request: string,
  data: Data,
): Promise<Reply | null> {
  const deadline = Math.floor(Date.now() / 1000) + PATIENCE;
  const asked = { event_type: request, correlation_id: randomUUID(), reply_to: replyUrl, deadline, data };
  await send(sqs, queueUrl, [entry(asked)]);
  while (Date.now() / 1000 < deadline) {
    const receive = new ReceiveMessageCommand({ QueueUrl: replyUrl, WaitTimeSeconds: 10, MaxNumberOfMessages: 10 });
    for (const message of (await sqs.send(receive)).Messages ?? []) {
      await sqs.send(new DeleteMessageCommand({ QueueUrl: replyUrl, ReceiptHandle: message.ReceiptHandle }));
      const reply = JSON.parse(message.Body ?? "{}") as Reply;
      // any other is the late reply to a question that nobody waits for any more
      if (reply.correlation_id === asked.correlation_id) return reply;
    }
  }
  return null;
}

const [request = "", data = "{}"] = process.argv.slice(2);
const { SQS_CONVERSATION_QUEUE_URL: queueUrl = "", REPLY_QUEUE_URL: replyUrl = "" } = process.env;
const reply = await ask(new SQSClient({}), queueUrl, replyUrl, request, JSON.parse(data) as Data);
console.log(JSON.stringify(reply));
process.exitCode = reply !== null && ["ok", "empty"].includes(reply.status) ? 0 : 1;
