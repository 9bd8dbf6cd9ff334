/*
 * run.c - cordon run: a command in a sandbox of its own
 *
 * Theory of operation: two processes work at the same time. The child unshares the network
 * namespace, prepares the jail, waits for its end of the link, configures it. The parent makes the
 * pair, registers the sandbox with netd and only after netd's reply lets the child become the user
 * and bubblewrap. The registration lives as long as the parent's connection to netd, the namespace
 * as long as the child: if either is killed nothing of the run remains. Handled signals are blocked
 * from the beginning and looked at wherever we wait, so that at every moment the way out is the
 * same: run_end(), which undoes what was done, in reverse.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/log.h"
#include "cli/run_jail.h"
#include "cli/run_wait.h"
#include "cli/slot.h"
#include "cli/supervise.h"
#include "cli/up.h"
#include "nft/firewall.h"
#include "nft/ruleset.h"
#include "policy/interface.h"

enum { CHILD_MS = 10000, NETD_MS = 3000, RETRY_MS = 50 };

struct run_values {
	const char *profile;
	struct text_list rw;
	bool as_root;
};

static const struct option_row run_options[] = {
	{ "profile", 'p', OPTION_TEXT, offsetof(struct run_values, profile), "NAME",
	  "policy of the configuration (default: default)" },
	{ "rw", 0, OPTION_LIST, offsetof(struct run_values, rw), "DIR",
	  "another writable directory" },
	{ "as-root", 0, OPTION_FLAG, offsetof(struct run_values, as_root), NULL,
	  "allow a root caller; the command runs as an unprivileged user" },
};

/* Descriptors -1 and pids 0 where there is nothing to undo. */
struct run {
	const struct cli *cli;
	const struct run_values *values;
	struct host_config *cfg;
	struct run_user user;
	struct slot slot;
	struct msg_add message;
	struct jail jail;
	struct event_files *events;
	char since[EVENT_TS_MAX];
	int signals, control;
	int talk; /* to the child: one byte each step */
	pid_t child;
	int pidfd;
};

/* ---- the child ---- */

static bool child_says(int fd, char step)
{
	return send(fd, &step, 1, MSG_NOSIGNAL) == 1;
}

static bool child_hears(int fd)
{
	char step;

	return recv(fd, &step, 1, 0) == 1; /* an end: the parent gave up or is gone */
}

static int child_network(struct run *r, int fd)
{
	int e = unshare(CLONE_NEWNET) < 0 ? -errno : run_net_quiet();

	if (e < 0)
		return cli_fail("run: network namespace: %s: is CONFIG_NET_NS on?", strerror(-e));
	if (!child_says(fd, 'n'))
		return EXIT_REFUSED;
	e = jail_prepare(&r->jail); /* meanwhile the parent makes the pair */
	if (e || !child_hears(fd))
		return EXIT_REFUSED;
	e = run_net_inside(&r->slot.link);
	if (e < 0)
		return cli_fail("run: the guest's end of the link: %s", strerror(-e));
	return EXIT_DONE;
}

/*
 * bubblewrap looks its child up in /proc, by the number that it has in our pid namespace. In the
 * caller's /proc that is somebody else or, in a container, nobody, and bubblewrap ends. Where none
 * can be mounted the caller's has to do.
 */
static void child_proc(void)
{
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0)
		mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static void child_main(struct run *r, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	r->jail.parent_fd = fd;
	child_proc();
	if (child_network(r, fd))
		_exit(EXIT_REFUSED);
	if (!child_says(fd, 'c') || !child_hears(fd))
		_exit(EXIT_REFUSED);
	_exit(jail_exec(&r->jail));
}

/* ---- the parent: step by step ---- */

static bool on_terminal(void)
{
	return isatty(0) || isatty(1) || isatty(2);
}

/*
 * fork() into a pid namespace of its own: however the child ends, nothing that it started survives
 * it. (bubblewrap alone does not give that: killed in its first milliseconds it leaves a process
 * behind.)
 */
static pid_t fork_namespace(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
}

static int start_child(struct run *r)
{
	AUTO(fd) int theirs = -1;

	if (ipc_pair(&r->talk, &theirs) < 0)
		return cli_fail("run: %s", strerror(errno));
	fflush(NULL);
	r->child = fork_namespace();
	if (!r->child) {
		close(r->talk);
		child_main(r, theirs);
	}
	r->pidfd = r->child > 0 ? pidfd_open(r->child, 0) : -1;
	return r->pidfd < 0 ? cli_fail("run: clone: %s", strerror(errno)) : EXIT_DONE;
}

/* A signal that came while we waited, as an exit status. It is taken: we are on the way out then.
 */
static int interrupted(const struct run *r)
{
	struct signalfd_siginfo si;

	if (read(r->signals, &si, sizeof(si)) != sizeof(si))
		return EXIT_DONE;
	return 128 + (int)si.ssi_signo;
}

/* The child's next step; it has said itself what went wrong when it ends. */
static int wait_step(struct run *r)
{
	struct pollfd p[] = { { .fd = r->talk, .events = POLLIN },
			      { .fd = r->signals, .events = POLLIN } };
	char step;

	if (poll(p, ARRAY_SIZE(p), CHILD_MS) <= 0)
		return cli_fail("run: the child does not answer: try again");
	if (p[1].revents)
		return interrupted(r);
	return recv(r->talk, &step, 1, MSG_DONTWAIT) == 1 ? EXIT_DONE : EXIT_REFUSED;
}

static int make_link(struct run *r)
{
	int e = run_net_create(&r->slot.link, r->child);

	if (e < 0)
		return cli_fail("run: link %s: %s: is the veth module there?", r->slot.link.name,
				strerror(-e));
	return child_says(r->talk, 'l') ? EXIT_DONE : EXIT_REFUSED;
}

static int ask_netd(struct run *r, int fd, struct client_reply *ret)
{
	int e = client_send(fd, MSG_RUN, &r->message);

	return e < 0 ? e : client_receive(fd, ret);
}

/* A netd that is being restarted does not listen for a moment. */
static int connect_netd(struct run *r)
{
	struct pollfd p = { .fd = r->signals, .events = POLLIN };
	int fd = client_open(r->cfg);

	for (int ms = 0; ms < NETD_MS && (fd == -ECONNREFUSED || fd == -ENOENT); ms += RETRY_MS) {
		if (poll(&p, 1, RETRY_MS) > 0)
			return -EINTR;
		fd = client_open(r->cfg);
	}
	return fd;
}

static int register_sandbox(struct run *r)
{
	struct client_reply got = { 0 };
	int e;

	r->control = connect_netd(r);
	e = r->control < 0 ? r->control : ask_netd(r, r->control, &got);
	if (e == -EINTR)
		return interrupted(r);
	if (e < 0)
		return cli_fail("run: netd: %s: see %s/netd.log", strerror(-e), r->cfg->log_dir);
	client_reply_done(&got);
	if (!got.reply.code && !got.reply.exit_status)
		return EXIT_DONE;
	cli_warn("%s", got.reply.text);
	return got.reply.exit_status == EXIT_USAGE ? EXIT_USAGE : EXIT_REFUSED;
}

/* netd was restarted: the same registration again. A refusal means that it is not ready for it yet.
 */
static int register_again(void *owner)
{
	struct run *r = owner;
	struct client_reply got = { 0 };
	AUTO(fd) int fd = client_open(r->cfg);

	if (fd < 0 || ask_netd(r, fd, &got) < 0)
		return -ENOTCONN;
	client_reply_done(&got);
	return got.reply.code ? -EAGAIN : STEAL_FD(fd);
}

static void fill_message(struct run *r)
{
	const struct run_link *l = &r->slot.link;
	struct msg_add *m = &r->message;

	snprintf(m->name, sizeof(m->name), "run-%d", getpid());
	snprintf(m->profile, sizeof(m->profile), "%s",
		 r->values->profile ? r->values->profile : "default");
	snprintf(m->interface, sizeof(m->interface), "%s", l->name);
	memcpy(m->mac, l->guest_mac, sizeof(m->mac));
	m->addr[0] = l->guest[0];
	m->addr[1] = l->guest[1];
}

static int take_slot(struct run *r)
{
	int e = slot_take(r->cfg, &r->slot);

	if (e == -EADDRNOTAVAIL)
		return cli_fail(
			"run: all addresses of run_addresses are in use: make the networks larger");
	if (e < 0)
		return cli_fail("run: %s/runs: %s", r->cfg->run_dir, strerror(-e));
	if (!interface_is_policed(r->cfg, r->slot.link.name))
		return cli_misuse("%s: sandbox_interfaces has no pattern for %s: add \"cdn*\"",
				  r->cfg->file, r->slot.link.name);
	fill_message(r);
	return EXIT_DONE;
}

static bool ruleset_there(void)
{
	AUTO(ruleset) struct ruleset *rules = NULL;

	return !ruleset_open(&rules) && ruleset_present(rules);
}

/* Everything up, a number taken; what this run started is noted for the last run. */
static int begin(struct run *r)
{
	bool started = false, had_rules;
	AUTO(fd) int lock = up_lock(r->cfg, r->signals);
	int e;

	if (lock < 0)
		return lock == -EINTR ? interrupted(r)
				      : cli_fail("%s/up.lock: %s: directories.run must be root's",
						 r->cfg->run_dir, strerror(-lock));
	had_rules = supervise_pid(r->cfg) || ruleset_there();
	e = up_start(r->cli, r->cfg, r->signals, &started);
	if (started)
		up_note_set(r->cfg, true, !had_rules);
	if (e == EXIT_REFUSED) {
		int status = interrupted(r); /* it has said so */

		return status ? status : e;
	}
	return e ? e : take_slot(r);
}

static int steps(struct run *r)
{
	int e = begin(r);

	if (!e && event_files_open(r->cfg, true, &r->events) < 0)
		e = cli_fail("run: %s: %s", r->cfg->log_dir, strerror(errno));
	if (!e)
		e = start_child(r);
	if (!e)
		e = wait_step(r); /* the namespace is there */
	if (!e)
		e = make_link(r);
	if (!e)
		e = register_sandbox(r);
	if (!e)
		e = wait_step(r); /* the child's end is configured */
	return e ? e : interrupted(r);
}

static int run_command(struct run *r)
{
	struct run_wait w = {
		.child = r->child,
		.pidfd = r->pidfd,
		.signals = r->signals,
		.terminal = r->jail.terminal,
		.control = r->control,
		.lost = register_again,
		.owner = r,
	};
	int status = child_says(r->talk, 'g') ? EXIT_DONE : EXIT_REFUSED;

	status = run_wait(&w);
	r->control = w.control;
	r->child = 0;
	return status;
}

/* ---- the way out ---- */

/* The first process of a pid namespace: the kernel ends all others with it, before we are told. */
static void end_child(struct run *r)
{
	if (r->child <= 0)
		return;
	kill(r->child, SIGKILL);
	waitpid(r->child, NULL, 0);
	r->child = 0;
}

/* Asked for and waited for, so that nothing of the run is left when it returns. The connection's
 * end does the same without an answer, whatever becomes of this. */
static void say_farewell(struct run *r)
{
	struct client_reply got = { 0 };
	struct msg_rm m = { 0 };

	if (r->control < 0)
		return;
	memcpy(m.name, r->message.name, sizeof(m.name));
	if (!client_send(r->control, MSG_RM, &m) && !client_receive(r->control, &got))
		client_reply_done(&got);
	close(STEAL_FD(r->control));
}

/* The last of the runs that brought everything up takes it down again. */
static void last_one_out(struct run *r)
{
	FILE *quiet;
	bool with_rules;

	if (!up_note_get(r->cfg, &with_rules) || slot_any(r->cfg))
		return;
	up_stop(r->cfg);
	quiet = with_rules ? fopen("/dev/null", "we") : NULL;
	if (!quiet)
		return;
	firewall_stop(r->cfg, quiet); /* refuses while another sandbox's interface is up */
	fclose(quiet);
}

static void release(struct run *r)
{
	AUTO(fd) int lock = up_lock(r->cfg, -1);

	slot_release(r->cfg, &r->slot);
	if (lock >= 0)
		last_one_out(r);
}

static void run_end(struct run *r)
{
	end_child(r);
	say_farewell(r);
	if (r->slot.fd >= 0 && run_net_remove(r->slot.link.name) < 0)
		cli_warn("run: link %s stays: ip link del %s", r->slot.link.name,
			 r->slot.link.name);
	if (r->events)
		log_summary(r->events, r->message.name, r->since, stderr);
	release(r);
	event_files_close(r->events);
}

/* A shell inside may have left a group that is gone in the terminal's foreground. */
static void take_terminal_back(bool was_ours)
{
	if (!was_ours || tcgetpgrp(0) == getpgrp())
		return;
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(0, getpgrp());
}

static void note_start(struct run *r)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	event_time((long long)t.tv_sec * 1000 + t.tv_nsec / 1000000, r->since);
}

static int check_words(const struct run_values *v)
{
	if (v->profile && (strchr(v->profile, '/') || strstr(v->profile, ".yaml")))
		return cli_misuse(
			"run: --profile %s: a file is not supported yet: put it into the profiles "
			"directory and give its name",
			v->profile);
	if (v->profile && (!*v->profile || strlen(v->profile) >= MSG_LABEL))
		return cli_misuse("run: --profile %s: no such profile: cordon check lists them",
				  v->profile);
	return EXIT_DONE;
}

static int run(const struct cli *c, const void *values, const struct args *a)
{
	static struct run r;
	bool ours = isatty(0) && tcgetpgrp(0) == getpgrp();
	AUTO(host_config) struct host_config *cfg = NULL;
	int e;

	r = (struct run){ .cli = c,
			  .values = values,
			  .slot = { .fd = -1 },
			  .control = -1,
			  .talk = -1,
			  .pidfd = -1 };
	e = check_words(r.values);
	if (!e)
		e = cli_need_root("run");
	if (!e)
		e = run_user_of_caller(r.values->as_root, &r.user);
	if (!e)
		e = jail_check_passed();
	if (!e)
		e = cli_config(c, &cfg);
	if (e)
		return e;
	r.cfg = cfg;
	r.jail = (struct jail){ .cfg = cfg,
				.user = &r.user,
				.rw = &r.values->rw,
				.words = a->word,
				.terminal = on_terminal() };
	r.signals = run_signals();
	if (r.signals < 0 || !getcwd(r.jail.cwd, sizeof(r.jail.cwd)))
		return cli_fail("run: %s: is the working directory still there?", strerror(errno));
	note_start(&r);
	e = steps(&r);
	if (!e)
		e = run_command(&r);
	take_terminal_back(ours);
	run_end(&r);
	return e;
}

const struct command command_run = {
	.name = "run",
	.usage = "[--profile NAME] [--rw DIR]... [--as-root] -- CMD...",
	.line = "Run a command in a sandbox of its own, as the calling user",
	.more = "The command sees the file system read-only except the working directory and\n"
		"what --rw names, no process, UNIX socket or device of the host, and of the\n"
		"network what the profile allows. What is not running is started, and stopped\n"
		"again by the last run. Refusals are listed at the end. Exit status: that of\n"
		"CMD (128 + n when signal n ended it).",
	.examples = "  sudo cordon run --profile agent -- git clone https://github.com/acme/widgets\n"
		    "  sudo cordon run --profile agent --rw ~/.cache -- npm install\n",
	.options = run_options,
	.n_options = ARRAY_SIZE(run_options),
	.min_args = 1,
	.max_args = -1,
	.runs_words = true,
	.run = run,
};
