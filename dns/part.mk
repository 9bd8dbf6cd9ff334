# cordon-dns. DNS_PURE is what unit tests and fuzzers link: no sockets, no state.
PROGS += cordon-dns
DNS_PURE := dns/message.c dns/upstream_answer.c dns/answer.c dns/table.c
cordon-dns_SRC := dns/main.c dns/listen.c dns/udp.c dns/tcp.c dns/service.c dns/report.c dns/resolver.c dns/refresh.c \
		  dns/wildcard.c dns/upstream.c $(DNS_PURE) $(BASE_ALL) $(POLICY_SRC) $(VIEW_SRC)
cordon-dns_LIB := -lcares $(POLICY_LIB) $(BASE_LIB)
