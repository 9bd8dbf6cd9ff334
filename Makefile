# Cordon: polices what a sandbox may reach, from the host side of its link.
#
# One non-recursive Makefile. Each folder that holds code has a part.mk which sets NAME_SRC and NAME_LIB
# and appends NAME to PROGS (programs), UNITS (unit tests), TOOLS (programs that tests run) or FUZZERS (libFuzzer targets). Every build
# kind has its own tree below build/. `make help` lists what there is.

B       ?= build/out
PARTS   := base policy nft netd netd/inspect dns gitproxy $(addprefix gitproxy/,front keeper scan gate mirror) cli \
	   $(addprefix tests/,unit tools fuzz bench)
VERSION := 0.1.0
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
	   -Wswitch-enum -Wundef -Wvla -Wwrite-strings -Wno-missing-field-initializers $(if $(WERROR),-Werror)
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE \
	   $(if $(SAN),,-D_FORTIFY_SOURCE=2)
LDHARD  := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
CFLAGS  ?= -O2 -g
SANF    := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
DEFS    := -D_GNU_SOURCE -DCORDON_VERSION='"$(VERSION)"' -DCORDON_LIBEXECDIR='"$(PREFIX)/libexec/cordon"' \
	   -DCORDON_DATADIR='"$(PREFIX)/share/cordon"' -DCORDON_EXAMPLES='"$(PREFIX)/share/doc/cordon/examples"'

PROGS :=
UNITS :=
TOOLS :=
FUZZERS :=
REPLAYS :=
BENCHES :=
comma := ,

.DEFAULT_GOAL := all
include $(wildcard $(PARTS:%=%/part.mk))

# One short line a file; V=1 shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)';)

all: $(PROGS:%=$(B)/%) ## build every program
unit: $(UNITS:%=$(B)/%) $(TOOLS:%=$(B)/%)
fuzzers: $(FUZZERS:%=$(B)/%)
replays: $(REPLAYS:%=$(B)/%)
benches: $(BENCHES:%=$(B)/%)

# Programs and unit tests link the objects their part.mk names.
define link
$(B)/$(1): $$($(1)_SRC:%.c=$(B)/obj/%.o)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)$$(CC) $$(SANF) $(2) $$(LDHARD) $$(LDFLAGS) $$^ $$($(1)_LIB) -o $$@
endef
$(foreach p,$(PROGS) $(UNITS) $(TOOLS) $(REPLAYS) $(BENCHES),$(eval $(call link,$(p))))
$(foreach p,$(FUZZERS),$(eval $(call link,$(p),$(FUZZLINK))))

# Other flags (a PREFIX, a sanitizer) build everything anew.
FLAGS := $(CC) $(DEFS) $(CFLAGS) $(SANF)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(FLAGS))' >$@

$(B)/obj/%.o: %.c Makefile $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(DEFS) -I. $(WARN) $(HARDEN) $(CFLAGS) $(SANF) -MMD -MP -c $< -o $@
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# ---- what this machine must have. apt-install.sh asks for nothing that is there. ----

BUILD_PKGS := gcc libc6-dev make libnftnl-dev libmnl-dev libnftables-dev libnetfilter-queue-dev \
	      libnetfilter-log-dev libnetfilter-conntrack-dev libc-ares-dev libssl-dev libyaml-dev libidn2-dev \
	      libcurl4-openssl-dev libbpf-dev libseccomp-dev libjansson-dev zlib1g-dev \
	      libvectorscan-dev libpcre2-dev libdeflate-dev
RUN_PKGS   := bubblewrap ca-certificates git iproute2 kmod netbase nftables openssh-client procps
TEST_PKGS  := python3 python3-pytest python3-pytest-xdist apache2-bin dnsmasq-base bind9-dnsutils curl openssl iputils-ping systemd \
	      iptables conntrack openssh-server git-lfs python3-pygit2 python3-dulwich python3-websockets jgit-cli default-jre-headless \
	      python3-pip cargo $(if $(shell command -v npm 2>/dev/null),,npm)	# a foreign nodejs brings npm, and conflicts
FUZZ_PKGS  := clang libclang-rt-dev
BENCH_PKGS := haproxy nginx-light wrk mitmproxy
VM_PKGS    := qemu-system-x86 mmdebstrap e2fsprogs

ROOT := $(filter 0,$(shell id -u))
INSTALL_PKGS = deploy/apt-install.sh
# As root what is missing is installed on the way; anyone else gets by with what is there.
ensure = $(if $(ROOT),@$(INSTALL_PKGS) $(1))

deps: ## install what building and running need (root, Debian)
	@$(INSTALL_PKGS) $(BUILD_PKGS) $(RUN_PKGS)
test-deps: deps ## install what the tests need
	@$(INSTALL_PKGS) $(TEST_PKGS)
bench-deps: test-deps ## install what the benchmarks compare with
	@$(INSTALL_PKGS) $(BENCH_PKGS)

vm-deps: test-deps ## install what the tests with virtual machines need
	@$(INSTALL_PKGS) $(VM_PKGS)

# ---- tests. Run through sudo, everything is still built as the calling user where that user can write. ----

AS_USER := deploy/as-user.sh
JOBS     = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
PYTEST  := PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -p no:cacheprovider
# Labs do not see each other, and tests wait more than they work: two files at a time for each processor.
ABREAST := $(if $(TESTS),,-n $(shell echo $$(($$(nproc) * 2))) --dist loadfile)
CHECKS  := address,undefined
# The unit tests' tree: sanitized, whatever the programs are.
CHECKED := $(if $(SAN),$(B),build/checked)

test: ## build, run every test (as root: install what is missing first)
	$(call ensure,$(BUILD_PKGS) $(RUN_PKGS) $(TEST_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) WERROR=1 all
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) WERROR=1 B=$(CHECKED) SAN=$(or $(SAN),$(CHECKS)) unit replays
	@B=$(B) CHECKED=$(CHECKED) UNITS="$(UNITS)" REPLAYS="$(REPLAYS)" $(PYTEST) $(ABREAST) $(or $(TESTS),tests)

san: ## the whole suite with sanitized daemons
	@$(MAKE) --no-print-directory B=build/san SAN=$(CHECKS) test

# Files that no run of the whole suite collects. VM_ACCEL=kvm where there is one, VM_MIRROR= for another mirror.
vm-test: ## boot Debian's kernel as a guest and as the gateway (root; downloads 150 MB once)
	$(call ensure,$(BUILD_PKGS) $(RUN_PKGS) $(TEST_PKGS) $(VM_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) all
	@B=$(B) $(PYTEST) -x $(or $(TESTS),tests/vm/guest.py tests/vm/gateway.py)

T ?= 60
fuzz: ## fuzz every target for T seconds each, or only ONLY=fuzz_x,...
	$(call ensure,$(BUILD_PKGS) $(FUZZ_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) B=build/fuzz CC=clang SAN=address,undefined,fuzzer-no-link fuzzers
	@for f in $(or $(subst $(comma), ,$(ONLY)),$(FUZZERS)); do \
		$(AS_USER) mkdir -p build/fuzz/corpus/$$f && \
		$(AS_USER) build/fuzz/$$f -max_total_time=$(T) -timeout=10 -artifact_prefix=build/fuzz/ \
			build/fuzz/corpus/$$f tests/fuzz/corpus/$${f#fuzz_} || exit 1; \
	done

# ---- to look at ----

demo: ## show the main job in namespaces of this machine, offline (root)
	$(call ensure,$(BUILD_PKGS) $(RUN_PKGS) $(TEST_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) all
	@B=$(B) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/demo.py build/demo.txt

lab: ## a shell in a sandbox of the lab (root)
	$(call ensure,$(BUILD_PKGS) $(RUN_PKGS) $(TEST_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) all
	@B=$(B) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/lab_shell.py

bench: ## measure against what one would otherwise run, or only ONLY=row,... (root)
	$(call ensure,$(BUILD_PKGS) $(RUN_PKGS) $(TEST_PKGS) $(BENCH_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) all benches
	@B=$(B) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/bench/run.py build/bench.json $(subst $(comma), ,$(ONLY))

# ---- installation ----

LIBEXEC := $(DESTDIR)$(PREFIX)/libexec/cordon
SHARE   := $(DESTDIR)$(PREFIX)/share
DAEMONS := $(filter-out cordon,$(PROGS))
EXAMPLES := $(patsubst deploy/examples/%,%,$(wildcard deploy/examples/*.yaml deploy/examples/*/*))
SYSTEMD := $(DESTDIR)$(PREFIX)/lib/systemd/system
SYSTEMD_FILES := $(patsubst deploy/systemd/%,%,$(wildcard $(addprefix deploy/systemd/,*.service *.target *.d/*.conf)))

install: ## DESTDIR= PREFIX=/usr/local (as root: install what is missing first)
	$(call ensure,$(BUILD_PKGS) $(RUN_PKGS))
	@$(AS_USER) $(MAKE) --no-print-directory $(JOBS) all
	@$(MAKE) --no-print-directory install-files

install-files: ## only put what is built in its place, for packages: DESTDIR= PREFIX=
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBEXEC) $(SHARE)/cordon
	install -m 755 $(B)/cordon $(DESTDIR)$(PREFIX)/bin/cordon
	$(if $(DAEMONS),install -m 755 $(DAEMONS:%=$(B)/%) $(LIBEXEC)/)
	install -m 644 nft/cordon.nft $(SHARE)/cordon/cordon.nft
	install -m 644 gitproxy/scan/rules.yaml $(SHARE)/cordon/scan-rules.yaml
	$(foreach f,$(wildcard deploy/man/*.[1-8]),install -D -m 644 $(f) $(SHARE)/man/man$(subst .,,$(suffix $(f)))/$(notdir $(f)) &&) :
	$(foreach f,$(EXAMPLES),install -D -m 644 deploy/examples/$(f) $(SHARE)/doc/cordon/examples/$(f) &&) :
	$(foreach f,$(wildcard deploy/sysusers.d/*.conf),install -D -m 644 $(f) $(DESTDIR)$(PREFIX)/lib/sysusers.d/$(notdir $(f)) &&) :
	$(foreach f,$(wildcard deploy/tmpfiles.d/*.conf),install -D -m 644 $(f) $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/$(notdir $(f)) &&) :
	@$(MAKE) --no-print-directory install-units

# Units name the programs by their whole path.
install-units:
	@$(foreach f,$(SYSTEMD_FILES),install -d $(dir $(SYSTEMD)/$(f)) && \
		sed 's|@PREFIX@|$(PREFIX)|g' deploy/systemd/$(f) >$(SYSTEMD)/$(f) && chmod 644 $(SYSTEMD)/$(f) &&) :
	@echo "units: $(SYSTEMD)"

uninstall: ## what install put there; configuration and state stay
	rm -f $(DESTDIR)$(PREFIX)/bin/cordon $(SHARE)/man/man*/cordon*.[1-8]
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/cordon.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/cordon.conf
	rm -f $(SYSTEMD_FILES:%=$(SYSTEMD)/%)
	-rmdir $(SYSTEMD)/nftables.service.d 2>/dev/null
	rm -rf $(LIBEXEC) $(SHARE)/cordon $(SHARE)/doc/cordon

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' Makefile
	@echo "variables: V=1 B=tree SAN=address,undefined WERROR=1 PREFIX=$(PREFIX) TESTS=tests/test_x.py"

clean: ## remove build/
	rm -rf build

.PHONY: all unit fuzzers replays benches deps test-deps bench-deps vm-deps test vm-test san fuzz demo lab bench \
	install install-files install-units uninstall help clean FORCE
