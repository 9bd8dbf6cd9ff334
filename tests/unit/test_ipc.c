/*
 * test_ipc.c - datagrams, descriptors, listening sockets, sealed memory
 */
#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/ipc.h"
#include "base/msg.h"

static size_t open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Raw bytes with raw descriptors, as a process that does not use ipc_send() would. */
static void raw_send(int sock, const void *p, size_t n, const int *fds, size_t nfds)
{
	union { char buf[256]; struct cmsghdr align; } ctl = { { 0 } };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *cm;

		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	CHECK_EQ("raw", sendmsg(sock, &mh, MSG_NOSIGNAL), n);
}

TEST(round_trip)
{
	struct msg_gone gone = { 77 };
	struct ipc_in in;
	int s[2];

	CHECK_EQ("pair", ipc_pair(&s[0], &s[1]), 0);
	CHECK_EQ("send", msg_send(s[0], MSG_GONE, 5, &gone), 0);
	CHECK_EQ("send empty", msg_send(s[0], MSG_END, 6, NULL), 0);
	CHECK_EQ("recv", ipc_recv(s[1], &in), 0);
	CHECK_EQ("sequence", in.head.sequence, 5);
	CHECK("body", msg_body(&in, MSG_GONE) &&
			      ((const struct msg_gone *)msg_body(&in, MSG_GONE))->id == 77);
	CHECK("other type", !msg_body(&in, MSG_RM) && !msg_body(&in, MSG_NONE) &&
				    !msg_body(&in, (enum msg_type)999));
	CHECK_EQ("no descriptor", in.fd[0], -1);
	CHECK_EQ("recv empty", ipc_recv(s[1], &in), 0);
	CHECK("empty body", msg_body(&in, MSG_END) != NULL);
	CHECK_EQ("nothing there", (fcntl(s[1], F_SETFL, O_NONBLOCK), ipc_recv(s[1], &in)), -EAGAIN);
	close(s[0]);
	CHECK_EQ("end", ipc_recv(s[1], &in), -ECONNRESET);
	CHECK("write to nobody", ipc_send(s[1], MSG_END, 0, NULL, 0, NULL, 0) < 0);
	close(s[1]);
}

TEST(malformed_datagrams)
{
	static uint8_t big[sizeof(struct ipc_head) + IPC_BODY_MAX + 1];
	static const struct { const char *what; size_t n; uint16_t length; int want; } rows[] = {
		{ "head only", 8, 0, 0 }, { "one byte of body", 9, 1, 0 },
		{ "length is less", 10, 1, -EPROTO }, { "length is more", 9, 2, -EPROTO },
		{ "short head", 7, 0, -EPROTO }, { "one byte", 1, 0, -EPROTO },
		{ "longest", sizeof(big) - 1, IPC_BODY_MAX, 0 },
		{ "one too long", sizeof(big), IPC_BODY_MAX, -EPROTO },
		{ "empty", 0, 0, -ECONNRESET },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ipc_head h = { MSG_PIN, rows[i].length, 1 };
		struct ipc_in in;
		int s[2];

		CHECK_EQ("pair", ipc_pair(&s[0], &s[1]), 0);
		memcpy(big, &h, sizeof(h));
		raw_send(s[0], big, rows[i].n, NULL, 0);
		CHECK_EQ(rows[i].what, ipc_recv(s[1], &in), rows[i].want);
		CHECK_EQ(rows[i].what, in.head.length, rows[i].want ? 0 : rows[i].length);
		close(s[0]);
		close(s[1]);
	}
}

TEST(one_length_per_type)
{
	struct ipc_in in = { .head = { MSG_HELLO, 0, 0 } };

	for (int t = 0; t < MSG_TYPE_COUNT; t++) {
		int size = msg_size((enum msg_type)t);

		CHECK("fits", size <= IPC_BODY_MAX);
		in.head.type = (uint16_t)t;
		in.head.length = (uint16_t)(size + 1);
		CHECK("one more", !msg_body(&in, (enum msg_type)t));
		in.head.length = (uint16_t)size;
		CHECK_EQ("exact", msg_body(&in, (enum msg_type)t) != NULL, size >= 0);
	}
	CHECK_EQ("none", msg_size(MSG_NONE), -1);
	CHECK_EQ("beyond", msg_size(MSG_TYPE_COUNT), -1);
	CHECK_EQ("below", msg_size((enum msg_type)-1), -1);
	CHECK_EQ("not to be sent", msg_send(0, MSG_NONE, 0, NULL), -EINVAL);
}

TEST(text)
{
	char to[4];

	CHECK("fits", msg_text_set(to, 4, "abc") && !strcmp(to, "abc"));
	CHECK("terminated", msg_text_ok(to, 4));
	CHECK("too long", !msg_text_set(to, 4, "abcd") && !to[0]);
	CHECK("not terminated", !msg_text_ok("abcd", 4));
}

/* What a part tells of a refusal: for eyes and terminals inside a sandbox. */
TEST(plain_text)
{
	char to[5];

	CHECK("plain", msg_plain_ok("a ~!", 5));
	CHECK("empty", msg_plain_ok("", 1));
	CHECK("not terminated", !msg_plain_ok("abcd", 4));
	CHECK("escape", !msg_plain_ok("a\033b", 4));
	CHECK("line", !msg_plain_ok("a\nb", 4));
	CHECK("DEL", !msg_plain_ok("a\177", 4));
	CHECK("C1", !msg_plain_ok("\302\233", 4));
	msg_plain_set(to, sizeof(to), "a\n\302\233bcd");
	CHECK_STR("made plain and cut", to, "a???");
	msg_plain_set(to, sizeof(to), "");
	CHECK_STR("empty again", to, "");
}

TEST(descriptors)
{
	size_t before = open_fds();
	int s[2], fds[IPC_FDS_MAX], p[2];
	struct ipc_in in;

	CHECK_EQ("pair", ipc_pair(&s[0], &s[1]), 0);
	CHECK_EQ("pipe", pipe(p), 0);
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		fds[i] = p[1];
	CHECK_EQ("send", ipc_send(s[0], MSG_END, 0, NULL, 0, fds, IPC_FDS_MAX), 0);
	CHECK_EQ("recv", ipc_recv(s[1], &in), 0);
	for (size_t i = 0; i < IPC_FDS_MAX; i++) {
		CHECK("there", in.fd[i] >= 0);
		CHECK_EQ("close-on-exec", fcntl(in.fd[i], F_GETFD), FD_CLOEXEC);
	}
	CHECK_EQ("usable", write(in.fd[3], "x", 1), 1);
	close(STEAL_FD(in.fd[0]));
	ipc_in_done(&in);
	ipc_in_done(&in);
	CHECK_EQ("too many to send", ipc_send(s[0], MSG_END, 0, NULL, 0, fds, IPC_FDS_MAX + 1),
		 -EMSGSIZE);
	CHECK_EQ("too long to send", ipc_send(s[0], MSG_END, 0, "", IPC_BODY_MAX + 1, NULL, 0),
		 -EMSGSIZE);
	CHECK_EQ("bad one", msg_send_fd(s[0], MSG_END, 0, NULL, 9999), -EBADF);
	close(s[0]);
	close(s[1]);
	close(p[0]);
	close(p[1]);
	CHECK_EQ("nothing stays open", open_fds(), before);
}

TEST(descriptors_of_refused_datagrams_are_closed)
{
	size_t before = open_fds();
	struct ipc_head good = { MSG_END, 0, 0 }, bad = { MSG_END, 9, 0 };
	int s[2], p[2], fds[IPC_FDS_MAX + 2];
	struct ipc_in in;

	CHECK_EQ("pair", ipc_pair(&s[0], &s[1]), 0);
	CHECK_EQ("pipe", pipe(p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = p[0];
	raw_send(s[0], &good, sizeof(good), fds, IPC_FDS_MAX + 1);
	CHECK_EQ("more descriptors than there is room for", ipc_recv(s[1], &in), -EPROTO);
	raw_send(s[0], &bad, sizeof(bad), fds, 2);
	CHECK_EQ("length lies", ipc_recv(s[1], &in), -EPROTO);
	raw_send(s[0], &good, 3, fds, IPC_FDS_MAX + 2);
	CHECK_EQ("short", ipc_recv(s[1], &in), -EPROTO);
	CHECK_EQ("none kept", in.fd[0], -1);
	CHECK_EQ("only ours are open", open_fds(), before + 4);
	close(s[0]);
	close(s[1]);
	close(p[0]);
	close(p[1]);
}

TEST(memfd)
{
	AUTO(mem) char *text = NULL;
	AUTO(fd) int fd = ipc_memfd("t", "canonical\0text", 14);
	AUTO(fd) int open_fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	AUTO(fd) int empty = ipc_memfd("e", NULL, 0);
	AUTO(mem) char *none = NULL;
	size_t n;

	CHECK("made", fd >= 0);
	CHECK_EQ("read", ipc_memfd_read(fd, 14, &text, &n), 0);
	CHECK("same", n == 14 && !memcmp(text, "canonical\0text", 15));
	CHECK_EQ("nobody writes", write(fd, "x", 1), -1);
	CHECK_EQ("nobody cuts", ftruncate(fd, 1), -1);
	CHECK_EQ("too big", ipc_memfd_read(fd, 13, &none, &n), -EFBIG);
	CHECK_EQ("not sealed", ipc_memfd_read(open_fd, 14, &none, &n), -EPERM);
	CHECK_EQ("not a memfd", ipc_memfd_read(0, 14, &none, &n), -EPERM);
	CHECK_EQ("no descriptor", ipc_memfd_read(-1, 14, &none, &n), -EPERM);
	CHECK("nothing came", none == NULL && n == 0);
	CHECK("empty", ipc_memfd_read(empty, 0, &none, &n) == 0 && n == 0 && !none[0]);
}

TEST(listen)
{
	char dir[] = "/tmp/cordon-ipc-XXXXXX", path[512], deep[256];
	struct stat st;
	AUTO(fd) int a = -1, b = -1, c = -1, d = -1;
	uid_t uid = (uid_t)-1;
	pid_t pid = 0;

	CHECK("dir", mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/s.sock", dir);
	a = ipc_listen(path, 0660, (gid_t)-1);
	CHECK("listens", a >= 0);
	CHECK("mode", !stat(path, &st) && (st.st_mode & 07777) == 0660);
	b = ipc_connect(path);
	CHECK("connects", b >= 0);
	c = accept(a, NULL, NULL);
	CHECK("peer", !ipc_peer(c, &uid, &pid) && uid == geteuid() && pid == getpid());
	close(STEAL_FD(a));
	CHECK_EQ("nobody listens", ipc_connect(path), -ECONNREFUSED);
	a = ipc_listen(path, 0600, (gid_t)-1);
	CHECK("an old socket is replaced", a >= 0);
	chmod(dir, 0777);
	CHECK_EQ("others could write", ipc_listen(path, 0600, (gid_t)-1), -EPERM);
	chmod(dir, 0770);
	CHECK_EQ("the group could write", ipc_listen(path, 0600, (gid_t)-1), -EPERM);
	chmod(dir, 0700);
	unlink(path);
	CHECK_EQ("link", symlink("/tmp/elsewhere", path), 0);
	CHECK_EQ("over a symlink", ipc_listen(path, 0600, (gid_t)-1), -EEXIST);
	unlink(path);
	snprintf(deep, sizeof(deep), "%s/%0100d", dir, 1);
	CHECK_EQ("deep", mkdir(deep, 0700), 0);
	snprintf(path, sizeof(path), "%s/s.sock", deep);
	d = ipc_listen(path, 0600, (gid_t)-1);
	CHECK("a long path", d >= 0);
	close(STEAL_FD(b));
	b = ipc_connect(path);
	CHECK("a long path connects", b >= 0);
	unlink(path);
	CHECK_EQ("nobody there", ipc_connect(path), -ENOENT);
	CHECK_EQ("no directory", ipc_listen("/nonexistent/x", 0600, (gid_t)-1), -ENOENT);
	CHECK_EQ("no name", ipc_listen("/tmp/", 0600, (gid_t)-1), -EINVAL);
	rmdir(deep);
	rmdir(dir);
	close(STEAL_FD(c));
}
