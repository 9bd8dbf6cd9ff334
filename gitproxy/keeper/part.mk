# What the keeper parses of ssh: no files, no processes.
SSH_V0 := gitproxy/keeper/ssh_v0.c gitproxy/pkt.c gitproxy/oid.c gitproxy/refname.c base/bytes.c
# cordon-keeper: the CA's key and the upstream connections.
PROGS += cordon-keeper
cordon-keeper_SRC := gitproxy/keeper/main.c gitproxy/keeper/serve.c gitproxy/keeper/serve_http.c gitproxy/keeper/serve_mirror.c gitproxy/keeper/serve_push.c gitproxy/mirror_ipc.c gitproxy/push_command.c gitproxy/mirror/push_advert.c \
		     gitproxy/keeper/serve_lfs.c gitproxy/keeper/lfs_upstream.c gitproxy/keeper/upstream_lfs.c gitproxy/keeper/lfs_links.c \
		     gitproxy/keeper/lfs_echo.c gitproxy/keeper/lfs_answer.c gitproxy/lfs_json.c \
		     gitproxy/keeper/upstream.c gitproxy/keeper/upstream_git.c gitproxy/keeper/upstream_http.c \
		     gitproxy/http_fields.c gitproxy/http_account.c gitproxy/http_location.c gitproxy/http_head.c gitproxy/websocket.c \
		     gitproxy/keeper/upstream_upgrade.c gitproxy/keeper/upstream_ssh.c gitproxy/keeper/ssh_spawner.c \
		     gitproxy/keeper/ssh_args.c gitproxy/keeper/ssh_stream.c gitproxy/keeper/ssh_v0.c gitproxy/keeper/ssh_why.c \
		     gitproxy/pkt.c gitproxy/oid.c gitproxy/refname.c \
		     gitproxy/keeper/pool.c gitproxy/keeper/sockets.c gitproxy/keeper/dial.c \
		     gitproxy/keeper/credential_store.c gitproxy/keeper/credential_line.c gitproxy/keeper/echo.c gitproxy/keeper/echo_mixed.c \
		     gitproxy/keeper/github_app.c gitproxy/keeper/wipe.c \
		     gitproxy/keeper/resolve.c gitproxy/keeper/ca.c gitproxy/keeper/ca_cert.c gitproxy/keeper/ca_files.c gitproxy/keeper/ca_renew.c \
		     gitproxy/keeper/confine.c gitproxy/keeper_ipc.c gitproxy/git_path.c gitproxy/git_moved.c gitproxy/deadline.c gitproxy/crew.c gitproxy/shares.c gitproxy/budget.c \
		     $(VIEW_SRC) $(POLICY_SRC) $(BASE_ALL)
cordon-keeper_LIB := -lcurl -lcares -ljansson -lssl $(POLICY_LIB) $(BASE_LIB)
