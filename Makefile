# culprit: build, test, install. `make help` lists the targets.
#
#   BUILD=release|debug|asan|tsan|cov|fuzz   flags, and the folder build/$(BUILD)
#   WERROR=1                                 warnings are errors
#   CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR as usual

VERSION = 0.1.0
BUILD = release
B = build/$(BUILD)

PREFIX = /usr/local
bindir = $(PREFIX)/bin
libexecdir = $(PREFIX)/libexec
datadir = $(PREFIX)/share
mandir = $(datadir)/man
PKG_CONFIG = pkg-config
PACKAGES = libzstd libpcap yaml-0.1

flags_release = -O2 -g $(tuning) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
# As far as the compiler has them. Fields that are stored one by one and loaded as a vector make the load wait; GCC's
# tuning for all x86 processors clears a small struct by rep stos, which takes as long to begin as ten stores; and it
# inlines less than pays for functions that are few and much used. Who says the processor says how to tune.
tuning = $(eval tuning := $$(foreach flag,-fno-tree-slp-vectorize -finline-limit=800 $$(processor),\
	$$(call if_taken,$$(flag))))$(tuning)
processor = $(if $(findstring -march=,$(CC) $(CFLAGS))$(findstring -mtune=,$(CC) $(CFLAGS)),,\
	$(if $(filter x86_64-%,$(shell $(CC) -dumpmachine)),-mtune=skylake))
if_taken = $(shell $(CC) -Werror $(1) -S -x c /dev/null -o /dev/null 2>/dev/null && echo '$(1)')
flags_debug = -Og -g3
flags_asan = -DCU_UNCONFINED -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
flags_tsan = -DCU_UNCONFINED -DCU_PORTABLE -O1 -g -fsanitize=thread
flags_cov = -DCU_UNCONFINED -O0 -g --coverage
flags_fuzz = -DCU_UNCONFINED -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
ifeq ($(origin flags_$(BUILD)),undefined)
$(error BUILD=$(BUILD) is none of release debug asan tsan cov fuzz)
endif
ifeq ($(BUILD),fuzz)
CC = clang
endif

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla -Wundef \
	-Wwrite-strings $(if $(WERROR),-Werror)
all_cppflags = -I. -D_GNU_SOURCE -DCU_VERSION='"$(VERSION)"' $(CPPFLAGS)
# Of one file only, so that another PREFIX does not compile everything again.
cppflags_culprit = -DCU_LIBEXECDIR='"$(libexecdir)"'
all_cflags = -std=c17 -fPIE $(WARNINGS) $(flags_$(BUILD)) $(pkg_cflags) $(CFLAGS)
all_ldflags = -pie -Wl,-z,relro,-z,now $(flags_$(BUILD)) $(LDFLAGS)
# Asked once, and only when something is built.
pkg_cflags = $(eval pkg_cflags := $$(shell $(PKG_CONFIG) --cflags $(PACKAGES)))$(pkg_cflags)
libs = $(eval libs := $$(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lm)$(libs)
test_libs = $(eval test_libs := $$(shell $(PKG_CONFIG) --libs cmocka))$(test_libs)

programs = $(filter-out common culprit,$(notdir $(patsubst %/,%,$(dir $(wildcard cmd/*/*.c)))))
stages = $(sort $(programs))
objects = $(patsubst %.c,$(B)/%.o,$(1))
library = $(B)/libculprit.a
common = $(call objects,$(wildcard cmd/common/*.c))
lib_objects = $(call objects,$(wildcard lib/*/*.c)) $(B)/gen/rules_default.o $(B)/gen/html_page.o
culprit = $(B)/bin/culprit
stage_programs = $(stages:%=$(B)/libexec/culprit/%)
unit_helpers = $(call objects,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
unit_tests = $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
fuzzers = $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
lab_programs = $(patsubst %.c,$(B)/%,$(wildcard tests/lab/*.c)) $(B)/tests/lab/netstack $(B)/tests/lab/ns3
hostile_programs = $(B)/tests/bench/hostile $(B)/tests/bench/generate
fault_library = $(B)/tests/fault/fault.so
bench_programs = $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
# A page's name as installed: commands are culprit-NAME(1), as split(1) is another's.
pages_1 = $(notdir $(wildcard cmd/culprit/*.1)) $(patsubst %,culprit-%,$(notdir $(wildcard $(stages:%=cmd/%/*.1))))
page_5 = $(if $(filter rules.5 baseline.5,$1),culprit-)$1
pages_5 = $(foreach p,$(notdir $(wildcard lib/*/*.5)),$(call page_5,$p))
pages_8 = $(notdir $(wildcard contrib/*/*.8))
pages = $(pages_1:%=$(B)/share/man/man1/%) $(pages_5:%=$(B)/share/man/man5/%) $(pages_8:%=$(B)/share/man/man8/%)

# Commands are shown by what they make; V=1 shows them in full.
$(if $(V),,.SILENT:)
say = $(if $(V),:,echo '  $(1)')

.PHONY: all demo check check-tshark check-tcptrace check-memory check-nightly check-cluster check-s390x asan tsan fuzz cov
.PHONY: lint fmt lab compdb bench bench-guard bench-hostile bench-rules
.PHONY: install uninstall deb check-deb dist distcheck help clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(culprit) $(stage_programs) $(pages) ## build the programs (the default)

$(culprit): $(call objects,$(wildcard cmd/culprit/*.c)) $(common) $(library)
.SECONDEXPANSION:
$(stage_programs): $(B)/libexec/culprit/%: $$(call objects,$$(wildcard cmd/%/*.c)) $(common) $(library)
$(culprit) $(stage_programs):
	mkdir -p $(@D)
	$(call say,LD   $@)
	$(CC) $(all_ldflags) -o $@.new $^ $(libs) && mv $@.new $@ # whole at any time

$(library): $(lib_objects)
	$(call say,AR   $@)
	rm -f $@
	$(AR) rcs $@ $^

$(B)/%.o: %.c $(B)/flags
	mkdir -p $(@D)
	$(call say,CC   $<)
	$(CC) $(all_cppflags) $(cppflags_$(*F)) $(all_cflags) -MMD -MP -c -o $@ $<

$(B)/cmd/culprit/culprit.o: $(B)/paths
$(B)/gen/%.o: $(B)/gen/%.c $(B)/flags
	$(call say,CC   $<)
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -c -o $@ $<

$(B)/gen/rules_default.c: rules/default.yaml lib/embed.sh
	mkdir -p $(@D)
	sh lib/embed.sh cu_rules_default lib/rules/rules.h rules/default.yaml > $@

$(B)/gen/html_page.c: $(wildcard lib/report/html/*) lib/embed.sh
	mkdir -p $(@D)
	sh lib/report/html/assemble.sh > $(B)/gen/page.html
	sh lib/embed.sh cu_html_page lib/report/html.h $(B)/gen/page.html > $@

# Rewritten, and so newer than the objects, only when the compiler or a flag is another.
stamp = mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' > $@.new; cmp -s $@ $@.new && rm $@.new || mv $@.new $@
$(B)/flags: FORCE
	$(call stamp,$(shell $(CC) --version | head -n 1) $(CC) $(all_cppflags) $(all_cflags) $(all_ldflags))
$(B)/paths: FORCE
	$(call stamp,$(libexecdir))

$(B)/share/man/man1/culprit%: ; mkdir -p $(@D) && cp $< $@
$(B)/share/man/man5/%: ; mkdir -p $(@D) && cp $< $@
$(B)/share/man/man8/%: ; mkdir -p $(@D) && cp $< $@
$(foreach p,$(wildcard cmd/culprit/*.1),$(eval $(B)/share/man/man1/$(notdir $p): $p))
$(foreach p,$(wildcard $(stages:%=cmd/%/*.1)),$(eval $(B)/share/man/man1/culprit-$(notdir $p): $p))
$(foreach p,$(wildcard contrib/*/*.8),$(eval $(B)/share/man/man8/$(notdir $p): $p))
$(foreach p,$(wildcard lib/*/*.5),$(eval $(B)/share/man/man5/$(call page_5,$(notdir $p)): $p))

$(unit_tests): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(unit_helpers) $(library)
	$(call say,LD   $@)
	$(CC) $(all_ldflags) -o $@ $^ $(libs) $(test_libs)
ifeq ($(BUILD),fuzz)
$(fuzzers): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(library)
	$(call say,LD   $@)
	$(CC) $(all_ldflags) -fsanitize=fuzzer -o $@ $^ $(libs)
else # the same targets over the files of the corpus
$(fuzzers): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay.o $(library)
	$(call say,LD   $@)
	$(CC) $(all_ldflags) -o $@ $^ $(libs)
endif
$(fault_library): $(B)/%.so: %.c $(B)/flags
	mkdir -p $(@D)
	$(call say,LD   $@)
	$(CC) $(all_cppflags) -std=c17 -O1 -fPIC -shared $(WARNINGS) -o $@ $<
$(filter-out %/netstack %/ns3,$(lab_programs)) $(bench_programs): $(B)/%: $(B)/%.o $(library)
	$(call say,LD   $@)
	$(CC) $(all_ldflags) -o $@ $^ $(libs) $(libs_$(*F))
# lwIP comes without a pkg-config file; without its headers the program only says so.
lwip_headers = $(firstword $(wildcard /usr/include/lwip /usr/local/include/lwip))
cppflags_lwip = $(lwip_headers:%=-isystem %)
libs_lwip = $(if $(lwip_headers),-llwip -pthread)
# Go's packages as Debian has them; without them the program only says so.
go_path = /usr/share/gocode
$(B)/tests/lab/netstack: tests/lab/netstack.go
	mkdir -p $(@D)
	$(call say,GO   $@)
	if [ -d $(go_path)/src/gvisor.dev/gvisor ]; then GO111MODULE=off GOPATH=$(go_path) go build -o $@ $<; \
	else printf '#!/bin/sh\nexit 77\n' >$@ && chmod +x $@; fi
# Likewise ns-3, which is C++.
libs_ns3 = -lns3-core -lns3-network -lns3-internet -lns3-point-to-point -lns3-csma
$(B)/tests/lab/ns3: tests/lab/ns3.cc
	mkdir -p $(@D)
	$(call say,CXX  $@)
	if [ -e /usr/include/ns3/core-module.h ]; then $(CXX) -std=c++17 -O1 -Wall -Wextra -Wshadow -o $@ $< $(libs_ns3); \
	else printf '#!/bin/sh\nexit 77\n' >$@ && chmod +x $@; fi

demo: all ## show a verdict on the reference capture
	echo 'A client waits 108 seconds for an answer. Is it the client, the network or the server?'
	echo '$$ culprit run samples/reference.pcap'
	$(culprit) run samples/reference.pcap

check: all $(unit_tests) $(fuzzers) $(fault_library) $(hostile_programs) ## run the tests, or ONLY='NAME ...'; UPDATE=1 rewrites what they expect
	BUILD_DIR=$(B) CC='$(CC)' VERSION=$(VERSION) sh tests/run $(ONLY)

check-nightly: all ## kill culprit-nightly at KILLS random points (100), and compare with an undisturbed run
	dir=$$(mktemp -d) && cd $$dir && PATH=$(abspath $(B)/bin):$(CURDIR)/tests/cli/bin:$$PATH top=$(CURDIR) samples=$(CURDIR)/samples \
		$(CURDIR)/tests/cli/bin/check-nightly kills $(KILLS); status=$$?; rm -rf $$dir; exit $$status
KILLS = 100

check-cluster: all $(B)/tests/bench/generate ## contrib/cluster on a Slurm of its own, a task requeued (root, slurm-wlm)
	top=$(CURDIR) BUILD_DIR=$(abspath $(B)) sh tests/cluster/slurm

check-tcptrace: all ## compare each connection's totals with tcptrace's; FILES=
	BUILD_DIR=$(B) python3 tests/tcptrace/compare.py $(FILES)

check-tshark: all ## compare each segment's analysis with tshark's, over samples/ and ../shared/captures
	BUILD_DIR=$(B) tests/tshark/compare

check-s390x: all ## compare what a big-endian machine writes, under qemu-user; see tests/s390x for what it needs
	BUILD_DIR=$(B) sh tests/s390x

asan: ## run the tests under AddressSanitizer and UBSan
	$(MAKE) BUILD=asan check

tsan: ## run the tests of what has threads (compressing, decompressing, judging) under ThreadSanitizer
	$(MAKE) BUILD=tsan ONLY='test_crew test_docket test_stream test_record test_capture fuzz_capture fuzz_flowrec fuzz_pipeline \
		flowify.test analyze.test classify.test report.test damage compat bad-input' check

fuzz: ## fuzz each parser for TIME seconds (60), from its corpus
	$(MAKE) BUILD=fuzz fuzz-build
	for name in $(patsubst fuzz_%,%,$(notdir $(fuzzers))); do mkdir -p build/fuzz/corpus/$$name; \
		dict=tests/fuzz/$$name.dict; test -f $$dict && dict=-dict=$$dict || dict=; \
		build/fuzz/tests/fuzz/fuzz_$$name -max_total_time=$(TIME) -timeout=10 -print_final_stats=1 \
			-rss_limit_mb=1024 -malloc_limit_mb=2200 -artifact_prefix=build/fuzz/$$name- $$dict build/fuzz/corpus/$$name tests/corpus/$$name || exit 1; done
TIME = 60
.PHONY: fuzz-build
fuzz-build: $(fuzzers)

cov: ## run the tests; print how much of each module they reach, and the functions they do not
	$(MAKE) BUILD=cov check
	python3 contrib/lint/coverage build/cov

lint: all ## check module order, headers, pages, format, and for common mistakes
	BUILD_DIR=$(B) sh contrib/lint/lint

fmt: ## format the sources
	clang-format -i $$(find lib cmd tests -name '*.[ch]')

bench: all $(bench_programs) $(B)/tests/lab/wire ## measure against libpcap, tshark, tcptrace (DESIGN: numbers to reach)
	BUILD_DIR=$(B) sh tests/bench/run

bench-guard: all $(B)/tests/bench/generate ## compare instructions a packet of each stage with the committed ones; UPDATE=1
	BUILD_DIR=$(B) CC='$(CC)' sh tests/bench/guard

bench-rules: all $(B)/tests/bench/generate ## show that a thousand rules cost at most 1.5 times ten; PACKETS= TRANSACTIONS=
	BUILD_DIR=$(B) sh tests/bench/rules

bench-hostile: all $(hostile_programs) ## measure over captures that mean to exhaust it: PACKETS=250000 ATTACKS=
	PATH=$(CURDIR)/$(B)/libexec/culprit:$$PATH python3 tests/bench/hostile.py $(B)/tests/bench/hostile $(or $(PACKETS),250000) $(ATTACKS)

check-memory: all $(bench_programs) ## show that memory is flat over 1 and 5 GB of capture (SMALL= LARGE=)
	BUILD_DIR=$(B) sh tests/bench/memory

lab: all $(lab_programs) ## make captures with known culprits and score the verdicts (root); SEEDS=1 ONLY= STACK= OUT=
	BUILD_DIR=$(B) sh tests/lab/run

compdb: ## write compile_commands.json for editors
	{ printf '['; sep=; for f in $(wildcard lib/*/*.c cmd/*/*.c tests/*/*.c); do \
		printf '%s\n{"directory":"%s","file":"%s","command":"%s"}' "$$sep" "$(CURDIR)" "$$f" \
		'$(subst ",\",$(CC) $(subst ','\'',$(all_cppflags)) $(all_cflags)) -c '"$$f"; sep=,; done; printf '\n]\n'; \
	} > compile_commands.json

# What is installed, as source:destination; install and uninstall both go by it.
manifest = $(culprit):$(bindir)/culprit $(foreach s,$(stages),$(B)/libexec/culprit/$s:$(libexecdir)/culprit/$s) \
	$(foreach p,$(pages_1),$(B)/share/man/man1/$p:$(mandir)/man1/$p) \
	$(foreach p,$(pages_5),$(B)/share/man/man5/$p:$(mandir)/man5/$p) \
	$(foreach p,$(pages_8),$(B)/share/man/man8/$p:$(mandir)/man8/$p) \
	contrib/cron/culprit-nightly:$(bindir)/culprit-nightly \
	$(foreach u,$(wildcard contrib/systemd/*),$u:$(PREFIX)/lib/systemd/system/$(notdir $u)) \
	$(foreach e,culprit-nightly.cron culprit-rotated,contrib/cron/$e:$(datadir)/culprit/cron/$e) \
	contrib/completion/culprit.bash:$(datadir)/bash-completion/completions/culprit \
	contrib/completion/_culprit:$(datadir)/zsh/site-functions/_culprit \
	contrib/magic/culprit:$(datadir)/culprit/magic \
	$(foreach e,$(wildcard contrib/sql/*.sql),$e:$(datadir)/culprit/sql/$(notdir $e)) \
	$(foreach e,$(wildcard contrib/cluster/*),$e:$(datadir)/culprit/cluster/$(notdir $e)) \
	$(foreach e,culprit.lua README.md,contrib/wireshark/$e:$(datadir)/culprit/wireshark/$e) \
	$(foreach r,$(wildcard rules/*.yaml rules/services/*.yaml),$r:$(datadir)/culprit/$r)

install: all ## install under $(DESTDIR)$(PREFIX)
	for pair in $(manifest); do from=$${pair%%:*} to=$(DESTDIR)$${pair#*:}; mode=644; \
		test -x "$$from" && mode=755; \
		mkdir -p "$${to%/*}" && install -m $$mode "$$from" "$$to" && echo "$$to" || exit 1; done

uninstall: ## remove what install put there
	for pair in $(manifest); do rm -f "$(DESTDIR)$${pair#*:}"; done
	rmdir $(addprefix $(DESTDIR),$(libexecdir)/culprit $(addprefix $(datadir)/culprit,/rules/services /rules /cluster /cron /sql /wireshark /)) 2>/dev/null || :

deb: all ## make a Debian package in build/ (contrib/deb)
	MAKE='$(MAKE)' BUILD=$(BUILD) sh contrib/deb/build $(VERSION) build

check-deb: deb ## show the package to lintian, install it below a folder, run it, remove it
	sh contrib/deb/check build/culprit_$(VERSION)_$$(dpkg --print-architecture).deb

dist: ## make a source archive of the last commit
	mkdir -p build
	git archive --format=tar.gz --prefix=culprit-$(VERSION)/ -o build/culprit-$(VERSION).tar.gz HEAD

distcheck: dist ## build, test, install and uninstall from that archive
	sh contrib/lint/distcheck build/culprit-$(VERSION).tar.gz

help: ## list the targets
	awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

clean: ## remove build/
	rm -rf build

-include $(wildcard $(B)/*/*/*.d $(B)/gen/*.d)
