# The verbs a person types. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help adopt rehearse rehearse-stop rehearse-clean rehearse-status rehearse-password env
.PHONY: postgresql mysql test test-compose molecule fuzz bench parity lint audit faults releases build
# From any directory: make -C CHECKOUT, or make -f CHECKOUT/Makefile. No built-in function of make takes a path with spaces.
ROOT := $(shell cd "$$(dirname "$$(printf %s '$(MAKEFILE_LIST)' | sed 's/^ *//')")" && pwd)
IN = cd "$(ROOT)" &&
# What a person types beside a verb, and nothing that the environment happens to have, reaches the program as it is.
said = $(if $(filter command,$(origin $(1))),$($(1)))
# make takes any word and any variable, and would rehearse something else than what was meant by a misspelt one. In capitals with _ is what
# programs read of the environment.
TAKES = SOURCE INVENTORY SITE PORT TARGET ARGS
typed := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
unknown := $(strip $(foreach name,$(typed),$(if $(filter $(TAKES) PYTHON,$(name))$(findstring _,$(name)),,$(name))))
empty := $(strip $(foreach name,$(filter SOURCE INVENTORY,$(typed)),$(if $($(name)),,$(name))))
verbs := $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' "$(ROOT)/Makefile")
words := $(filter-out $(verbs),$(MAKECMDGOALS))
$(if $(unknown),$(error there is no $(unknown)=... here: it takes $(TAKES)))
$(if $(empty),$(error $(empty) is empty: leave it out for the model project))
$(if $(words),$(error there is no verb $(words): `make help` lists them, and a folder is given by SOURCE=FOLDER))
export SAID_SOURCE = $(call said,SOURCE)
export SAID_INVENTORY = $(call said,INVENTORY)
export SAID_SITE = $(call said,SITE)
export SAID_PORT = $(call said,PORT)
export SAID_TARGET = $(call said,TARGET)
export SAID_ARGS = $(call said,ARGS)
export CALLED_FROM := $(CURDIR):$(PWD)
REHEARSE = $(IN) .venv/bin/python tools/rehearse.py
SAID = --source "$$SAID_SOURCE" --inventory "$$SAID_INVENTORY" --site "$$SAID_SITE" --port "$$SAID_PORT" --target "$$SAID_TARGET"
# The verbs that end something need no more than what is there.
END = $(IN) if test ! -e "$${REHEARSAL_HOME:-.rehearsal}"; then echo "nothing is rehearsed here"; exit 0; fi; \
	bash tools/bootstrap.sh check 2>/dev/null || bash tools/bootstrap.sh rehearse || exit 1; $(REHEARSE)

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' "$(ROOT)/Makefile" | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-18s %s\n", $$1, $$2}'

adopt: ## read the project SOURCE=FOLDER: what it needs, what that costs, an inventory (SITE=..., ARGS="-e project_id=... -C")
	@$(IN) bash tools/bootstrap.sh rehearse
	@$(REHEARSE) adopt $(SAID) --arguments="$$SAID_ARGS"

rehearse: ## deploy the model project, or SOURCE=FOLDER or INVENTORY=..., to Google Cloud's emulator on this machine (PORT=..., TARGET=compute_engine)
	@$(IN) bash tools/bootstrap.sh rehearse
	@$(REHEARSE) deploy $(SAID)

rehearse-stop: ## stop the rehearsal and all that it runs; its state is kept
	@$(END) stop

rehearse-clean: ## stop the rehearsal and remove its state
	@$(END) clean

rehearse-status: ## what the rehearsal has deployed
	@$(IN) bash tools/bootstrap.sh check
	@$(REHEARSE) status $(SAID)

rehearse-password: ## show the password of the rehearsal's admin (SITE=... of several)
	@$(IN) bash tools/bootstrap.sh check
	@$(REHEARSE) password $(SAID)

env: ## eval "$$(make env)": point this shell at the rehearsal, until rehearsal_off
	@$(IN) bash tools/bootstrap.sh check
	@$(REHEARSE) env $(SAID)

postgresql: ## bring PostgreSQL 16, 17 and 18 by npm, for rehearsals with the version that production has
	@$(IN) bash tools/bootstrap.sh rehearse
	@$(IN) .venv/bin/python tools/postgresql.py

mysql: ## bring MySQL servers, for rehearsals with a database of MySQL
	@$(IN) bash tools/bootstrap.sh rehearse
	@$(IN) .venv/bin/python tools/mysql.py

test: ## run the whole test suite (does its own set-up)
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python tools/test.py

fuzz: ## send the emulator many more absurd requests than the test suite does, other ones each time
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-5000} .venv/bin/pytest -q -p no:randomly emulator/tests/fuzz

test-compose: ## test the Compose stack; sets a container engine up where there is none
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python tools/test.py compose

molecule: ## test each role alone, those of servers in containers; sets a container engine up where there is none
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python tools/test.py molecule servers

parity: ## how the Compose stack, which is up, differs from a deployed site: make parity INVENTORY=inventories/prod
	@$(IN) bash tools/bootstrap.sh rehearse
	@$(IN) PATH="$(ROOT)/.venv/bin:$$PATH" .venv/bin/python tools/parity.py "$${SAID_INVENTORY:-inventories/local}"

lint: ## run the linters and type checkers only
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python tools/test.py lint

audit: ## look whether a vulnerability is known in what the locked requirements install
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python tools/audit.py

bench: ## measure every figure of the README (ARGS="--write" puts them there, ARGS="--sites 20 100" adds many sites)
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python -m tests.bench $(ARGS)

faults: ## disturb every call of a deploy with every fault, and write docs/faults.md (half an hour; ARGS="stall" for a part)
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) PYTHONPATH=collections:emulator/src:. .venv/bin/python -m tests.faults.matrix $(ARGS)

releases: ## visit the site while deploys go well, fail and are killed; writes docs/releases.md (half an hour; ARGS="--seed 7", "killed")
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) PATH="$(ROOT)/.venv/bin:$$PATH" PYTHONPATH=collections:emulator/src:. .venv/bin/python -m tests.releases $(ARGS)

build: ## build the collection's tarball, with its change log, into dist/
	@$(IN) bash tools/bootstrap.sh test
	@$(IN) .venv/bin/python tools/build.py
