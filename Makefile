# The verbs a person types. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help rehearse rehearse-stop rehearse-clean rehearse-status rehearse-password
.PHONY: postgresql test test-compose fuzz bench parity lint faults build
INVENTORY = inventories/local
REHEARSE = .venv/bin/python tools/rehearse.py

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-18s %s\n", $$1, $$2}'

rehearse: ## deploy the model project to Google Cloud's emulator on this machine, with the production playbooks
	@tools/bootstrap.sh rehearse
	@$(REHEARSE) deploy

rehearse-stop: ## stop the rehearsal and all that it runs; its state is kept
	@test ! -x .venv/bin/python || $(REHEARSE) stop

rehearse-clean: ## stop the rehearsal and remove its state
	@test ! -x .venv/bin/python || $(REHEARSE) clean

rehearse-status: ## what the rehearsal has deployed
	@$(REHEARSE) status

rehearse-password: ## show the password of the rehearsal's admin
	@$(REHEARSE) password

postgresql: ## bring PostgreSQL 16, 17 and 18 by npm, for rehearsals with the version that production has
	@tools/bootstrap.sh rehearse
	@.venv/bin/python tools/postgresql.py

test: ## run the whole test suite (does its own set-up)
	@tools/bootstrap.sh test
	@.venv/bin/python tools/test.py

fuzz: ## send the emulator many more absurd requests than the test suite does, other ones each time
	@tools/bootstrap.sh test
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-5000} .venv/bin/pytest -q -p no:randomly emulator/tests/fuzz

test-compose: ## test the Compose stack; sets a container engine up where there is none
	@tools/bootstrap.sh test
	@.venv/bin/python tools/test.py compose

parity: ## how the Compose stack, which is up, differs from a deployed site: make parity INVENTORY=inventories/prod
	@tools/bootstrap.sh rehearse
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python tools/parity.py $(INVENTORY)

lint: ## run the linters and type checkers only
	@tools/bootstrap.sh test
	@.venv/bin/python tools/test.py lint

bench: ## measure every figure of the README (ARGS="--write" puts them there, ARGS="--sites 20 100" adds many sites)
	@tools/bootstrap.sh test
	@.venv/bin/python -m tests.bench $(ARGS)

faults: ## disturb every call of a deploy with every fault, and write docs/faults.md (half an hour; ARGS="stall" for a part)
	@tools/bootstrap.sh test
	@PYTHONPATH=collections:emulator/src:. .venv/bin/python -m tests.faults.matrix $(ARGS)

build: ## build the collection's tarball into dist/
	@tools/bootstrap.sh rehearse
	@.venv/bin/ansible-galaxy collection build --force --output-path dist collections/ansible_collections/org/djangogcp
