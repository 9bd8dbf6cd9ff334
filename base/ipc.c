/*
 * ipc.c - datagrams between Cordon's processes
 *
 * Theory of operation: see ipc.h. Receiving is strict: the kernel's own flags tell of a cut
 * datagram or cut descriptors, the head must repeat the body's length, and whatever descriptors
 * came with a refused datagram are closed before the error is returned. Listening goes through a
 * descriptor of the directory (/proc/self/fd/N/name), so that what was checked is where the socket
 * appears, however the path changes meanwhile; the same way serves paths that are too long for a
 * socket address.
 * Invariants: every descriptor is close-on-exec from birth; ret_in is usable (and empty) after a
 * failure.
 * Fuzzed by tests/fuzz/fuzz_ipc.c.
 */
#include "base/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/bytes.h"

enum { IPC_BACKLOG = 64, IPC_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

union ipc_control {
	char buf[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
	struct cmsghdr align_;
};

/* No room for a fifth descriptor in the padding: the kernel would deliver it there. */
_Static_assert(CMSG_SPACE(IPC_FDS_MAX * sizeof(int)) == CMSG_LEN(IPC_FDS_MAX * sizeof(int)),
	       "descriptors fill the control buffer exactly");

int ipc_send(int sock, uint16_t type, uint32_t sequence, const void *body, size_t n, const int *fds,
	     size_t nfds)
{
	struct ipc_head head = { .type = type, .length = (uint16_t)n, .sequence = sequence };
	struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)(uintptr_t)body, n } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n ? 2 : 1 };
	union ipc_control ctl = { 0 };
	struct cmsghdr *cm;
	ssize_t r;

	if (n > IPC_BODY_MAX || nfds > IPC_FDS_MAX)
		return -EMSGSIZE;
	if (nfds) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	do {
		r = sendmsg(sock, &mh, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void in_clear(struct ipc_in *in)
{
	in->head = (struct ipc_head){ 0 };
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		in->fd[i] = -1;
}

void ipc_in_done(struct ipc_in *in)
{
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		if (in->fd[i] >= 0)
			close(in->fd[i]);
	in_clear(in);
}

/* Take every descriptor out of the control data. False: something else was there too. */
static bool in_take_fds(struct ipc_in *in, struct msghdr *mh)
{
	size_t have = 0, n;
	bool ok = true;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS) {
			ok = false;
			continue;
		}
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > IPC_FDS_MAX - have)	/* cannot be: the buffer holds no more */
			n = IPC_FDS_MAX - have;
		memcpy(in->fd + have, CMSG_DATA(cm), n * sizeof(int));
		have += n;
	}
	return ok;
}

int ipc_recv(int sock, struct ipc_in *ret_in)
{
	struct iovec iov[2] = { { &ret_in->head, sizeof(ret_in->head) },
				{ ret_in->body, sizeof(ret_in->body) } };
	union ipc_control ctl;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf) };
	bool ok;
	ssize_t r;

	in_clear(ret_in);
	do {
		r = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	ok = in_take_fds(ret_in, &mh);
	if (ok && !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    r >= (ssize_t)sizeof(ret_in->head) &&
	    (size_t)r - sizeof(ret_in->head) == ret_in->head.length)
		return 0;
	ipc_in_done(ret_in);
	/* An empty datagram reads like the end of the connection, and is as final. */
	return r ? -EPROTO : -ECONNRESET;
}

/* Split a path: a descriptor of its directory, and the name in it. */
static int dir_open(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	AUTO(mem) char *dir = NULL;
	int fd;

	if (slash)
		dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	else
		dir = strdup(".");
	if (!dir)
		return -ENOMEM;
	*ret_name = slash ? slash + 1 : path;
	if (!**ret_name)
		return -EINVAL;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int unix_address(struct sockaddr_un *sun, int dirfd, const char *name)
{
	int n;

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(sun->sun_path, sizeof(sun->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	return n < 0 || (size_t)n >= sizeof(sun->sun_path) ? -ENAMETOOLONG : 0;
}

/* The directory must be ours or root's and closed to others; only a socket is replaced. */
static int listen_prepare(int dirfd, const char *name)
{
	struct stat st;

	if (fstat(dirfd, &st) < 0)
		return -errno;
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

int ipc_listen(const char *path, mode_t mode, gid_t gid)
{
	AUTO(fd) int dirfd = -1;
	AUTO(fd) int fd = -1;
	struct sockaddr_un sun;
	const char *name;
	int r;

	dirfd = dir_open(path, &name);
	if (dirfd < 0)
		return dirfd;
	r = listen_prepare(dirfd, name);
	if (!r)
		r = unix_address(&sun, dirfd, name);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* bind() gives the file the socket's own mode: closed until owner and group are right. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;
	if (fchownat(dirfd, name, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dirfd, name, mode, 0) < 0 || listen(fd, IPC_BACKLOG) < 0)
		return -errno;
	return STEAL_FD(fd);
}

int ipc_connect(const char *path)
{
	AUTO(fd) int dirfd = -1;
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *name;
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) < sizeof(sun.sun_path)) {
		memcpy(sun.sun_path, path, strlen(path));
	} else {
		dirfd = dir_open(path, &name);
		r = dirfd < 0 ? dirfd : unix_address(&sun, dirfd, name);
		if (r < 0)
			return r;
	}
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;
	return STEAL_FD(fd);
}

int ipc_pair(int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return 0;
}

int ipc_peer(int sock, uid_t *ret_uid, pid_t *ret_pid)
{
	struct ucred uc;
	socklen_t n = sizeof(uc);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &uc, &n) < 0)
		return -errno;
	if (ret_uid)
		*ret_uid = uc.uid;
	if (ret_pid)
		*ret_pid = uc.pid;
	return 0;
}

int ipc_memfd(const char *name, const void *p, size_t n)
{
	AUTO(fd) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct rd left = rd_of(p, n), done;
	ssize_t r;

	if (fd < 0)
		return -errno;
	while (rd_left(&left)) {
		r = write(fd, left.p, left.n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0 || !rd_take(&left, (size_t)r, &done))
			return r < 0 ? -errno : -EIO;
	}
	if (fcntl(fd, F_ADD_SEALS, IPC_SEALS | F_SEAL_SEAL) < 0)
		return -errno;
	return STEAL_FD(fd);
}

int ipc_memfd_read(int fd, size_t max, char **ret_text, size_t *ret_n)
{
	AUTO(mem) char *text = NULL;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	size_t n = 0;
	ssize_t r;

	*ret_text = NULL;
	*ret_n = 0;
	if (seals < 0 || (seals & IPC_SEALS) != IPC_SEALS)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (n < (size_t)st.st_size) {
		r = pread(fd, text + n, (size_t)st.st_size - n, (off_t)n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		n += (size_t)r;
	}
	*ret_n = n;
	*ret_text = STEAL(text);
	return 0;
}
