# The push gate's judge. GATE_IPC is what cordon-mirror needs to ask it (with base/msg.c, base/ipc.c); GATE_PACK what
# reads packs, of clients and of repositories (with gitproxy/oid.c, base/bytes.c and GATE_PACK_LIB).
GATE_IPC := gitproxy/gate/gate_ipc.c gitproxy/scan/fingerprint.c
GATE_PACK := $(addprefix gitproxy/gate/,entry.c inflate.c pack.c resolve.c index.c store.c loose.c objects.c)
GATE_PACK_LIB := -ldeflate -lz -lcrypto -lpthread
# The checks of objects: GATE_FORMS knows one object, GATE_CHECKS all of a push (with what cordon-scan has of push_command.c
# and policy/).
GATE_FORMS := $(addprefix gitproxy/gate/,commit.c config_text.c dotgit.c fault.c headers.c lfs_pointer.c special.c tree.c)
GATE_CHECKS := $(addprefix gitproxy/gate/,ancestry.c arena.c bounds.c checks.c commands.c feed.c feed_tree.c forms.c graph.c \
	       ids.c keep.c names.c protect.c walk.c where.c) $(GATE_FORMS)

PROGS += cordon-scan
cordon-scan_SRC := $(addprefix gitproxy/gate/,main.c confine.c judge.c judge_file.c question.c contents.c weigh.c tell.c publish.c) \
		   $(GATE_PACK) $(GATE_CHECKS) gitproxy/gate/gate_ipc.c gitproxy/scan/exceptions.c $(SCAN_SRC) $(SCAN_DOC) \
		   $(PUSH_COMMAND) policy/push.c policy/push_pattern.c policy/reason.c base/msg.c base/ipc.c $(BASE_CORE) $(BASE_PROC)
cordon-scan_LIB := $(SCAN_LIB) $(GATE_PACK_LIB) -lseccomp
