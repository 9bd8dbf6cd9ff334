# What programs of the folders below share.
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
