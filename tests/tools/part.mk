# Programs that tests run; `make unit` builds them, with what the unit tests are built with.
TOOLS += gate-check
gate-check_SRC := tests/tools/gate_check.c $(GATE_CHECKS) $(PUSH_COMMAND) policy/push.c policy/push_pattern.c policy/reason.c \
		  base/bytes.c base/ipc.c
gate-check_LIB := -lpthread
