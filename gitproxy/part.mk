# cordon-gitproxy: the front. GITPROXY_PURE is what unit tests and fuzzers link: no sockets, no TLS.
PROGS += cordon-gitproxy
GITPROXY_PURE := gitproxy/git_path.c gitproxy/http_head.c gitproxy/http_body.c gitproxy/keeper_ipc.c gitproxy/internal_page.c \
		 gitproxy/route.c gitproxy/http_fields.c gitproxy/http_account.c gitproxy/pkt.c gitproxy/git_answer.c \
		 gitproxy/websocket.c
cordon-gitproxy_SRC := gitproxy/main.c gitproxy/front.c gitproxy/session.c gitproxy/request.c \
		       gitproxy/request_git.c gitproxy/request_lfs.c gitproxy/lfs_batch.c \
		       gitproxy/lfs_json.c gitproxy/request_http.c gitproxy/relay.c \
		       gitproxy/upload.c gitproxy/tunnel.c gitproxy/body_file.c gitproxy/input.c \
		       gitproxy/refuse.c gitproxy/conns.c gitproxy/tls.c gitproxy/ca_text.c \
		       gitproxy/budget.c gitproxy/shares.c gitproxy/ssh_refuse.c gitproxy/ask.c \
		       gitproxy/internal.c gitproxy/request_route.c gitproxy/keeper_client.c \
		       gitproxy/confine.c gitproxy/deadline.c gitproxy/crew.c $(GITPROXY_PURE) \
		       $(VIEW_SRC) $(POLICY_SRC) $(BASE_ALL)
cordon-gitproxy_LIB := -lssl -lz -ljansson $(POLICY_LIB) $(BASE_LIB)
# What the mirror parses: no files, no children. base/bytes.c and -lcrypto come with them.
MIRROR_FETCH := gitproxy/mirror/fetch_request.c gitproxy/mirror/fetch_write.c gitproxy/mirror/fetch_filter.c \
		gitproxy/mirror/ls_refs.c gitproxy/pkt.c gitproxy/oid.c gitproxy/refname.c
MIRROR_ANSWER := gitproxy/mirror/answer_check.c gitproxy/pack_check.c gitproxy/pkt.c gitproxy/oid.c gitproxy/refname.c
# With gitproxy/deadline.c and -lpthread.
MIRROR_SPOOL := gitproxy/mirror/spool.c gitproxy/mirror/spool_table.c gitproxy/mirror/spool_files.c \
		gitproxy/mirror/spool_writer.c
# A push, as the gate and the keeper hand it to each other. base/ipc.c and base/bytes.c come with it.
PUSH_COMMAND := gitproxy/push_command.c gitproxy/pkt.c gitproxy/oid.c gitproxy/refname.c
# What the mirror parses of it.
MIRROR_PUSH := gitproxy/mirror/push_request.c gitproxy/mirror/push_advert.c gitproxy/mirror/push_report.c \
	       gitproxy/pkt_stream.c $(PUSH_COMMAND)
