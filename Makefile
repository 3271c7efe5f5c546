# Sightline. `make` alone lists what can be done. Recipes run in bash from the repository's root.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What the work is done with; every tool is built once into bin/tools at the version named here.
GOLANGCI_LINT := v2.15.0
GOFUMPT       := v0.12.0
STATICCHECK   := v0.8.2
DEADCODE      := v0.52.0
PROTOC_GEN_GO  = $(shell sed -n 's|.*google.golang.org/protobuf \(v[0-9.]*\).*|\1|p' go.mod)

PKG     ?= ./...
VERSION  = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION)
TOOLS   := bin/tools
VENV    := .venv

export PATH := $(PATH):/usr/local/go/bin

# Sourced before anything that compiles: cgo flags, build tags and the place of ONNX Runtime.
ENV     := [[ ! -f build/env.sh ]] || . build/env.sh

# Gives folders that root made to the user who called sudo.
HAND_BACK = [[ $$EUID != 0 || -z $${SUDO_UID:-} ]] || chown -hR "$$SUDO_UID:$${SUDO_GID:-$$SUDO_UID}"

GO_FILES = find agent cloud docs models scripts -name '*.go' ! -name '*.pb.go'

##@ Use
.PHONY: help
help: ## list these targets
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: ## install what this machine lacks to build and run (says what, and only that)
	@scripts/setup

.PHONY: build
build: setup ## build the programs into bin/
	@$(ENV); for program in agent/cmd/sightline-agent agent/cmd/sightline-worker \
	  cloud/cmd/sightline-cloud cloud/cmd/sightline-demo; do \
	  [[ -n $$(find $$program -name '*.go' 2>/dev/null) ]] || continue; \
	  cgo=0; [[ $$program != *worker ]] || cgo=1; \
	  echo "build: bin/$${program##*/}"; \
	  CGO_ENABLED=$$cgo go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./$$program; \
	done; \
	$(HAND_BACK) bin

# The clock of the first verdict starts where make reads this: before set-up and build.
.PHONY: demo
demo: BEGAN := $(shell date +%s%3N)
demo: build ## the whole chain on this machine, until Ctrl-C; PARTS=50 ends it, FIRST_WITHIN=10s limits build and start
	@$(ENV); exec bin/sightline-demo --began $(BEGAN) $(if $(PARTS),--parts $(PARTS)) \
	  $(if $(FIRST_WITHIN),--first-within $(FIRST_WITHIN))

##@ Test
.PHONY: setup-tests
setup-tests:
	@scripts/setup --tests

# The chains of real servers keep time limits: they run one after the other, when all else is done.
.PHONY: test
test: setup-tests ## every test, with the race detector, real mosquitto and real Apache Kafka
	@$(ENV); packages=$$(go list $(PKG)); \
	most=$$(grep -v /cloud/e2e <<<"$$packages" || true); chains=$$(grep /cloud/e2e <<<"$$packages" || true); \
	[[ -z $$most ]] || go test -race -shuffle=on -timeout 20m $$most; \
	[[ -z $$chains ]] || go test -race -shuffle=on -timeout 20m -p 1 $$chains
	@bash scripts/setup_test.sh
	@bash scripts/gpu-check_test.sh

# The packages that are nothing without cgo. Any other that does not build without it is an error.
CGO_ONLY := agent/cmd/sightline-worker agent/internal/worker/infer/ort

.PHONY: test-unit
test-unit: ## the tests that need no server, no OpenCV and no ONNX Runtime (within a minute)
	@packages=$$(CGO_ENABLED=1 go list $(PKG)); \
	packages=$$(grep -v $(patsubst %,-e '/%$$',$(CGO_ONLY)) <<<"$$packages") || \
	  { echo "nothing in $(PKG) is tested without cgo"; exit 1; }; \
	CGO_ENABLED=0 go test -short -shuffle=on -timeout 5m -p 4 $(ARGS) $$packages # they wait as much as they compute

.PHONY: test-e2e
test-e2e: setup-tests ## only the tests against real servers
	@$(ENV); go test -race -count=1 -timeout 20m -p 1 ./cloud/e2e/...

.PHONY: test-boards
test-boards: setup ## alignment and comparison on all boards of the data set; make test takes a slice
	@$(ENV); SIGHTLINE_WHOLE=1 go test -count=1 -v -timeout 20m -run 'RealBoards|Simulated|WrongTemplates' \
	  ./agent/internal/worker/align ./agent/internal/worker/compare

.PHONY: test-training
test-training: $(VENV)/ready ## the tests in Python: of models/training and scripts
	@$(VENV)/bin/ruff check -q models/training models/vectors
	@$(VENV)/bin/ruff format --check -q models/training models/vectors
	@$(VENV)/bin/python -m pytest -q models/training/tests scripts

# What the pinned packages need themselves is pinned by the lock, a pip freeze of an environment that passed.
$(VENV)/ready: models/training/requirements.txt models/training/requirements.lock
	@echo "making $(VENV) for models/training (3 GB to download, once; 5.6 GB on the disk)"
	@python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/setup --training
	@python3 -m venv $(VENV) || { echo "python3 cannot make a virtual environment:" \
	  "run scripts/setup --training, which brings python3-venv, then this again"; exit 1; }
	@$(VENV)/bin/pip install -q -r $< -c models/training/requirements.lock || { \
	  echo "pip could not install what $< lists:" \
	  "check the network, then run this again"; exit 1; }
	@touch $@

##@ Train
DESIGN ?= pair
DATA   ?= $(or $(SIGHTLINE_DEEPPCB),$(wildcard ../shared/data/deeppcb))
PART   ?= block
RUN    ?= models/training/runs/$(DESIGN)
BUNDLE  = models/pcb-defects$(if $(filter pair,$(DESIGN)),-pair)
MODEL  ?= $(BUNDLE)/model.onnx

# Simulated boards that are mixed in: how many, and the share of clean ones.
SIM_BOARDS ?= 1200
SIM_CLEAN  ?= 0.2
SIM         = build/sim/train-$(SIM_BOARDS)-$(SIM_CLEAN)

.PHONY: train
train: boards-given $(VENV)/ready $(SIM) ## train a detector on boards of 640 × 640 px: DESIGN=pair or single, DATA=DIR with images/ID_test.jpg, images/ID_temp.jpg and labels/ID.txt, SIM_BOARDS=N, ARGS for train.py; goes on after a stop
	@resume=; [[ ! -f $(RUN)/last.pt ]] || { resume=--resume; \
	  echo "$(RUN)/last.pt is there: going on with it (remove $(RUN) to begin anew)"; }; \
	$(VENV)/bin/python models/training/train.py --data '$(DATA)' --sim $(SIM) --design $(DESIGN) \
	  --run $(RUN) $$resume $(ARGS)
	@$(VENV)/bin/python models/training/export.py --run $(RUN) --data '$(DATA)' --out $(RUN)/model.onnx
	@$(VENV)/bin/python models/training/quantize.py --data '$(DATA)' --model $(RUN)/model.onnx \
	  --out $(RUN)/model-int8.onnx
	@$(VENV)/bin/python models/training/report.py --data '$(DATA)' --run $(RUN) --model $(RUN)/model.onnx
	@echo; echo "Next:"; \
	echo "  look at the pictures in $(RUN)"; \
	echo "  make evaluate MODEL=$(RUN)/model.onnx                    metrics, and thresholds for the bundle"; \
	echo "  make evaluate MODEL=$(RUN)/model-int8.onnx ARGS='--against $(RUN)/model.onnx'"; \
	echo "  copy both models and the thresholds into $(BUNDLE); models/training/README.md says how to go on"

.PHONY: evaluate
evaluate: boards-given $(VENV)/ready ## metrics of MODEL=FILE on DATA=DIR (as for train), PART=block, group, train or all; ARGS='--bundle DIR' takes its thresholds, '--against FILE' compares
	@[[ -f '$(MODEL)' ]] || { echo "no model '$(MODEL)': set MODEL to an .onnx file, or make train first"; exit 1; }
	@echo "$(MODEL) on part $(PART) of $(DATA)"
	@$(VENV)/bin/python models/training/evaluate.py --model $(MODEL) --data '$(DATA)' --part $(PART) $(ARGS)

.PHONY: boards-given
boards-given:
	@[[ -d '$(DATA)/labels' ]] || { echo "no labelled boards in '$(DATA)': set DATA to a folder with" \
	  "images/<id>_test.jpg, images/<id>_temp.jpg and labels/<id>.txt, boards of 640 x 640 px"; exit 1; }

# Drawn under another name first, so that a stop leaves nothing that looks complete.
$(SIM):
	@echo "drawing $(SIM_BOARDS) simulated boards into $@ (once)"
	@rm -rf $@.partial; CGO_ENABLED=0 go run ./agent/cmd/simboards -out $@.partial \
	  -boards $(SIM_BOARDS) -seed 1001 -defects 6 -clean $(SIM_CLEAN)
	@mv $@.partial $@

##@ Keep it clean
.PHONY: lint
lint: setup $(TOOLS)/golangci-lint $(TOOLS)/gofumpt $(TOOLS)/deadcode ## format, lint, tidy and dead code; PKG=./agent/... narrows it
	@$(ENV); \
	unformatted=$$($(GO_FILES) | xargs -r $(TOOLS)/gofumpt -l); \
	[[ -z $$unformatted ]] || { echo "not formatted (make format):"; echo "$$unformatted"; exit 1; }; \
	$(TOOLS)/golangci-lint run $(PKG); \
	go mod tidy -diff; \
	dead=$$($(TOOLS)/deadcode -test -tags customenv,gocv_specific_modules,gocv_videoio ./...); \
	[[ -z $$dead ]] || { echo "$$dead"; exit 1; }

.PHONY: format
format: $(TOOLS)/golangci-lint ## write every Go file the way lint wants it
	@$(ENV); $(TOOLS)/golangci-lint fmt $(PKG)

.PHONY: staticcheck
staticcheck: setup $(TOOLS)/staticcheck ## staticcheck by itself
	@$(ENV); $(TOOLS)/staticcheck $(PKG)

.PHONY: archtest
archtest: ## prove that imports run the way docs/architecture.md draws them
	@$(ENV); go run ./scripts/archtest

.PHONY: proto
proto: $(TOOLS)/protoc-gen-go ## write the Go code of the .proto files (needs protoc)
	@command -v protoc >/dev/null || { echo "protoc is missing: apt install protobuf-compiler"; exit 1; }
	@PATH=$(CURDIR)/$(TOOLS):$$PATH protoc --go_out=. --go_opt=paths=source_relative \
	  $$(git ls-files '*.proto')

##@ Measure
.PHONY: setup-bench
setup-bench:
	@scripts/setup --bench

# A figure outside its limit makes it fail, after the JSON has been printed.
.PHONY: bench
bench: setup-bench build ## what Sightline adds to the model's own time, as a table and as JSON
	@$(ENV); go test -count=1 -v -run TheSteadyStateAllocatesNothing ./agent/internal/worker | grep allocations; \
	rm -f build/bench.json; status=0; \
	bin/sightline-agent bench --limits --json build/bench.json $(ARGS) || status=$$?; \
	[[ ! -f build/bench.json ]] || { tr -s '\n ' ' ' <build/bench.json; echo; }; \
	exit $$status

.PHONY: setup-peers
setup-peers:
	@scripts/setup --bench --training

.PHONY: bench-peers
bench-peers: setup-peers build ## the same frames and model through a plain Python pipeline, side by side
	@$(ENV); scripts/bench-peers $(ARGS)

# It ends with an error when a ratio is above its limit, after the figures have been printed. The disk's part
# is for root, who may mount one.
ROUNDS ?= 7
.PHONY: bench-faults
bench-faults: setup-tests ## decisions while cloud broker, Kafka or disk fail, beside healthy ones; ROUNDS=7 of each
	@$(ENV); SIGHTLINE_WHOLE=1 SIGHTLINE_ROUNDS=$(ROUNDS) go test -count=1 -v -timeout 20m \
	  -run DecisionsDoNotWait ./cloud/e2e/line

SWAPS ?= 1000
.PHONY: bench-swaps
bench-swaps: setup-tests ## swaps of bundles while parts pass: lost parts, times beside steady ones, memory; SWAPS=1000
	@$(ENV); SIGHTLINE_WHOLE=1 SIGHTLINE_ROUNDS=$$(($(SWAPS) / 50)) go test -count=1 -v -timeout 90m \
	  -run SwapsUnderLoad ./cloud/e2e/line

# Without a GPU, or without a library, it says that it was not run, writes nothing and ends well.
.PHONY: gpu-check
gpu-check: ## tests of execution providers and benchmark on this machine's NVIDIA GPU: ONNXRUNTIME=/path/libonnxruntime.so, PROVIDERS=tensorrt,cuda; writes build/gpu-check.txt
	@ONNXRUNTIME='$(ONNXRUNTIME)' PROVIDERS='$(PROVIDERS)' scripts/gpu-check

# It ends with an error when a bar is missed, after the figures have been printed.
.PHONY: bench-sheet
bench-sheet: build ## a simulated sheet of 16,384 × 16,384 px in tiles: time, memory, defects on seams; PAIR=1, ARGS for benchsheet
	@$(ENV); CGO_ENABLED=0 go run ./agent/cmd/benchsheet -out build/sheet \
	  $(if $(PAIR),-bundle models/pcb-defects-pair -template) $(ARGS)

# It ends with an error when a bar is missed, after the figures have been printed. Boards are linked and drawn
# anew, so that the figures are those of what stands here now.
.PHONY: bench-detectors
bench-detectors: $(if $(filter all,$(PART)),,boards-given) $(VENV)/ready build ## reference detectors and compare on DATA=DIR and simulated boards, beside their bars; PART=all: what is shipped on all boards of DATA=DIR, ARGS='--split test' of a part
	@rm -rf build/detectors; mkdir -p build/detectors
ifeq ($(PART),all)
	@[[ -d '$(DATA)' ]] || { echo "no folder '$(DATA)': set DATA to boards in the deeppcb layout"; exit 1; }
	@$(ENV); $(VENV)/bin/python scripts/detectors/bench.py --parts build/detectors --all '$(DATA)' $(ARGS)
else
	@for part in block group; do \
	  $(VENV)/bin/python models/training/boards.py --data '$(DATA)' --part $$part --out build/detectors/$$part; \
	done
	@$(ENV); CGO_ENABLED=0 go run ./agent/cmd/simboards -out build/detectors/sim \
	  -boards 500 -seed 2002 -clean 0.6; \
	$(VENV)/bin/python scripts/detectors/bench.py --parts build/detectors $(ARGS)
endif

.PHONY: clean
clean: ## remove what was built; what scripts/setup fetched stays
	@find bin -maxdepth 1 -type f -delete 2>/dev/null || true
	@rm -rf demo-out

# A marker named after the version makes a changed pin rebuild its tool, and a missing tool is built.
define tool
$(TOOLS)/$(1): $(TOOLS)/.$(1)-$(3)
	@echo "building $(1) $(3) into $(TOOLS)"
	@GOFLAGS= GOBIN=$(CURDIR)/$(TOOLS) nice go install $(2)@$(3)
	@touch $$@
$(TOOLS)/.$(1)-$(3):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.$(1)-* && touch $$@
endef
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT)))
$(eval $(call tool,gofumpt,mvdan.cc/gofumpt,$(GOFUMPT)))
$(eval $(call tool,staticcheck,honnef.co/go/tools/cmd/staticcheck,$(STATICCHECK)))
$(eval $(call tool,deadcode,golang.org/x/tools/cmd/deadcode,$(DEADCODE)))
$(eval $(call tool,protoc-gen-go,google.golang.org/protobuf/cmd/protoc-gen-go,$(PROTOC_GEN_GO)))
