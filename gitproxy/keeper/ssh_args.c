/*
 * ssh_args.c - how ssh is called: one template, nothing free in it
 *
 * Theory of operation: no file of ssh's configuration is read, and every option that would run a
 * program, ask somebody, forward something, take another key or believe another host is said here,
 * whatever its default. ssh is given an address that was checked, so it resolves nothing; the name
 * stands in HostKeyAlias, by which the host's key is found. What varies is of few bytes (policy/
 * host_ssh.h, git_path.h), asked about here again, and no name in it may begin with a dash. The path
 * is in quotes for the shell of the server; no byte in it could end them. Allocates nothing.
 * Spec: ssh(1), ssh_config(5).
 */
#include "gitproxy/keeper/ssh_args.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/host_ssh.h"

/* One row more for each service that is ever asked for. */
static const struct service { enum git_service service; const char *program, *option; } services[] = {
	{ GIT_SERVICE_UPLOAD_PACK, "git-upload-pack", "SetEnv=GIT_PROTOCOL=version=2" },
	{ GIT_SERVICE_RECEIVE_PACK, "git-receive-pack", NULL },
};

static const char *const options[] = {
	"BatchMode=yes",
	"StrictHostKeyChecking=yes",
	"GlobalKnownHostsFile=/dev/null",
	"KnownHostsCommand=none",
	"UpdateHostKeys=no",
	"VerifyHostKeyDNS=no",
	"CheckHostIP=no",
	"NoHostAuthenticationForLocalhost=no",
	"CanonicalizeHostname=no",
	"IdentitiesOnly=yes",
	"IdentityAgent=none",
	"AddKeysToAgent=no",
	"PreferredAuthentications=publickey",
	"PubkeyAuthentication=yes",
	"PasswordAuthentication=no",
	"KbdInteractiveAuthentication=no",
	"GSSAPIAuthentication=no",
	"HostbasedAuthentication=no",
	"ProxyCommand=none",
	"ProxyJump=none",
	"ControlMaster=no",
	"ControlPath=none",
	"PermitLocalCommand=no",
	"ForwardAgent=no",
	"ForwardX11=no",
	"Tunnel=no",
	"ClearAllForwardings=yes",
	"RequestTTY=no",
	"EscapeChar=none",
	"ConnectionAttempts=1",
	"ServerAliveInterval=30",
	"ServerAliveCountMax=4",
	"LogLevel=ERROR",
	"FingerprintHash=sha256",
};

struct fill {
	struct ssh_args *to;
	size_t n, used;
	bool failed;
};

static void add(struct fill *f, const char *arg)
{
	f->failed |= f->n + 1 >= SSH_ARGS_MAX;
	if (!f->failed)
		f->to->argv[f->n++] = arg;
}

static void PRINTF_LIKE(2, 3) add_fmt(struct fill *f, const char *fmt, ...)
{
	char *at = f->to->text + f->used;
	size_t room = sizeof(f->to->text) - f->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(at, room, fmt, ap);
	va_end(ap);
	f->failed |= n < 0 || (size_t)n >= room;
	if (f->failed)
		return;
	f->used += (size_t)n + 1;
	add(f, at);
}

static const struct service *service_of(enum git_service service)
{
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		if (services[i].service == service)
			return &services[i];
	return NULL;
}

/* A grammar without quotes, blanks and expansions; and no name that a program would take for an option. */
static bool repo_ok(const char *repo)
{
	return gp_repo_valid(rd_str(repo), true) && repo[0] != '-' && !strstr(repo, "/-");
}

bool ssh_args_make(const struct ssh_call *c, struct ssh_args *ret)
{
	const struct host_credential *h = c->credential;
	const struct service *service = service_of(c->service);
	struct fill f = { .to = ret };
	char address[ADDR_TEXT_MAX];

	*ret = (struct ssh_args){ 0 };
	if (!service || h->kind != CREDENTIAL_SSH || !repo_ok(c->repo) || !host_ssh_user_ok(h->username) ||
	    !host_ssh_path_ok(h->file) || !host_ssh_path_ok(c->known_hosts) || h->host[0] == '-' ||
	    (c->to.family != 4 && c->to.family != 6))
		return false;
	addr_format(&c->to, address);
	add(&f, "ssh");
	add(&f, "-F");
	add(&f, "none");
	add(&f, "-T");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		add(&f, "-o");
		add(&f, options[i]);
	}
	if (service->option) {
		add(&f, "-o");
		add(&f, service->option);
	}
	add(&f, "-o");
	add_fmt(&f, "UserKnownHostsFile=%s", c->known_hosts);
	add(&f, "-o");
	add_fmt(&f, "IdentityFile=%s", h->file);
	add(&f, "-o");
	add_fmt(&f, "HostKeyAlias=%s", h->host);
	add(&f, "-o");
	add_fmt(&f, "ConnectTimeout=%u", c->connect_s);
	add(&f, "-p");
	add_fmt(&f, "%u", h->port);
	add(&f, "-l");
	add(&f, h->username);
	add(&f, "--");
	add_fmt(&f, "%s", address);
	add_fmt(&f, "%s '%s.git'", service->program, c->repo);
	return !f.failed;
}
