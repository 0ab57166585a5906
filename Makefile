# What can be done here; `make` alone lists it. Everything beyond the prerequisites is fetched into the user's cache folder.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vedette
# Set-up writes one file of environment; whatever uses cgo, the sample or the libraries sources it.
with := . $(cache)/env &&
programs := ./scripts/vedette $(addprefix ./,$(wildcard functions/*/cmd/*))

.PHONY: help setup build run test check image cluster-smoke accuracy bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: ## fetch what is missing: FFmpeg 7.1, ONNX Runtime, the sample clip
	@scripts/setup

build: setup ## build every program into bin/
	@mkdir -p bin
	@echo 'building into bin/ (the first time takes minutes)'
	@$(with) go build -o bin/ $(programs)

run: build ## start Vedette here and process the sample clip
	@$(with) exec bin/vedette up --sample "$$VEDETTE_SAMPLE"

test: setup ## run every test that needs no cluster
	@$(with) go test ./...

check: setup ## lint, with the rules of the architecture
	@scripts/check

image: setup ## make a container image of each function: build/*.tar
	@$(with) go run ./scripts/image

cluster-smoke: build image ## test a real Knative, the one of KUBECONFIG
	@integration/cluster/run

accuracy: setup ## measure how well Vedette sees, on scenes made at run time
	@$(with) go run ./integration/accuracy

bench: build ## measure how fast it is against the bare libraries
	@$(with) go run ./integration/bench

clean: ## remove what was built, not what was fetched
	rm -rf bin build
