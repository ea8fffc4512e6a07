// Publishes events to conversationd: npm run build && node build/publisher.js FILE
//
// FILE holds JSON Lines, one event a line, as docs/contract.md says. SQS_CONVERSATION_QUEUE_URL names the queue; credentials and
// region are read as every AWS tool reads them. Publishing a file again is safe: what is sent twice is kept once.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { SendMessageBatchCommand, SQSClient } from "@aws-sdk/client-sqs";

const BATCH = 10; // entries of a call, by SQS's own limit
const BYTES = 1_048_576; // bytes of a call
const TRIES = 8;

export interface Data {
  project_uuid: string;
  contact_urn?: string;
  channel_uuid?: string;
  conversation_id?: string;
  [field: string]: unknown;
}

export interface Event {
  event_type: string;
  /** The publisher's own id of the event, the same on every try. */
  correlation_id: string;
  data: Data;
  [field: string]: unknown;
}

export interface Entry {
  MessageBody: string;
  MessageGroupId: string;
  MessageDeduplicationId: string;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** `name` as a group id: itself where SQS allows it, else its readable beginning and its hash. */
export function fifoId(name: string): string {
  if (/^[!-~]{1,128}$/.test(name)) return name;
  return `${name.replace(/[^!-~]/gu, "").slice(0, 63)}~${sha256(name)}`;
}

/** One group for each thread: what is sent to it is handled in the order in which it was sent. */
export function groupId(data: Data): string {
  if (data.conversation_id) return fifoId(`${data.project_uuid}:${data.conversation_id}`);
  return fifoId([data.project_uuid, data.channel_uuid ?? "", data.contact_urn ?? ""].join(":"));
}

/** The same on every try of one event, and of no other: made of its own id, never drawn. */
export function deduplicationId(event: Event): string {
  return sha256([groupId(event.data), event.event_type, event.correlation_id].join("\0"));
}

export function entry(event: Event): Entry {
  return {
    MessageBody: JSON.stringify(event),
    MessageGroupId: groupId(event.data),
    MessageDeduplicationId: deduplicationId(event),
  };
}

/**
 * Cuts entries into calls, with one of each group at most: SQS may refuse any entry of a batch, and the ones of its group behind
 * it must not overtake it.
 */
export async function* batches(entries: AsyncIterable<Entry>): AsyncGenerator<Entry[]> {
  let batch: Entry[] = [];
  let groups = new Set<string>();
  let size = 0;
  for await (const sent of entries) {
    const length = Buffer.byteLength(sent.MessageBody);
    if (batch.length === BATCH || groups.has(sent.MessageGroupId) || size + length > BYTES) {
      yield batch;
      [batch, groups, size] = [[], new Set(), 0];
    }
    batch.push(sent);
    groups.add(sent.MessageGroupId);
    size += length;
  }
  if (batch.length > 0) yield batch;
}

/** Sends one batch until every entry of it is taken. A call may succeed and some of its entries fail. */
export async function send(sqs: SQSClient, queueUrl: string, batch: Entry[]): Promise<void> {
  let waiting = batch.map((sent, place) => ({ Id: String(place), ...sent }));
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await sqs.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries: waiting }));
      const failed = answer.Failed ?? [];
      const refused = failed.find((fault) => fault.SenderFault);
      if (refused) throw new Refused(`the queue refuses an event for good: ${refused.Code}`);
      waiting = waiting.filter((sent) => failed.some((fault) => fault.Id === sent.Id));
      if (waiting.length === 0) return;
      if (attempt === TRIES) throw new Refused(`${waiting.length} events are not taken after ${TRIES} tries`);
    } catch (fault) {
      if (fault instanceof Refused || attempt === TRIES) throw fault;
    }
    await pause(Math.random() * Math.min(10_000, 100 * 2 ** attempt));
  }
}

class Refused extends Error {}

async function* entriesOf(file: string): AsyncGenerator<Entry> {
  for await (const line of createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Infinity })) {
    if (line.trim() !== "") yield entry(JSON.parse(line) as Event);
  }
}

async function main(file: string, queueUrl: string): Promise<void> {
  const sqs = new SQSClient({});
  let count = 0;
  for await (const batch of batches(entriesOf(file))) {
    await send(sqs, queueUrl, batch);
    count += batch.length;
  }
  console.log(`published ${count}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(process.argv[2] ?? "", process.env.SQS_CONVERSATION_QUEUE_URL ?? "");
}
