"""Counts tokens as tokens.rs does, with tiktoken: TABLE FOLDER; texts come as JSON on standard input."""

import json
import os
import statistics
import sys
import time

import tiktoken
import tiktoken_ext.openai_public as tables
from tiktoken.load import load_tiktoken_bpe


def resident():
    """Bytes, 0 where there is no /proc."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
    except OSError:
        return 0


table, folder = sys.argv[1:]
asked = json.load(sys.stdin)
# the file that stands in the folder, not the one at this address, nor an older one in a cache
os.environ["TIKTOKEN_CACHE_DIR"] = ""
tables.load_tiktoken_bpe = lambda url, expected_hash=None: load_tiktoken_bpe(
    os.path.join(folder, url.rsplit("/", 1)[1]), expected_hash
)

before, begun = resident(), time.process_time()
encoding = tiktoken.get_encoding(table)
encoding.encode_ordinary("a")
load_millis, load_bytes = (time.process_time() - begun) * 1e3, resident() - before

counts, micros = [], []
for texts in asked["texts"]:

    def once():
        begun = time.process_time()
        counted = sum(len(encoding.encode_ordinary(text)) for text in texts)
        return counted, (time.process_time() - begun) * 1e6 / len(texts)

    counts.append(once()[0])
    micros.append(statistics.median(once()[1] for _ in range(asked["passes"])))

print(json.dumps({"load_millis": load_millis, "load_bytes": max(load_bytes, 0), "counts": counts, "micros": micros}))
