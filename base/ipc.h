/*
 * ipc.h - datagrams between Cordon's processes: a fixed struct each, descriptors by SCM_RIGHTS
 *
 * Theory of operation: SOCK_SEQPACKET over AF_UNIX. A datagram is struct ipc_head and a body whose
 * length the head repeats; base/msg.h holds the bodies. Anything else (short, long, unknown type,
 * truncated descriptors) is an error, and the caller closes the connection and audits it.
 * Descriptors arrive close-on-exec; those the caller does not take are closed by ipc_recv().
 */
#ifndef BASE_IPC_H
#define BASE_IPC_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/mem.h"

enum { IPC_FDS_MAX = 6, IPC_BODY_MAX = 8192 };

struct ipc_head {
	uint16_t type;		/* enum msg_type */
	uint16_t length;	/* of the body */
	uint32_t sequence;	/* an answer repeats its question's */
};

struct ipc_in {
	struct ipc_head head;
	union {
		uint8_t body[IPC_BODY_MAX];
		uint64_t align_;
	};
	int fd[IPC_FDS_MAX];	/* -1 where none; owned: ipc_in_done() closes what was not stolen */
};

/* 0 or -errno (-EAGAIN on a full non-blocking socket). Descriptors are borrowed. */
int ipc_send(int sock, uint16_t type, uint32_t sequence, const void *body, size_t n,
	     const int *fds, size_t nfds);
/*
 * 0, -EAGAIN, -ECONNRESET at the end of the connection, -EPROTO for a malformed datagram.
 * On success `in` owns the descriptors.
 */
int ipc_recv(int sock, struct ipc_in *ret_in);
void ipc_in_done(struct ipc_in *in);

/*
 * Listen on a path: the directory must be owned by us (or root) and not writable by others, an old
 * socket at the path is replaced, anything else there is an error. 0600 or 0660 in `mode`; gid -1
 * keeps the group. Returns the descriptor or -errno. Non-blocking, close-on-exec.
 */
int ipc_listen(const char *path, mode_t mode, gid_t gid);
int ipc_connect(const char *path);			/* blocking descriptor or -errno */
int ipc_pair(int *ret_ours, int *ret_theirs);	/* SEQPACKET, close-on-exec, blocking */
int ipc_peer(int sock, uid_t *ret_uid, pid_t *ret_pid);	/* SO_PEERCRED */

/* A sealed memfd with these bytes: fd or -errno. And back: at most max bytes, sealed ones only. */
int ipc_memfd(const char *name, const void *p, size_t n);
int ipc_memfd_read(int fd, size_t max, char **ret_text /* heap, NUL-terminated */, size_t *ret_n);

#endif
