# The inspector: netd's child behind the packet queue.
INSPECT_CORE := netd/inspect/hello.c netd/inspect/tls_stream.c netd/inspect/packet.c netd/inspect/flow.c \
		netd/inspect/table.c
cordon-inspect_SRC := netd/inspect/main.c netd/inspect/queue.c netd/inspect/names.c $(INSPECT_CORE) \
		      policy/address.c $(BASE_CORE) $(BASE_IPC) $(BASE_LOOP) $(BASE_PROC)
cordon-inspect_LIB := -lnetfilter_queue -lmnl -lseccomp
PROGS += cordon-inspect
