# cordon-mirror: repositories on this host, and answers made from them.
PROGS += cordon-mirror
cordon-mirror_SRC := gitproxy/mirror/main.c gitproxy/mirror/mirror.c gitproxy/mirror/serve.c gitproxy/mirror/confine.c \
		     gitproxy/mirror_ipc.c gitproxy/keeper_ipc.c gitproxy/keeper_client.c gitproxy/git_path.c \
		     gitproxy/http_fields.c gitproxy/deadline.c $(POLICY_SRC) $(BASE_ALL)
cordon-mirror_LIB := $(POLICY_LIB) $(BASE_LIB)
