/*
 * doctor_host.c - accounts, files, service manager, resolver and sockets of the host
 *
 * Theory of operation: plain looks at files, and one question to each resolver. Numbers that stand
 * in for accounts are as good to the kernel, so accounts are missed only where some of them were
 * made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/proc.h"
#include "cli/doctor.h"

enum { RESOLVERS_MAX = 8, RESOLVER_WAIT_MS = 1000 };

/* ---- accounts ---- */

static bool account_known(enum proc_role r)
{
	char name[32];

	snprintf(name, sizeof(name), "cordon-%s", proc_role_name(r));
	return getpwnam(name);
}

static void check_number(struct doctor *d, enum proc_role r)
{
	const struct passwd *pw = getpwuid(PROC_UID_BASE + r);

	if (pw && strncmp(pw->pw_name, "cordon-", strlen("cordon-")))
		doctor_say(d, DOCTOR_PROBLEM,
			   "has the number that stands in for cordon-%s (%d)\taccount %s\tinstall "
			   "sysusers.d/cordon.conf and run systemd-sysusers",
			   proc_role_name(r), PROC_UID_BASE + r, pw->pw_name);
}

static void run_accounts(struct doctor *d)
{
	bool any = getgrnam("cordon");

	for (enum proc_role r = ROLE_NETD; r < ROLE_COUNT; r++)
		any = any || account_known(r);
	for (enum proc_role r = ROLE_NETD; r < ROLE_COUNT; r++) {
		if (any && !account_known(r))
			doctor_say(
				d, DOCTOR_WARNING,
				"is missing while others are there\taccount cordon-%s\t"
				"systemd-sysusers, or adduser --system --ingroup cordon cordon-%s",
				proc_role_name(r), proc_role_name(r));
		else if (!account_known(r))
			check_number(d, r);
	}
	if (any && !getgrnam("cordon"))
		doctor_say(d, DOCTOR_WARNING,
			   "is missing while accounts are there\tgroup cordon\tsystemd-sysusers");
}

/* ---- files ---- */

/* Who may write the configuration may grant anything. */
static void check_written(struct doctor *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	if (st.st_mode & S_IWOTH || (st.st_mode & S_IWGRP && st.st_gid) || st.st_uid)
		doctor_say(d, DOCTOR_PROBLEM,
			   "others than root can write it\t%s\tchown root:root %s && chmod go-w %s",
			   path, path, path);
}

static void check_secret(struct doctor *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && st.st_mode & 077)
		doctor_say(d, DOCTOR_PROBLEM, "is a secret that others can read\t%s\tchmod %s %s",
			   path, S_ISDIR(st.st_mode) ? "0700" : "0600", path);
}

static void check_each(struct doctor *d, const char *dir,
		       void (*check)(struct doctor *d, const char *path))
{
	DIR *all = opendir(dir);
	const struct dirent *e;
	char path[1024];

	while (all && (e = readdir(all)))
		if (e->d_name[0] != '.' &&
		    snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < (int)sizeof(path))
			check(d, path);
	if (all)
		closedir(all);
}

static void check_directory(struct doctor *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode))
		doctor_say(d, DOCTOR_PROBLEM, "is no directory\t%s\tmove it away", path);
	else if (st.st_mode & S_IWOTH)
		doctor_say(d, DOCTOR_PROBLEM, "everybody can write there\t%s\tchmod o-w %s", path,
			   path);
}

static void run_files(struct doctor *d)
{
	const struct host_config *c = d->cfg;
	const char *slash = strrchr(c->file, '/');
	char path[1024];
	int n = slash ? (int)(slash - c->file) : 1;

	check_written(d, c->file);
	check_written(d, c->profiles_dir);
	check_each(d, c->profiles_dir, check_written);
	check_directory(d, c->run_dir);
	check_directory(d, c->state_dir);
	check_directory(d, c->log_dir);
	snprintf(path, sizeof(path), "%.*s/secrets", n, slash ? c->file : ".");
	check_secret(d, path);
	check_each(d, path, check_secret);
	snprintf(path, sizeof(path), "%s/ca", c->state_dir);
	check_secret(d, path);
	snprintf(path, sizeof(path), "%s/ca/ca.key", c->state_dir);
	check_secret(d, path);
	snprintf(path, sizeof(path), "%s/ca/next.key", c->state_dir);
	check_secret(d, path);
}

/* ---- service manager ---- */

static const char *const unit_dirs[] = { "/etc/systemd/system", "/run/systemd/system",
					 "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
					 "/lib/systemd/system" };

static bool unit_file(const char *name)
{
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", unit_dirs[i], name);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* A link below any NAME.wants or NAME.requires of /etc. */
static bool unit_enabled(const char *name)
{
	static const char root[] = "/etc/systemd/system";
	DIR *all = opendir(root);
	const struct dirent *e;
	bool found = false;
	char path[600];

	while (all && !found && (e = readdir(all))) {
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || (strcmp(dot, ".wants") && strcmp(dot, ".requires")))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", root, e->d_name, name);
		found = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	if (all)
		closedir(all);
	return found;
}

static bool file_flushes(const char *path)
{
	FILE *f = fopen(path, "re");
	bool flushes = false;
	char line[256];

	while (f && !flushes && fgets(line, sizeof(line), f))
		flushes = !strncmp(line + strspn(line, " \t"), "flush ruleset",
				   strlen("flush ruleset"));
	if (f)
		fclose(f);
	return flushes;
}

static void check_nftables_service(struct doctor *d)
{
	if (!unit_enabled("nftables.service") || !file_flushes("/etc/nftables.conf") ||
	    unit_file("nftables.service.d/cordon.conf"))
		return;
	doctor_say(d, DOCTOR_WARNING,
		   "is enabled and flushes every ruleset, Cordon's with it: sandboxes lose their "
		   "flows "
		   "until it is loaded again\tnftables.service (/etc/nftables.conf)\tinstall the "
		   "drop-in "
		   "nftables.service.d/cordon.conf, or replace `flush ruleset` by deletions of "
		   "your own tables");
}

static void run_units(struct doctor *d)
{
	check_nftables_service(d);
	if (access("/run/systemd/system", F_OK) < 0 || !unit_file("cordon-firewall.service"))
		return;
	if (!unit_enabled("cordon-firewall.service"))
		doctor_say(
			d, DOCTOR_WARNING,
			"is installed, not enabled: after a boot VMs may start before the ruleset\t"
			"cordon-firewall.service\tsystemctl enable cordon-firewall.service "
			"cordon.target");
	else if (!unit_enabled("cordon.target"))
		doctor_say(d, DOCTOR_WARNING,
			   "is installed, not enabled: after a boot sandboxes stay "
			   "closed\tcordon.target\t"
			   "systemctl enable cordon.target");
}

/* ---- resolvers ---- */

static size_t system_resolvers(struct addr *ret, size_t max)
{
	FILE *f = fopen("/etc/resolv.conf", "re");
	char line[256], word[64];
	size_t n = 0;

	while (f && n < max && fgets(line, sizeof(line), f))
		if (sscanf(line, " nameserver %63[^% \n\t]", word) == 1)
			n += addr_parse(word, &ret[n]);
	if (f)
		fclose(f);
	return n;
}

/* Any answer to a question for the root's name servers will do. */
static bool resolver_answers(const struct addr *a, uint16_t port)
{
	static const uint8_t query[] = { 0xc0, 0x4d, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1 };
	struct sockaddr_storage sa;
	socklen_t n = addr_to_sockaddr(a, port, &sa);
	AUTO(fd) int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t answer[512];

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, n) < 0 ||
	    send(fd, query, sizeof(query), 0) < 0 || poll(&p, 1, RESOLVER_WAIT_MS) != 1)
		return false;
	return recv(fd, answer, sizeof(answer), 0) >= 12 && answer[0] == query[0] &&
	       answer[1] == query[1];
}

static void run_resolver(struct doctor *d)
{
	const struct host_config *c = d->cfg;
	struct addr found[RESOLVERS_MAX];
	const struct addr *all = c->n_dns_upstream ? c->dns_upstream : found;
	size_t n = c->n_dns_upstream ? c->n_dns_upstream : system_resolvers(found, RESOLVERS_MAX),
	       good = 0;
	const char *where = c->n_dns_upstream ? c->file : "/etc/resolv.conf";
	char text[ADDR_TEXT_MAX];

	if (!n)
		doctor_say(d, DOCTOR_PROBLEM,
			   "names no resolver, so no name resolves\t%s\tset dns.upstream in %s",
			   where, c->file);
	for (size_t i = 0; i < n; i++)
		good += resolver_answers(&all[i], c->dns_upstream_port);
	for (size_t i = 0; n && good < n && i < n; i++) {
		addr_format(&all[i], text);
		if (!resolver_answers(&all[i], c->dns_upstream_port))
			doctor_say(d, good ? DOCTOR_WARNING : DOCTOR_PROBLEM,
				   "resolver %s does not answer\t%s\tcorrect it, or set "
				   "dns.upstream in %s",
				   text, where, c->file);
	}
}

/* ---- sockets ---- */

static bool hex_address(const char *text, struct addr *ret)
{
	size_t words = strlen(text) / 8;

	*ret = (struct addr){ .family = words == 4 ? 6 : 4 };
	for (size_t i = 0; i < words && i < 4; i++) {
		char word[9] = "";
		uint32_t v;

		memcpy(word, text + i * 8, 8);
		v = (uint32_t)strtoul(word, NULL,
				      16); /* in the host's order, as the kernel prints it */
		memcpy(ret->b + i * 4, &v, 4);
	}
	return words == 1 || words == 4;
}

static bool any_address(const struct addr *a)
{
	static const struct addr none;

	return !memcmp(a->b, none.b, sizeof(none.b));
}

static void check_socket(struct doctor *d, const struct addr *a, unsigned port, const char *proto,
			 bool *ret_any53)
{
	const struct pool *pool = &d->cfg->pool;
	char text[ADDR_TEXT_MAX];
	uint32_t index;

	if (any_address(a) && port == PORT_DNS)
		*ret_any53 = true;
	if (!prefix_has(&pool->v4, a) && !prefix_has(&pool->v6, a))
		return;
	if (pool_index(pool, a, &index) && ((index == POOL_DNS && port == PORT_DNS) ||
					    (index == POOL_PROXY && port == PORT_PROXY)))
		return; /* ours */
	addr_format(a, text);
	doctor_say(
		d, DOCTOR_PROBLEM,
		"something listens on a synthetic address\t%s %s port %u\tend it, or choose other "
		"`addresses` in %s",
		proto, text, port, d->cfg->file);
}

static void read_sockets(struct doctor *d, const char *path, const char *proto, bool *ret_any53)
{
	FILE *f = fopen(path, "re");
	char line[512], local[40];
	unsigned port, remote;
	struct addr a;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%x", local, &port, &remote) ==
			    3 &&
		    !remote && hex_address(local, &a))
			check_socket(d, &a, port, proto, ret_any53);
	if (f)
		fclose(f);
}

static bool resolver_runs(const struct doctor *d)
{
	char path[512], pid[32];

	snprintf(path, sizeof(path), "%s/dns.pid", d->cfg->run_dir);
	return doctor_read(path, pid, sizeof(pid));
}

static void run_sockets(struct doctor *d)
{
	bool any53 = false;

	read_sockets(d, "/proc/net/tcp", "tcp", &any53);
	read_sockets(d, "/proc/net/udp", "udp", &any53);
	read_sockets(d, "/proc/net/tcp6", "tcp", &any53);
	read_sockets(d, "/proc/net/udp6", "udp", &any53);
	if (any53 && !resolver_runs(d))
		doctor_say(d, DOCTOR_WARNING,
			   "something listens on every address, so cordon-dns may not start\tport "
			   "53\tbind it "
			   "to its own addresses (dnsmasq: bind-interfaces; systemd-resolved: "
			   "DNSStubListener=no)");
}

const struct doctor_check doctor_accounts = { "accounts", "consistent", false, run_accounts };
const struct doctor_check doctor_files = { "files", "not readable or writable by others", true,
					   run_files };
const struct doctor_check doctor_units = { "units", "nothing missing", false, run_units };
const struct doctor_check doctor_resolver = { "resolvers", "answer", false, run_resolver };
const struct doctor_check doctor_sockets = { "sockets", "none in Cordon's way", false,
					     run_sockets };
