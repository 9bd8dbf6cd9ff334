# Cordon: polices what a sandbox may reach, from the host side of its link.
#
# One non-recursive Makefile. Each folder that holds code has a part.mk which sets NAME_SRC and NAME_LIB
# and appends NAME to PROGS (programs), UNITS (unit tests) or FUZZERS (libFuzzer targets). Every build
# kind has its own tree below build/. `make help` lists what there is.

B       ?= build/out
PARTS   := base policy nft netd netd/inspect dns gitproxy gitproxy/keeper cli tests/unit tests/fuzz
VERSION := 0.1.0
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
	   -Wswitch-enum -Wundef -Wvla -Wwrite-strings $(if $(WERROR),-Werror)
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE \
	   $(if $(SAN),,-D_FORTIFY_SOURCE=2)
LDHARD  := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
CFLAGS  ?= -O2 -g
SANF    := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
DEFS    := -D_GNU_SOURCE -DCORDON_VERSION='"$(VERSION)"' -DCORDON_LIBEXECDIR='"$(PREFIX)/libexec/cordon"' \
	   -DCORDON_DATADIR='"$(PREFIX)/share/cordon"'

PROGS :=
UNITS :=
FUZZERS :=

.DEFAULT_GOAL := all
include $(wildcard $(PARTS:%=%/part.mk))

all: $(PROGS:%=$(B)/%) ## build every program
unit: $(UNITS:%=$(B)/%)
fuzzers: $(FUZZERS:%=$(B)/%)

# Programs and unit tests link the objects their part.mk names.
define link
$(B)/$(1): $$($(1)_SRC:%.c=$(B)/obj/%.o)
	@mkdir -p $$(@D)
	$$(CC) $$(SANF) $(2) $$(LDHARD) $$(LDFLAGS) $$^ $$($(1)_LIB) -o $$@
endef
$(foreach p,$(PROGS) $(UNITS),$(eval $(call link,$(p))))
$(foreach p,$(FUZZERS),$(eval $(call link,$(p),$(FUZZLINK))))

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(DEFS) -I. $(WARN) $(HARDEN) $(CFLAGS) $(SANF) -MMD -MP -c $< -o $@
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

clean: ## remove build/
	rm -rf build

.PHONY: all unit fuzzers clean
