// Parses an AsyncAPI document with the public parser; says what it finds, and fails on errors and warnings.
import { readFile } from "node:fs/promises";
import parser from "@asyncapi/parser";

const { document, diagnostics } = await new parser.Parser().parse(await readFile(process.argv[2], "utf8"));
// the newest version of AsyncAPI is recommended as a matter of information, no more
const faults = diagnostics.filter((found) => found.severity <= 1);
for (const fault of faults) {
  console.error(`${fault.code}: ${fault.message} at ${fault.path.join("/")}`);
}
if (!document || faults.length > 0) process.exit(1);
const [channels, operations, messages] = [document.channels(), document.operations(), document.allMessages()];
console.log(`AsyncAPI ${document.version()}: ${channels.length} channels, ${operations.length} operations, ${messages.length} messages`);
