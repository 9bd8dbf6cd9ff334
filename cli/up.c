/*
 * up.c - cordon up and cordon down
 *
 * Theory of operation: everything is compiled and every kernel feature looked for before anything
 * is changed. Then directories, ruleset, supervisor, in that order: the host is closed before a
 * daemon runs. The supervisor passes on the readiness of each daemon; the first that ends instead
 * is named, with the end of its log, and all are stopped. down leaves the ruleset, which is closed
 * without daemons. Where a service manager runs the daemons, both leave them to it. RUN/up.lock
 * serialises all this; RUN/up.by-run says that a `cordon run` started it.
 */
#include "cli/up.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/proc.h"
#include "cli/client.h"
#include "cli/credentials.h"
#include "cli/supervise.h"
#include "cli/units.h"
#include "nft/firewall.h"

enum { READY_MS = 15000, TAIL_BYTES = 1024, TAIL_LINES = 4, LOCK_POLL_MS = 20 };

/* Returns when ms are over (0) or a signal is waiting (-EINTR; it is not consumed). */
static int nap(int signals, int ms)
{
	struct pollfd p = { .fd = signals, .events = POLLIN };

	return poll(&p, 1, ms) > 0 ? -EINTR : 0;
}

int up_lock(const struct host_config *c, int signals)
{
	AUTO(fd) int fd = -1;
	char path[512];
	int r = proc_mkdir(c->run_dir, 0711, 0, 0);

	if (r < 0)
		return r;
	if (snprintf(path, sizeof(path), "%s/up.lock", c->run_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		r = nap(signals, LOCK_POLL_MS);
		if (r < 0)
			return r;
	}
	return STEAL_FD(fd);
}

static int make_directories(const struct host_config *c)
{
	char parts[512], ca[512], mirrors[512];
	gid_t group = proc_group();
	const struct {
		const char *path;
		mode_t mode;
		uid_t uid;
		gid_t gid;
	} dirs[] = {
		{ c->run_dir, 0711, 0, 0 },
		{ parts, 0750, 0, group },
		{ c->log_dir, 0750, 0, group },
		{ c->state_dir, 0711, 0, 0 },
		{ ca, 0700, proc_role_uid(ROLE_KEEPER), group },
		{ mirrors, 0700, proc_role_uid(ROLE_MIRROR), group },
	};

	snprintf(parts, sizeof(parts), "%s/parts", c->run_dir);
	snprintf(ca, sizeof(ca), "%s/ca", c->state_dir);
	snprintf(mirrors, sizeof(mirrors), "%s/mirrors", c->state_dir);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int r = proc_mkdir(dirs[i].path, dirs[i].mode, dirs[i].uid, dirs[i].gid);

		if (r < 0)
			return cli_fail(
				"directory %s: %s: it must be root's, no symlink, and nobody "
				"else may write into it; its parent must exist and be closed too",
				dirs[i].path, strerror(-r));
	}
	return EXIT_DONE;
}

/* The last lines of a daemon's log, indented, so that nobody has to go and look first. */
static void print_tail(const struct host_config *c, const char *part)
{
	char path[512], buf[TAIL_BYTES + 1];
	struct stat st;
	ssize_t n;
	char *p;

	snprintf(path, sizeof(path), "%s/%s.log", c->log_dir, part);
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	n = pread(fd, buf, TAIL_BYTES, st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
	if (n <= 0)
		return;
	buf[n] = 0;
	p = buf + n;
	for (int lines = 0; p > buf; p--)
		if (p[-1] == '\n' && ++lines > TAIL_LINES)
			break;
	for (char *line = strtok(p, "\n"); line; line = strtok(NULL, "\n"))
		fprintf(stderr, "  %s.log: %s\n", part, line);
}

static int start_failed(const struct host_config *c, const struct supervise_status *st)
{
	const char *part = supervise_parts[st->part];
	char how[64];

	if (st->code == 128 + ENOENT)
		return cli_fail("cordon-%s is neither beside cordon nor in " CORDON_LIBEXECDIR
				": make install", part);
	if (st->code >= 128)
		snprintf(how, sizeof(how), "%s", strerror(st->code - 128));
	else if (st->code < 0)
		snprintf(how, sizeof(how), "signal %d", -st->code);
	else
		snprintf(how, sizeof(how), "exit status %d", st->code);
	cli_fail("cordon-%s did not start, %s: see %s/%s.log", part, how, c->log_dir, part);
	print_tail(c, part);
	return EXIT_REFUSED;
}

static int not_ready(const struct host_config *c, const bool *ready)
{
	size_t i = 0;

	while (i + 1 < SUPERVISE_PARTS && ready[i])
		i++;
	cli_fail("cordon-%s is not ready after %d s: see %s/%s.log", supervise_parts[i],
		 READY_MS / 1000, c->log_dir, supervise_parts[i]);
	print_tail(c, supervise_parts[i]);
	return EXIT_REFUSED;
}

static int wait_ready(const struct host_config *c, int status, int signals)
{
	struct pollfd p[] = { { .fd = status, .events = POLLIN },
			      { .fd = signals, .events = POLLIN } };
	bool ready[SUPERVISE_PARTS] = { false };
	struct supervise_status st;

	for (int n = 0; n < SUPERVISE_PARTS; n++) {
		int r = poll(p, ARRAY_SIZE(p), READY_MS);

		if (r > 0 && p[1].revents)
			return cli_fail("interrupted while the daemons started");
		if (r <= 0)
			return not_ready(c, ready);
		if (read(status, &st, sizeof(st)) != sizeof(st) || st.part >= SUPERVISE_PARTS)
			return cli_fail("the supervisor ended: see %s/supervisor.log", c->log_dir);
		if (!st.ready)
			return start_failed(c, &st);
		ready[st.part] = true;
	}
	return EXIT_DONE;
}

static int start_daemons(const struct cli *c, const struct host_config *cfg, int signals)
{
	AUTO(mem) char *file = realpath(c->config, NULL);
	AUTO(fd) int status = -1;
	int r = file ? supervise_start(cfg, file, &status) : -errno;

	if (r < 0)
		return cli_fail("the supervisor did not start: %s: see %s/supervisor.log",
				strerror(-r), cfg->log_dir);
	r = wait_ready(cfg, status, signals);
	if (r)
		supervise_stop(cfg);
	return r;
}

/* Under a service manager there is no supervisor of ours. */
static bool netd_answers(const struct host_config *cfg)
{
	AUTO(fd) int fd = client_open(cfg);

	return fd >= 0;
}

int up_start(const struct cli *c, const struct host_config *cfg, int signals, bool *ret_started)
{
	AUTO(host_config) struct host_config *again = NULL;
	struct profile_set set = { 0 };
	char state[UNITS_STATE_MAX];
	int r;

	*ret_started = false;
	if (supervise_pid(cfg) || netd_answers(cfg))
		return EXIT_DONE;
	if (units_run(c, state))
		return cli_fail("systemd runs cordon and cordon-netd.service is %s: see `systemctl status "
				"cordon-netd`, or `systemctl stop cordon.target` first", state);
	r = cli_policies(c, &again, &set);
	profile_set_done(&set);
	if (r)
		return r;
	if (firewall_check_kernel(cfg, stderr))
		return EXIT_REFUSED;
	r = make_directories(cfg);
	if (r)
		return r;
	*ret_started = true;
	if (firewall_start(cfg, stderr) < 0)
		return EXIT_REFUSED;
	return start_daemons(c, cfg, signals);
}

/* The daemons gave up the right to remove what they made as root. */
static void remove_sockets(const struct host_config *cfg)
{
	static const char *const names[] = { "control.sock", "parts/netd.sock" };
	char path[512];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (snprintf(path, sizeof(path), "%s/%s", cfg->run_dir, names[i]) <
		    (int)sizeof(path))
			unlink(path);
}

int up_stop(const struct host_config *cfg)
{
	int r = supervise_stop(cfg);

	up_note_set(cfg, false, false);
	if (!r)
		remove_sockets(cfg);
	if (r < 0 && r != -ESRCH)
		return cli_fail("the supervisor does not end: %s: see %s/supervisor.log",
				strerror(-r), cfg->log_dir);
	return EXIT_DONE;
}

static void note_path(const struct host_config *cfg, char *out, size_t cap)
{
	snprintf(out, cap, "%s/up.by-run", cfg->run_dir);
}

void up_note_set(const struct host_config *cfg, bool by_run, bool with_ruleset)
{
	char path[512];

	note_path(cfg, path, sizeof(path));
	if (!by_run) {
		unlink(path);
		return;
	}
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)!write(fd, with_ruleset ? "ruleset\n" : "daemons\n", 8);
}

bool up_note_get(const struct host_config *cfg, bool *ret_with_ruleset)
{
	char path[512], first = 0;

	note_path(cfg, path, sizeof(path));
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	*ret_with_ruleset = fd >= 0 && read(fd, &first, 1) == 1 && first == 'r';
	return fd >= 0;
}

static int lock_or_say(const struct host_config *cfg)
{
	int fd = up_lock(cfg, -1);

	if (fd < 0)
		cli_fail("%s/up.lock: %s: directories.run must be root's and its parent must exist",
			 cfg->run_dir, strerror(-fd));
	return fd;
}

static int up(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	AUTO(fd) int lock = -1;
	bool started = false;
	int r;

	(void)values, (void)a;
	if (cli_need_root("up"))
		return EXIT_REFUSED;
	r = cli_config(c, &cfg);
	if (!r)
		r = credentials_check(cfg);
	if (r)
		return r;
	lock = lock_or_say(cfg);
	if (lock < 0)
		return EXIT_REFUSED;
	r = up_start(c, cfg, -1, &started);
	if (r)
		return r;
	up_note_set(cfg, false, false); /* from here on it stays up, whoever started it */
	printf(started ? "cordon is up\n" : "cordon is already up\n");
	return EXIT_DONE;
}

struct down_values {
	bool purge;
};
static const struct option_row down_options[] = {
	{ "purge", 0, OPTION_FLAG, offsetof(struct down_values, purge), NULL,
	  "also remove the ruleset and restore the host's former sysctls and rules" },
};

static int down(const struct cli *c, const void *values, const struct args *a)
{
	const struct down_values *v = values;
	AUTO(host_config) struct host_config *cfg = NULL;
	AUTO(fd) int lock = -1;
	char state[UNITS_STATE_MAX];
	bool was_up;
	int r;

	(void)a;
	if (cli_need_root("down"))
		return EXIT_REFUSED;
	r = cli_config(c, &cfg);
	if (r)
		return r;
	lock = lock_or_say(cfg);
	if (lock < 0)
		return EXIT_REFUSED;
	if (units_run(c, state))
		return cli_fail("systemd runs cordon, it would start again: `systemctl stop cordon.target`%s",
				v->purge ? " first" : "");
	if (v->purge && firewall_may_stop(cfg, stderr) < 0)
		return EXIT_REFUSED; /* before anything is stopped */
	was_up = supervise_pid(cfg) != 0;
	r = up_stop(cfg);
	if (!r && v->purge && firewall_stop(cfg, stderr) < 0)
		r = EXIT_REFUSED;
	if (!r)
		printf("cordon is %s%s; %s\n", was_up ? "" : "already ", "down",
		       v->purge ? "the ruleset is removed"
				: "the closed ruleset stays (down --purge removes it)");
	return r;
}

const struct command command_up = {
	.name = "up",
	.usage = "",
	.line = "Start ruleset and daemons where no service manager does",
	.more = "Compiles every policy first; nothing is started or changed when one has\n"
		"errors. A second up is harmless. The daemons log to directories.log.",
	.examples = "  sudo cordon up\n  sudo cordon --config ./cordon.yaml up\n",
	.run = up,
};

const struct command command_down = {
	.name = "down",
	.usage = "[--purge]",
	.line = "Stop the daemons; sandboxes stay closed",
	.examples =
		"  sudo cordon down\n  sudo cordon down --purge     the host as it was before\n",
	.options = down_options,
	.n_options = ARRAY_SIZE(down_options),
	.run = down,
};
