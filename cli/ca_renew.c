/*
 * ca_renew.c - cordon ca renew: another CA takes the place of this one, without a gap
 *
 * Theory of operation: a guest trusts the CA that its image or its start gave it, so nothing may be
 * signed by another one before it has been told. Hence two commands, and the administrator's time
 * between them: the first makes the next CA and publishes its certificate beside the current one's,
 * the second has the keeper sign by it. Files are changed by cordon-keeper, run as a program of its
 * own (gitproxy/keeper/ca_renew.c); daemons are told through netd, whose reply comes when they have
 * changed over. To activate, the keeper comes first: when it cannot use the next CA, no file has
 * changed. When this command ends in between, guests are still told to trust both, and activating
 * once more does the rest.
 */
#include "cli/ca_renew.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "cli/client.h"

enum { PATH_BYTES = 4096 };

/* A step on the files; what is wrong has been said. */
static int files(const struct cli *c, const char *step)
{
	char path[PATH_BYTES];
	const char *const argv[] = { "cordon-keeper", "--config", c->config, "--ca", step, NULL };
	const struct proc_spec spec = { .path = path, .argv = argv, .die_with_parent = true };
	int status = 0, r = proc_program("cordon-keeper", path, sizeof(path));
	pid_t pid;

	if (!r)
		r = proc_spawn(&spec, &pid, NULL);
	if (r < 0)
		return cli_fail("ca renew: cordon-keeper: %s: make install", strerror(-r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cli_fail("ca renew: cordon-keeper: %s", strerror(errno));
	if (!WIFEXITED(status))
		return cli_fail("ca renew: cordon-keeper: signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* Conversation with netd: 0 with its reply, or -errno without one. */
static int ask(int fd, enum ca_step step, int text, struct client_reply *ret)
{
	const struct msg_ca m = { .step = step };
	int r = ipc_send(fd, MSG_RENEW, 1, &m, sizeof(m), &text, 1);

	return r ? r : client_receive(fd, ret);
}

/* Daemons that are not there are no failure: they start with what is in the files. */
static int nobody(const char *who)
{
	cli_warn("ca renew: %s: the proxy changes over when it starts, or as it sees the files", who);
	return EXIT_DONE;
}

static int tell(const struct host_config *cfg, enum ca_step step)
{
	AUTO(fd) int fd = client_open(cfg);
	AUTO(fd) int text = -1;
	struct client_reply got = { 0 };
	char path[PATH_BYTES];
	int r;

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return nobody("netd does not run");
	snprintf(path, sizeof(path), "%s/ca.pem", cfg->state_dir);
	text = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (text < 0)
		return cli_fail("ca renew: %s: %s", path, strerror(errno));
	r = fd < 0 ? fd : ask(fd, step, text, &got);
	if (r < 0)
		return cli_fail("ca renew: netd: %s: see cordon status", strerror(-r));
	r = got.reply.code == -ENOTCONN ? nobody(got.reply.text) :
	    got.reply.code ? cli_fail("ca renew: %s: %s: see the keeper's log", got.reply.text,
				      strerror(-got.reply.code)) :
			     EXIT_DONE;
	client_reply_done(&got);
	return r;
}

static int make(const struct cli *c, const struct host_config *cfg)
{
	int r = files(c, "next");

	return r ? r : tell(cfg, CA_PUBLISH);
}

static int discard(const struct cli *c, const struct host_config *cfg)
{
	int r = files(c, "discard");

	return r ? r : tell(cfg, CA_PUBLISH);
}

static int activate(const struct cli *c, const struct host_config *cfg)
{
	char path[PATH_BYTES];
	int r;

	snprintf(path, sizeof(path), "%s/ca/next.pem", cfg->state_dir);
	if (access(path, F_OK) < 0)
		return cli_fail("ca renew: no next one waits: sudo cordon ca renew makes it");
	r = tell(cfg, CA_ACTIVATE);
	if (!r)
		r = files(c, "activate");
	return r ? r : tell(cfg, CA_PUBLISH);
}

static int make_and_activate(const struct cli *c, const struct host_config *cfg)
{
	int r = make(c, cfg);

	return r ? r : activate(c, cfg);
}

static const char next_text[] =
	"The next CA is made and published beside the current one, which stays in force.\n"
	"Give guests both (cordon ca show); sandboxes of cordon run that start from now on have\n"
	"both. Then: sudo cordon ca renew --activate\n";
static const char activated_text[] =
	"The next CA is in force; the one before is gone. Guests that trust only that one get\n"
	"errors of TLS from hosts that are terminated, until they have: cordon ca show\n";
static const char discarded_text[] = "The next CA is gone; nothing else has changed.\n";

int ca_renew(const struct cli *c, const struct ca_values *v)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	int (*step)(const struct cli *c, const struct host_config *cfg) = make;
	const char *text = next_text;
	int r;

	if (v->activate + v->discard + v->now > 1)
		return cli_misuse("ca renew: --activate, --discard and --now are one or the other");
	if (cli_need_root("ca renew"))
		return EXIT_REFUSED;
	if (v->activate || v->now) {
		step = v->now ? make_and_activate : activate;
		text = activated_text;
	} else if (v->discard) {
		step = discard;
		text = discarded_text;
	}
	r = cli_config_light(c, &cfg);
	if (!r)
		r = step(c, cfg);
	if (!r)
		fputs(text, stdout);
	return r;
}
