# Every target starts what it needs. What the environment already says (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS,
# DATABASE_URL, ...) is used as it is, and nothing local is started in its place.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

stack := infra/local/stack.sh
tools := $(or $(LOCAL_STATE_DIR),.local)/venv/bin
with_env := eval "$$($(stack) env)";
cargo_run := cargo run --quiet --locked --

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: up ## the daemon alone, on the local stack, until Ctrl-C
	@$(with_env) $(cargo_run) provision; $(cargo_run) migrate; exec $(cargo_run) run

demo: ## real dialogues through the daemon, and what it kept of them
	@cargo build --locked
	@$(stack) up
	@infra/local/demo.sh

test: infra-check ## every test, against the local stack
	@$(with_env) cargo test --locked

# Our own code optimised, the dependencies as they are: a few minutes less to build, ten times the seeds.
simulate: ## the whole daemon on model edges: SEEDS=n seeds from FIRST=n on, or the trace of one SEED=x
	@SEEDS=$(or $(SEEDS),10000) $(if $(SEED),SEED=$(SEED)) $(if $(FIRST),FIRST=$(FIRST)) cargo test --quiet --locked \
		--config 'profile.dev.package.conversationd.opt-level=2' --test simulation no_seed -- --nocapture \
		| grep -vE '^(running |test |\.?$$)'

# A build of its own, as optimised as a release. Only closes need the stack.
bench: ## what taking a message in costs, beside the least it could; answers and closes: MESSAGES=n a run, ROUNDS=n, QUICK=1
	@if [ -z "$(QUICK)" ]; then $(stack) up; $(with_env) fi; \
		MESSAGES=$(MESSAGES) ROUNDS=$(ROUNDS) QUICK=$(QUICK) cargo bench --quiet --locked --bench ingest

check: ## format, lints, infrastructure: everything that needs no stack
	@cargo fmt --check
	@cargo clippy --locked --all-targets -- -D warnings
	@$(MAKE) infra-lint
	@if command -v shellcheck >/dev/null; then shellcheck infra/local/*.sh .ci/run; fi

infra-lint:
	@$(stack) tools
	@$(tools)/cfn-lint infra/conversationd.yaml
	@echo "infra/conversationd.yaml: lints clean"

infra-check: infra-lint up ## deploy the infrastructure under a throw-away name, compare, remove
	@if $(stack) ours; then $(with_env) $(tools)/python infra/local/deploy.py --check; \
	else echo "infra/conversationd.yaml: not deployed, AWS_ENDPOINT_URL is not the local stack"; fi

up: ## start the local stack: SQS, DynamoDB, PostgreSQL
	@$(stack) up

down: ## stop it
	@$(stack) down

status: ## what is up
	@$(stack) status

reset: ## forget everything it stored, start it afresh
	@$(stack) reset

.PHONY: help run demo test simulate bench check infra-lint infra-check up down status reset
