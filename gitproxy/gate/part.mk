# The push gate's judge. GATE_IPC is what cordon-mirror needs to ask it (with base/msg.c, base/ipc.c); GATE_PACK what
# reads packs, of clients and of repositories (with gitproxy/oid.c, base/bytes.c and GATE_PACK_LIB).
GATE_IPC := gitproxy/gate/gate_ipc.c gitproxy/scan/fingerprint.c
GATE_PACK := $(addprefix gitproxy/gate/,entry.c inflate.c pack.c resolve.c index.c store.c loose.c objects.c)
GATE_PACK_LIB := -ldeflate -lz -lcrypto -lpthread
GATE_CHECKS := gitproxy/gate/checks.c

PROGS += cordon-scan
cordon-scan_SRC := $(addprefix gitproxy/gate/,main.c confine.c judge.c judge_file.c question.c contents.c weigh.c tell.c publish.c) \
		   $(GATE_PACK) $(GATE_CHECKS) gitproxy/gate/gate_ipc.c gitproxy/scan/exceptions.c $(SCAN_SRC) $(SCAN_DOC) \
		   $(PUSH_COMMAND) policy/push.c policy/push_pattern.c policy/reason.c base/msg.c base/ipc.c $(BASE_CORE) $(BASE_PROC)
cordon-scan_LIB := $(SCAN_LIB) $(GATE_PACK_LIB) -lseccomp
