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
prefix := $(or $(PREFIX),$(HOME)/.local)

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
	@$(with_env) CONVERSATIOND_HOT_STORE=postgres cargo test --locked --test it --test operate --test dlq
	@$(MAKE) follow

follow: up ## what README and runbook say, word for word, on the local stack
	@cargo build --locked
	@if $(stack) ours; then $(with_env) $(tools)/python infra/local/follow.py; \
	else echo "nothing was followed: AWS_ENDPOINT_URL is not the local stack"; fi

# Our own code optimised, the dependencies as they are: a few minutes less to build, ten times the seeds.
simulate: ## the whole daemon on model edges: SEEDS=n seeds from FIRST=n on, or the trace of one SEED=x
	@SEEDS=$(or $(SEEDS),10000) $(if $(SEED),SEED=$(SEED)) $(if $(FIRST),FIRST=$(FIRST)) cargo test --quiet --locked \
		--config 'profile.dev.package.conversationd.opt-level=2' --test simulation no_seed -- --nocapture \
		| grep -vE '^(running |test |\.?$$)'

# Minutes to hours, not a part of `test`. `make chaos ARGS=--help` says more; REPORT=RELIABILITY.md writes the one of the project.
chaos: up ## faults on real daemons under load: KILLS=n STOPS=n TRIALS=n MINUTES=n SEED=x FAULTS=kill,stop OLD=program SIMULATE=seeds TESTS=all
	@$(with_env) cargo test --quiet --locked --test chaos -- run $(if $(FAULTS),--faults $(FAULTS)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(STOPS),--stops $(STOPS)) $(if $(TRIALS),--trials $(TRIALS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(DAEMONS),--daemons $(DAEMONS)) $(if $(TIMES),--times $(TIMES)) $(if $(AT_ONCE),--at-once $(AT_ONCE)) $(if $(OLD),--old $(OLD)) \
		$(if $(OLD_IS),--old-is '$(OLD_IS)') $(if $(SIMULATE),--simulate $(SIMULATE)) $(if $(TESTS),--tests $(TESTS)) $(if $(REPORT),--report $(REPORT)) $(ARGS)

# As optimised as a release: what it says of time is meant.
soak: up ## the same load without faults, at half of what the daemons take: MINUTES=n (60); writes docs/soak.md
	@$(with_env) cargo test --quiet --locked --profile bench --test chaos -- soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# A build of its own, as optimised as a release. Closes and claims need the stack; tokens are counted in Python too, if they can be.
bench: ## what taking a message in costs, and the rest: ONLY=parts, MESSAGES=n a run, ROUNDS=n, QUICK=1 without stack, PLOTS=1 draws
	@parts="$(or $(ONLY),$(if $(QUICK),quick,all))"; \
	case "$$parts" in all|*closes*|*relay*) $(stack) up; $(with_env) ;; *tokens*) $(stack) tools ;; esac; \
	case "$$parts" in all|*tokens*) $(tiktoken) || echo "Python's tiktoken cannot be installed" >&2 ;; esac; \
	if [ -x $(tools)/python ]; then export BENCH_PYTHON=$(tools)/python; fi; \
	ONLY="$(ONLY)" MESSAGES=$(MESSAGES) ROUNDS=$(ROUNDS) QUICK=$(QUICK) PLOTS=$(PLOTS) cargo bench --quiet --locked --bench ingest

tiktoken = $(tools)/python -c 'import tiktoken' 2>/dev/null || $(tools)/python -m pip install --quiet --disable-pip-version-check \
	--no-deps --require-hashes --only-binary :all: -r benches/ingest/requirements.txt

picture: ## paint anew what `top` shows, in the README and for its tests
	@PICTURE=write cargo test --quiet --locked --test top

check: ## format, lints, documentation, dependencies, infrastructure: everything that needs no stack
	@cargo fmt --check
	@cargo clippy --locked --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	@if $(has_deny); then cargo deny --offline --log-level error check bans licenses sources; else $(no_deny); fi
	@$(MAKE) infra-lint
	@if command -v shellcheck >/dev/null; then shellcheck infra/local/*.sh .ci/run; fi

# Which versions, licences and registries may be in the tree: deny.toml.
has_deny := command -v cargo-deny >/dev/null
no_deny := echo "deny.toml: NOT checked, there is no cargo-deny here; cargo install --locked cargo-deny" >&2

deny: ## dependencies: bans, licences, sources and known faults; OFFLINE=1 takes the advisories that are there
	@if ! $(has_deny); then $(no_deny); exit 1; fi
	@cargo deny $(if $(OFFLINE),--offline) --log-level error check

book: ## docs/ as a book of HTML pages, in target/book
	@if ! command -v mdbook >/dev/null; then \
	echo "docs/ is plain Markdown, docs/SUMMARY.md its contents; a book of it needs mdBook: cargo install --locked mdbook" >&2; exit 1; fi
	@mdbook build

install: ## the program, its completions and its manual pages, below PREFIX (~/.local)
	@CONVERSATIOND_COMMIT=$$(git rev-parse --short=12 HEAD 2>/dev/null || true) \
		cargo install --locked --path . --root "$(prefix)" --no-track --force
	@mkdir -p "$(prefix)"/share/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
	@"$(prefix)/bin/conversationd" completions bash >"$(prefix)/share/bash-completion/completions/conversationd"
	@"$(prefix)/bin/conversationd" completions zsh >"$(prefix)/share/zsh/site-functions/_conversationd"
	@"$(prefix)/bin/conversationd" completions fish >"$(prefix)/share/fish/vendor_completions.d/conversationd.fish"
	@"$(prefix)/bin/conversationd" man --out "$(prefix)/share/man/man1"

infra-lint:
	@$(stack) tools
	@$(tools)/cfn-lint infra/conversationd.yaml
	@echo "infra/conversationd.yaml: lints clean"
	@$(tools)/python infra/local/check_kubernetes.py

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

.PHONY: help run demo test follow simulate chaos soak bench picture check deny book install infra-lint infra-check up down status reset
