# trawl: make quickstart | check | build | install | check-all | bench | bench-train | bench-dispatch | bench-search | tune.
# Everything is built below $(BUILD).
BUILD   ?= build
CC      ?= cc
include packages.mk

PKGS    := libzmq sqlite3 libcjson libcurl libmicrohttpd libarchive libjpeg libpng libcrypto mpich cbc
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
WARN    := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wno-unused-parameter
OPT     := -O2 -g
CFLAGS   = -std=gnu11 $(WARN) -fopenmp -ffp-contract=off $(OPT)
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -ldnnl -lm -lpthread

# Three programs; every other source file belongs to one of four archives (arrows point down).
MAINS   := coordinator/main.c worker/agent_main.c worker/rank.c
sources  = $(filter-out $(MAINS),$(wildcard $(1)))
BASE    := $(call sources,core/base/*.c schemas/*.c core/data/fetch.c core/data/source.c)
CORE    := $(filter-out $(BASE),$(call sources,core/*/*.c core/*/*/*.c))
COORD   := $(call sources,coordinator/*.c coordinator/*/*.c)
WORKER  := $(call sources,worker/*.c)
SQL     := $(wildcard schemas/*.sql)
TESTS   := $(patsubst tests/%.c,%,$(wildcard tests/*.c))
BENCHES := $(patsubst tests/bench/%.c,bench/%,$(wildcard tests/bench/*.c))

obj      = $(patsubst %,$(BUILD)/%.o,$(1))
lib      = $(BUILD)/lib$(1).a
PROGRAMS := $(addprefix $(BUILD)/,trawl trawl-worker trawl-trial)

build: $(PROGRAMS)
tests: $(PROGRAMS) $(addprefix $(BUILD)/tests/,$(TESTS) $(BENCHES))
.PHONY: build tests clean
.SECONDARY: # objects of tests too: a changed library relinks them, no more

# A line per file; make V=1 shows whole commands.
say      = @echo "  $(1)  $(2)"; mkdir -p $(dir $@);
ifdef V
say      = mkdir -p $(dir $@);
endif

$(BUILD)/core/tensor/%.o: FAST := -O3
$(BUILD)/%.c.o: %.c
	$(call say,CC,$<) $(CC) $(CPPFLAGS) $(CFLAGS) $(FAST) -MMD -MP -c $< -o $@
$(BUILD)/%.sql.o: %.sql
	$(call say,LD,$<) ld -r -b binary -z noexecstack $< -o $@
$(call lib,base):        $(call obj,$(BASE) $(SQL))
$(call lib,core):        $(call obj,$(CORE))
$(call lib,coordinator): $(call obj,$(COORD))
$(call lib,worker):      $(call obj,$(WORKER))
$(BUILD)/lib%.a:
	$(call say,AR,$@) rm -f $@; ar rcs $@ $^

link = $(call say,LD,$@) $(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -o $@
$(BUILD)/trawl:        $(call obj,coordinator/main.c)   $(call lib,coordinator) $(call lib,base)
	$(link)
$(BUILD)/trawl-worker: $(call obj,worker/agent_main.c)  $(call lib,worker)      $(call lib,base)
	$(link)
$(BUILD)/trawl-trial:  $(call obj,worker/rank.c)        $(call lib,worker) $(call lib,core) $(call lib,base)
	$(link)
$(BUILD)/tests/golden: $(call obj,$(wildcard tests/goldens/*.c))
$(BUILD)/tests/%: $(BUILD)/tests/%.c.o $(call lib,coordinator) $(call lib,worker) $(call lib,core) $(call lib,base)
	$(link) -lcmocka

FUZZERS := $(patsubst tests/fuzz/%.c,fuzz/%,$(wildcard tests/fuzz/*.c))
fuzzers: $(addprefix $(BUILD)/tests/,$(FUZZERS))
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.c.o $(call lib,coordinator) $(call lib,core) $(call lib,base)
	$(link) -fsanitize=fuzzer

# ---- programs, systemd units and their user, below $(DESTDIR)$(PREFIX) ----
PREFIX  ?= /usr/local
INSTALL  = $(DESTDIR)$(PREFIX)
UNITS   := $(wildcard worker/deploy/*.service)
.PHONY: install
install: build
	@install -d $(addprefix "$(INSTALL)"/,bin lib/systemd/system lib/sysusers.d)
	@install $(PROGRAMS) "$(INSTALL)/bin"
	@$(foreach unit,$(UNITS),sed 's|@bin@|$(PREFIX)/bin|' $(unit) >"$(INSTALL)/lib/systemd/system/$(notdir $(unit))";)
	@install -m 644 worker/deploy/sysusers.conf "$(INSTALL)/lib/sysusers.d/trawl.conf"
packages-%: # BUILD, RUN, …: the names, for a package manager
	@echo $(PACKAGES_$*)

# ---- the two commands ----
.PHONY: quickstart check check-all fuzz fuzzers bench bench-train bench-dispatch bench-search tune
CHECK   := tidy $(filter-out sim golden trained,$(TESTS)) golden sim $(patsubst tests/%.sh,%,$(wildcard tests/*.sh))
SANITIZED := $(filter-out sim golden trained memory,$(TESTS)) # sanitizers keep what was freed
LONG    := $(patsubst tests/long/%.sh,long/%,$(wildcard tests/long/*.sh))

quickstart:
	@tests/packages $(PACKAGES_BUILD)
	@$(MAKE) --no-print-directory -j$$(nproc) build
	@sweeps/quickstart.sh $(BUILD)
check:
	@tests/packages $(PACKAGES_BUILD) $(PACKAGES_TEST)
	@$(MAKE) --no-print-directory -j$$(nproc) build tests
	@tests/run $(BUILD) $(CHECK)
check-all:
	@tests/packages $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_LONG) $(PACKAGES_SLURM)
	@$(MAKE) --no-print-directory -j$$(nproc) build tests
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(BUILD)/asan build tests \
		OPT="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined"
	@$(MAKE) --no-print-directory fuzz SECONDS=60
	@TRAWL_SIM_SEEDS=2000 tests/run $(BUILD) $(CHECK) \
		$(addprefix asan/,$(SANITIZED)) trained $(LONG)
fuzz: # hostile messages, sweeps, checkpoints and images: SECONDS each, with clang's libFuzzer
	@tests/packages $(PACKAGES_BUILD) $(PACKAGES_FUZZ)
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(BUILD)/fuzz CC=clang fuzzers \
		OPT="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
	@tests/fuzz/run $(BUILD)/fuzz $(SECONDS)
bench:
	@$(MAKE) --no-print-directory -j$$(nproc) build tests
	@tests/bench/run $(BUILD)
bench-train:
	@$(MAKE) --no-print-directory -j$$(nproc) build tests
	@tests/bench/train $(BUILD) $(PAIRS) $(SECONDS)

bench-dispatch:
	@$(MAKE) --no-print-directory -j$$(nproc) build $(BUILD)/tests/bench/dispatch
	@tests/bench/dispatch.sh $(BUILD) $(OPTIONS)
bench-search:
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/tests/bench/search
	@tests/bench/search.sh $(BUILD) $(SEEDS)
tune:
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/tests/bench/tune
	@tests/bench/tune.sh $(BUILD) core/tensor/onednn $(THREADS)

clean:
	rm -rf $(BUILD)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
