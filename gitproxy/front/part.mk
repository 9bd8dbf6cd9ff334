# cordon-gitproxy: TLS, HTTP and git's requests, as sandboxes send them.
PROGS += cordon-gitproxy
cordon-gitproxy_SRC := gitproxy/front/main.c gitproxy/front/front.c gitproxy/front/confine.c gitproxy/front/conns.c \
		       gitproxy/front/tls.c gitproxy/front/ca_text.c gitproxy/front/input.c gitproxy/front/session.c \
		       gitproxy/front/request.c gitproxy/front/request_git.c gitproxy/front/request_http.c \
		       gitproxy/front/request_lfs.c gitproxy/front/request_route.c gitproxy/front/route.c \
		       gitproxy/front/lfs_batch.c gitproxy/front/git_answer.c gitproxy/front/http_body.c \
		       gitproxy/front/body_file.c gitproxy/front/ask.c gitproxy/front/upload.c gitproxy/front/relay.c \
		       gitproxy/front/tunnel.c gitproxy/front/refuse.c gitproxy/front/ssh_refuse.c \
		       gitproxy/front/internal.c gitproxy/front/internal_page.c \
		       gitproxy/git_path.c gitproxy/http_head.c gitproxy/http_fields.c gitproxy/http_account.c \
		       gitproxy/websocket.c gitproxy/lfs_json.c gitproxy/pkt.c gitproxy/keeper_ipc.c \
		       gitproxy/keeper_client.c gitproxy/budget.c gitproxy/shares.c gitproxy/deadline.c gitproxy/crew.c \
		       $(VIEW_SRC) $(POLICY_SRC) $(BASE_ALL)
cordon-gitproxy_LIB := -lssl -lz -ljansson $(POLICY_LIB) $(BASE_LIB)
