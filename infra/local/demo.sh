#!/usr/bin/env bash
# The demo: real dialogues through the real daemon on the local stack. Called by `make demo`, which builds and starts both first.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"
eval "$(infra/local/stack.sh env)"
state=${LOCAL_STATE_DIR:-.local}
run=$state/run events=$state/demo.jsonl
conversationd() { cargo run --quiet --locked -- "$@"; }

conversationd provision
conversationd migrate
PYTHONUTF8=1 "$state"/venv/bin/python infra/local/corpus.py >"$events.new"
mv "$events.new" "$events"

cargo run --quiet --locked -- run >"$run/daemon.log" 2>&1 & # cargo becomes the daemon, so $! is its pid
daemon=$!
stop() { # a drain, as a deployment does it
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" || true
}
trap stop EXIT

conversationd publish "$events"
if ! kill -0 "$daemon" 2>/dev/null; then
  tail -n 20 "$run/daemon.log" >&2
  echo "demo: the daemon ended; its log is $run/daemon.log" >&2
  exit 1
fi

# Wait until every thread is archived, then show what is.
conversationd demo-report --file "$events"
