# Sources shared by every program; programs name the sets they need.
BASE_CORE := base/addr.c base/bytes.c base/log.c
BASE_IPC  := base/ipc.c base/msg.c base/msg_mirror.c
BASE_LOOP := base/loop.c
BASE_AUDIT := base/audit.c base/audit_line.c base/audit_last.c
BASE_PROC := base/proc.c base/landlock.c
BASE_ALL  := $(BASE_CORE) $(BASE_IPC) $(BASE_LOOP) $(BASE_AUDIT) $(BASE_PROC)
BASE_LIB  := -lcrypto -lseccomp -lpthread
