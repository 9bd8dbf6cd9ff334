/*
 * ssh_spawner.c - the small process that starts ssh
 *
 * Theory of operation: the keeper may start no program, and what it may do would be handed down to
 * one that it started. It therefore forks this process first, before it has read any secret, which does
 * one thing: at SSH it starts /usr/bin/ssh from the template of ssh_args.c, in an empty environment and
 * a process group of its own. What it is told is a number of a credential, a repository and an address;
 * each is checked here too, the address against what nobody may reach, since whoever took the keeper
 * over should get no more out of this than a fetch from a host that the configuration names. The host's
 * pinned keys are in a file of root's that was written before rights went. ssh dies with its request,
 * with this process, and this process with the keeper. It reads files of the system and the identity
 * files, writes none, and connects to the configured ports alone (Landlock is handed down to ssh).
 */
#include "gitproxy/keeper/ssh_spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/landlock.h"
#include "base/log.h"
#include "base/proc.h"
#include "gitproxy/keeper/ssh_args.h"

enum { SOCKET_FD = 3, FILES_MAX = 512, MEMORY_MAX = 1 << 30, PATH_BYTES = 1024, PORTS_MAX = HOST_CREDENTIALS_MAX };
#define HOSTS_DIR "ssh"

struct child {
	pid_t pid; /* 0: a free place */
	int pidfd, life;
};

struct spawner {
	const struct host_config *config;
	struct child children[SSH_CHILDREN_MAX];
};

/* What the start of ssh needs; it is handed down. */
static const struct landlock_path system_paths[] = {
	{ SSH_PROGRAM, LANDLOCK_RUN, "the one program" },
	{ "/lib", LANDLOCK_RUN, "libraries" },
	{ "/lib64", LANDLOCK_RUN, "the dynamic linker" },
	{ "/usr/lib", LANDLOCK_RUN, "libraries" },
	{ "/usr/lib64", LANDLOCK_RUN, "libraries" },
	{ "/usr/local/lib", LANDLOCK_RUN, "libraries" },
	{ "/etc", LANDLOCK_READ, "passwd (ssh asks who it is), nsswitch.conf, openssl.cnf, where libraries are" },
	{ "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE, "ssh makes sure that it has three descriptors" },
	{ "/dev/urandom", LANDLOCK_READ, "older libraries" },
};

/* ---- the hosts' keys ---- */

static int hosts_path(const struct host_config *c, size_t i, char path[PATH_BYTES])
{
	return snprintf(path, PATH_BYTES, "%s/" HOSTS_DIR "/known_hosts-%zu", c->run_dir, i) < PATH_BYTES ? 0 :
															-ENAMETOOLONG;
}

/* Lines of known_hosts: the name that HostKeyAlias says, and a key. */
static int hosts_print(FILE *to, const struct host_credential *h)
{
	struct rd keys = rd_str(h->host_keys), key;

	while (rd_left(&keys) && rd_until(&keys, '\n', &key))
		fprintf(to, "%s %.*s\n", h->host, (int)key.n, (const char *)key.p);
	return ferror(to) ? -EIO : 0;
}

static int hosts_write(const struct host_config *c, size_t i)
{
	char path[PATH_BYTES];
	int r = hosts_path(c, i, path), fd;
	FILE *to;

	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!to) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = fchmod(fd, 0444) < 0 ? -errno : hosts_print(to, &c->credentials[i]);
	return fclose(to) && !r ? -errno : r;
}

static int hosts_write_all(const struct host_config *c)
{
	AUTO(mem) char *dir = NULL;
	int r = asprintf(&dir, "%s/" HOSTS_DIR, c->run_dir) < 0 ? -ENOMEM : 0;

	if (r < 0)
		dir = NULL;
	if (!r)
		r = proc_mkdir(c->run_dir, 0711, 0, 0);
	if (!r)
		r = proc_mkdir(dir, 0711, 0, 0);
	for (size_t i = 0; !r && i < c->n_credentials; i++)
		if (c->credentials[i].kind == CREDENTIAL_SSH)
			r = hosts_write(c, i);
	return r;
}

/* ---- in the spawner: requests ---- */

static void say_ended(int life, int result, int status)
{
	const struct ssh_ended e = { .result = result, .status = status };

	ipc_send(life, MSG_SSH_ENDED, 0, &e, sizeof(e), NULL, 0);	/* its first and only: there is room */
}

static bool message_ok(const struct spawner *s, const struct ipc_in *in)
{
	const struct ssh_start *q = (const struct ssh_start *)in->body;
	struct address_context ctx = { s->config->forbidden, s->config->n_forbidden };

	if (in->head.type != MSG_SSH || in->head.length != sizeof(*q))
		return false;
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		if ((in->fd[i] >= 0) != (i < SSH_FDS))
			return false;
	return q->credential < s->config->n_credentials && msg_plain_ok(q->repo, sizeof(q->repo)) &&
	       s->config->credentials[q->credential].kind == CREDENTIAL_SSH && address_usable(&q->to, &ctx, true);
}

static int exec_ssh(const struct spawner *s, const struct ipc_in *in, struct child *to)
{
	const struct ssh_start *q = (const struct ssh_start *)in->body;
	const struct proc_fd fds[] = { { in->fd[SSH_IN], 0 }, { in->fd[SSH_OUT], 1 }, { in->fd[SSH_ERR], 2 } };
	AUTO(mem) struct ssh_args *args = malloc(sizeof(*args));
	char hosts[PATH_BYTES];
	struct ssh_call call = { .credential = &s->config->credentials[q->credential], .known_hosts = hosts,
				 .to = q->to, .service = (enum git_service)q->service, .repo = q->repo,
				 .connect_s = (s->config->connect_ms + 999) / 1000 };
	int r = hosts_path(s->config, q->credential, hosts);

	if (!args || r < 0)
		return -ENOMEM;
	if (!ssh_args_make(&call, args))
		return -EINVAL;
	return proc_spawn(&(struct proc_spec){ .path = SSH_PROGRAM, .argv = args->argv, .fds = fds, .nfds = 3,
					       .die_with_parent = true, .own_group = true },
			  &to->pid, &to->pidfd);
}

/* False: the end of the pair, or something that no keeper of ours says. */
static bool on_message(struct spawner *s)
{
	struct child *place = NULL;
	struct ipc_in in;
	int r = -EAGAIN;
	bool ok;

	if (ipc_recv(SOCKET_FD, &in) < 0)
		return false;
	ok = message_ok(s, &in);
	for (size_t i = 0; i < SSH_CHILDREN_MAX && !place; i++)
		if (!s->children[i].pid)
			place = &s->children[i];
	if (ok && place)
		r = exec_ssh(s, &in, place);
	if (ok && r < 0)
		say_ended(in.fd[SSH_LIFE], r, -1);
	if (ok && place && r < 0)
		place->pid = 0;
	else if (ok && place)
		place->life = STEAL_FD(in.fd[SSH_LIFE]);
	ipc_in_done(&in);
	return ok;
}

/* ---- in the spawner: the end of an ssh ---- */

static void child_reap(struct child *c)
{
	int status = 0;

	kill(-c->pid, SIGKILL);			/* what it may have left; its number is taken until it is reaped */
	if (waitpid(c->pid, &status, 0) == c->pid)
		say_ended(c->life, 0, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	close(STEAL_FD(c->pidfd));
	close(STEAL_FD(c->life));
	c->pid = 0;
}

static void end(struct spawner *s)
{
	for (size_t i = 0; i < SSH_CHILDREN_MAX; i++)
		if (s->children[i].pid)
			child_reap(&s->children[i]);
	_exit(0);
}

/* Each has two: it ended, or its request did. */
static void serve(struct spawner *s)
{
	struct pollfd p[1 + 2 * SSH_CHILDREN_MAX] = { { .fd = SOCKET_FD, .events = POLLIN } };

	for (;;) {
		for (size_t i = 0; i < SSH_CHILDREN_MAX; i++) {
			const struct child *c = &s->children[i];

			p[1 + 2 * i] = (struct pollfd){ .fd = c->pid ? c->pidfd : -1, .events = POLLIN };
			p[2 + 2 * i] = (struct pollfd){ .fd = c->pid ? c->life : -1, .events = POLLIN };
		}
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		for (size_t i = 0; i < SSH_CHILDREN_MAX; i++)
			if (p[1 + 2 * i].revents || p[2 + 2 * i].revents)
				child_reap(&s->children[i]);
		if (p[0].revents && !on_message(s))
			end(s);
	}
}

/* ---- its start ---- */

/* One descriptor and the log, whatever the keeper had open. */
static int keep_only(int sock)
{
	if (sock != SOCKET_FD && dup3(sock, SOCKET_FD, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return close_range(SOCKET_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

/* A path's folder: the file is replaced there by renaming. */
static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	return strndup(file, slash == file ? 1 : (size_t)(slash - file));
}

static int confine(const struct host_config *c)
{
	AUTO(mem) struct landlock_path *paths = calloc(ARRAY_SIZE(system_paths) + c->n_credentials + 2, sizeof(*paths));
	AUTO(mem) uint16_t *ports = calloc(c->n_credentials + 1, sizeof(*ports));
	size_t n = ARRAY_SIZE(system_paths), n_ports = 0;
	char *hosts = NULL;

	if (!paths || !ports || asprintf(&hosts, "%s/" HOSTS_DIR, c->run_dir) < 0)
		return -ENOMEM;
	memcpy(paths, system_paths, sizeof(system_paths));
	paths[n++] = (struct landlock_path){ hosts, LANDLOCK_READ, "the hosts' keys" };
	for (size_t i = 0; i < c->n_credentials; i++) {
		const struct host_credential *h = &c->credentials[i];

		if (h->kind != CREDENTIAL_SSH)
			continue;
		ports[n_ports++] = h->port;
		paths[n] = (struct landlock_path){ folder_of(h->file), LANDLOCK_READ, "identities" };
		if (!paths[n++].path)
			return -ENOMEM;
	}
	/* the rest is for life */
	return landlock_confine(&(struct landlock_spec){ .paths = paths, .tcp_ports = ports });
}

static void limit(int what, rlim_t value)
{
	struct rlimit l = { value, value }, now;

	if (!getrlimit((__rlimit_resource_t)what, &now) && now.rlim_max >= value)
		setrlimit((__rlimit_resource_t)what, &l);
}

static void spawner_main(const struct host_config *c, int sock, pid_t parent)
{
	struct spawner s = { .config = c };
	int r = keep_only(sock);

	prctl(PR_SET_NAME, "cordon-ssh");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (!getpwuid(proc_role_uid(ROLE_KEEPER)))
		log_line(LOG_ERR,
			 "event=ssh_cannot_run error=\"there is no account cordon-keeper, and ssh does not run for "
			 "a user without one\" fix=\"deploy/sysusers.d/cordon.conf\"");
	if (!r)
		r = proc_drop(ROLE_KEEPER, 0);
	if (!r)
		r = confine(c);
	limit(RLIMIT_NOFILE, FILES_MAX);
#if !defined(__SANITIZE_ADDRESS__)
	limit(RLIMIT_AS, MEMORY_MAX);
#endif
	if (!r)
		serve(&s);
	log_line(LOG_ERR, "event=ssh_spawner_failed error=\"%s\"", strerror(-r));
	_exit(1);
}

static bool is_needed(const struct host_config *c)
{
	for (size_t i = 0; i < c->n_credentials; i++)
		if (c->credentials[i].kind == CREDENTIAL_SSH)
			return true;
	return false;
}

int ssh_spawner_start(const struct host_config *c)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	pid_t parent = getpid(), pid;
	int r;

	if (!is_needed(c))
		return -ENOENT;
	r = hosts_write_all(c);
	if (!r)
		r = ipc_pair(&ours, &theirs);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		spawner_main(c, theirs, parent);
	return STEAL_FD(ours);
}
