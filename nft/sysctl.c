/*
 * sysctl.c - kernel settings that the ruleset relies on; former values are kept and put back
 *
 * Theory of operation: one table of host settings with the reason of each. STATE/firewall.saved holds
 * "path value" lines of what was there before the first start; it is written whole (temporary file and
 * rename) before anything is changed, and never overwritten, so that starting twice cannot save our own
 * values as the host's. accept_ra 2 keeps uplinks that learn their route by router advertisement alive
 * when forwarding is switched on.
 */
#include "nft/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "nft/firewall.h"
#include "nft/rtnl.h"

#define ROOT "/proc/sys/"

enum { PATH_LEN = 256, VALUE_LEN = 64, UPLINKS_MAX = 16 };

static const struct setting {
	const char *path, *value, *why;
} host_settings[] = {
	{ "net/netfilter/nf_conntrack_tcp_loose", "0", "a flow begins with a SYN" },
	{ "net/netfilter/nf_conntrack_tcp_be_liberal", "0", "out of window is invalid" },
	{ "net/netfilter/nf_conntrack_checksum", "1", "a bad checksum is invalid" },
	{ "net/ipv4/tcp_fwmark_accept", "0", "else the SYN-ACK of a steered flow loops to lo" },
	{ "net/ipv4/conf/all/src_valid_mark", "0", "else silent martian drops of steered flows" },
	{ "net/ipv4/ip_forward", "1", "last: the ruleset is there by now" },
	{ "net/ipv6/conf/all/forwarding", "1", "likewise" },
};

static const struct setting interface_settings[] = {
	{ "net/ipv4/conf/%s/rp_filter", "1", "backstop: a spoofed source has no route back" },
	{ "net/ipv4/conf/%s/accept_redirects", "0", "the sandbox must not change the host's routes" },
	{ "net/ipv4/conf/%s/send_redirects", "0", "sandboxes have one way out" },
	{ "net/ipv4/conf/%s/accept_source_route", "0", "options are dropped, this is the second lock" },
	{ "net/ipv6/conf/%s/accept_ra", "0", "the sandbox is no router" },
	{ "net/ipv6/conf/%s/accept_redirects", "0", "as for IPv4" },
	{ "net/ipv6/conf/%s/keep_addr_on_down", "1", "links go down and up when the table is rebuilt" },
};

static void file_close(FILE *f) { fclose(f); }
DEFINE_AUTO(file, FILE *, file_close)

static int sysctl_read(const char *path, char value[VALUE_LEN])
{
	char full[PATH_LEN + sizeof(ROOT)];
	AUTO(fd) int fd = -1;
	ssize_t n;

	snprintf(full, sizeof(full), ROOT "%s", path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, value, VALUE_LEN - 1);
	if (n < 0)
		return -errno;
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

static int sysctl_write(const char *path, const char *value)
{
	char full[PATH_LEN + sizeof(ROOT)], now[VALUE_LEN];
	AUTO(fd) int fd = -1;

	if (sysctl_read(path, now) == 0 && !strcmp(now, value))
		return 0;						/* containers: readable, not writable */
	snprintf(full, sizeof(full), ROOT "%s", path);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return -errno;
	return 0;
}

/* accept_ra of each uplink, as paths. */
static int uplink_paths(const struct host_config *c, char paths[][PATH_LEN], int max)
{
	char found[UPLINKS_MAX][16];
	int n = c->n_uplinks ? (int)c->n_uplinks : rtnl_default_links(found, UPLINKS_MAX), out = 0;

	for (int i = 0; i < n && out < max; i++)
		snprintf(paths[out++], PATH_LEN, "net/ipv6/conf/%s/accept_ra",
			 c->n_uplinks ? c->uplinks[i] : found[i]);
	return out;
}

static void saved_path(const struct host_config *c, char out[PATH_LEN])
{
	snprintf(out, PATH_LEN, "%s/firewall.saved", c->state_dir);
}

static void save_one(FILE *f, const char *path)
{
	char value[VALUE_LEN];

	if (sysctl_read(path, value) == 0)
		fprintf(f, "%s %s\n", path, value);
}

static int save_all(const struct host_config *c)
{
	char path[PATH_LEN], temporary[PATH_LEN + 8], uplinks[UPLINKS_MAX][PATH_LEN];
	int n = uplink_paths(c, uplinks, UPLINKS_MAX), fd;
	FILE *f;

	saved_path(c, path);
	if (access(path, F_OK) == 0)
		return 0;
	if (mkdir(c->state_dir, 0711) < 0 && errno != EEXIST)
		return -errno;
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(host_settings); i++)
		save_one(f, host_settings[i].path);
	for (int i = 0; i < n; i++)
		save_one(f, uplinks[i]);
	if (fclose(f) != 0 || rename(temporary, path) < 0)
		return -errno;
	return 0;
}

int sysctl_apply_host(const struct host_config *c, FILE *to)
{
	char uplinks[UPLINKS_MAX][PATH_LEN], value[VALUE_LEN];
	int n = uplink_paths(c, uplinks, UPLINKS_MAX), r = save_all(c);

	if (r < 0)
		return r;
	for (int i = 0; i < n; i++)
		if (sysctl_read(uplinks[i], value) == 0 && !strcmp(value, "1"))
			sysctl_write(uplinks[i], "2");
	for (size_t i = 0; i < ARRAY_SIZE(host_settings); i++) {
		r = sysctl_write(host_settings[i].path, host_settings[i].value);
		if (r == 0)
			continue;
		fprintf(to, "cordon: %s cannot be set to %s (%s): %s\n", host_settings[i].path,
			host_settings[i].value, host_settings[i].why, strerror(-r));
		return r;
	}
	return 0;
}

int sysctl_restore_host(const struct host_config *c, FILE *to)
{
	char path[PATH_LEN], line[PATH_LEN + VALUE_LEN];
	AUTO(file) FILE *f = NULL;

	saved_path(c, path);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ' ');
		int r;

		if (!value)
			continue;
		*value++ = '\0';
		value[strcspn(value, "\n")] = '\0';
		r = sysctl_write(line, value);
		if (r < 0 && r != -ENOENT)
			fprintf(to, "cordon: %s cannot be set back to %s: %s\n", line, value, strerror(-r));
	}
	return unlink(path) < 0 ? -errno : 0;
}

int firewall_interface_sysctls(const char *interface)
{
	for (size_t i = 0; i < ARRAY_SIZE(interface_settings); i++) {
		char path[PATH_LEN];
		int r;

		snprintf(path, sizeof(path), ROOT "net/ipv6/conf/%s", interface);
		if (strstr(interface_settings[i].path, "ipv6") && access(path, F_OK) < 0)
			continue;					/* IPv6 is off on this link */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(path, sizeof(path), interface_settings[i].path, interface);
#pragma GCC diagnostic pop
		r = sysctl_write(path, interface_settings[i].value);
		if (r < 0)
			return r;
	}
	return 0;
}
