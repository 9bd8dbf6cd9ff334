# cordon-mirror: repositories on this host, and answers made from them.
PROGS += cordon-mirror
cordon-mirror_SRC := $(addprefix gitproxy/mirror/,main.c mirror.c serve.c serve_fetch.c serve_fill.c serve_push.c push_take.c push_judge.c push_names.c push_forward.c push_tell.c \
			 quarantine.c room.c judge.c confine.c advert.c answer.c ask.c \
			 flight.c repo_right.c kin.c repo.c repo_claim.c tell.c space.c maintain.c upkeep.c prewarm.c control.c control_task.c lfs_push.c lfs_put.c lfs_store.c refs.c refs_first.c refresh.c backoff.c behind.c intake.c files.c git.c produce.c produce_queue.c) \
		     $(sort $(MIRROR_PUSH) $(GATE_IPC) $(MIRROR_FETCH) $(MIRROR_ANSWER) $(MIRROR_SPOOL)) \
		     gitproxy/mirror_ipc.c gitproxy/keeper_ipc.c gitproxy/keeper_client.c gitproxy/git_path.c \
		     gitproxy/http_fields.c gitproxy/deadline.c gitproxy/crew.c $(POLICY_SRC) $(BASE_ALL)
cordon-mirror_LIB := -lcrypto $(POLICY_LIB) $(BASE_LIB)
