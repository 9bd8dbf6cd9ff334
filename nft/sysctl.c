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
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "nft/firewall.h"
#include "nft/rtnl.h"
#include "nft/uplinks.h"

#define ROOT "/proc/sys/"

enum { PATH_LEN = 256, VALUE_LEN = 64 };

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

/*
 * A reply's source is checked with the guest as the sender, which the backstop calls unreachable: with the
 * reply's mark, which the ruleset restores, it is not. Without src_valid_mark strict and loose rp_filter
 * on an uplink (loose is systemd's default) would drop every IPv4 reply.
 */
static const struct uplink_setting {
	const char *path, *when, *value;	/* when NULL: always */
	const char *why;
	bool numbered;				/* only where the uplink has an IPv6 address of its own */
} uplink_settings[] = {
	{ "net/ipv6/conf/%s/accept_ra", "1", "2", "a forwarding host loses the route that it learnt" },
	{ "net/ipv4/conf/%s/src_valid_mark", NULL, "1", "rp_filter drops replies" },
	/* Without it masquerading looks at every interface of the host for a source, for each new flow: 3 ms
	 * with ten thousand sandboxes. */
	{ "net/ipv6/conf/%s/use_oif_addrs_only", NULL, "1", "new IPv6 flows wait for a look at all interfaces", true },
};

static const struct setting interface_settings[] = {
	{ "net/ipv4/conf/%s/rp_filter", "1", "backstop: a spoofed source has no route back" },
	{ "net/ipv4/conf/%s/arp_ignore", "1", "the host's other addresses are not the sandbox's to know" },
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

/* A path with an interface in it. */
static void path_of(char path[PATH_LEN], const char *pattern, const char *interface)
{
	const char *at = strstr(pattern, "%s");

	if (snprintf(path, PATH_LEN, "%.*s%s%s", (int)(at - pattern), pattern, interface, at + 2) >= PATH_LEN)
		path[0] = '\0';
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
	char path[PATH_LEN], temporary[PATH_LEN + 8], one[PATH_LEN], names[UPLINKS_MAX][16];
	int n = uplinks_of(c, names, UPLINKS_MAX), fd;
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
		for (size_t k = 0; k < ARRAY_SIZE(uplink_settings); k++) {
			path_of(one, uplink_settings[k].path, names[i]);
			save_one(f, one);
		}
	if (fclose(f) != 0 || rename(temporary, path) < 0)
		return -errno;
	return 0;
}

struct numbered {
	int index;
	bool found;
};

static int on_address(void *owner, const struct addr *a, int index)
{
	struct numbered *n = owner;
	bool link_local = a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;

	n->found |= index == n->index && a->family == 6 && !link_local;
	return 0;
}

/* Whether this setting is for an uplink as this one is. */
static bool is_for(const struct uplink_setting *u, const char *name)
{
	struct numbered n = { .index = (int)if_nametoindex(name) };

	if (!u->numbered)
		return true;
	return n.index && rtnl_addresses_each(on_address, &n) >= 0 && n.found;
}

/* An interface that is not there yet has nothing to set. */
static int apply_uplink(const char *name, FILE *to)
{
	char path[PATH_LEN], value[VALUE_LEN];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(uplink_settings); i++) {
		const struct uplink_setting *u = &uplink_settings[i];

		path_of(path, u->path, name);
		if (sysctl_read(path, value) < 0 || (u->when && strcmp(value, u->when)) || !is_for(u, name))
			continue;
		r = sysctl_write(path, u->value);
		if (r < 0) {
			fprintf(to, "cordon: %s cannot be set to %s: %s\n", path, u->value, strerror(-r));
			return r;
		}
	}
	return 0;
}

int sysctl_apply_host(const struct host_config *c, FILE *to)
{
	char names[UPLINKS_MAX][16];
	int n = uplinks_of(c, names, UPLINKS_MAX), r = save_all(c);

	if (r < 0)
		return r;
	for (int i = 0; i < n; i++)
		if ((r = apply_uplink(names[i], to)) < 0)
			return r;
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
		path_of(path, interface_settings[i].path, interface);
		r = sysctl_write(path, interface_settings[i].value);
		if (r < 0)
			return r;
	}
	return 0;
}

static void tell_wrong(const char *path, const char *when, const struct setting *s,
		       void (*fn)(void *owner, const struct sysctl_state *s), void *owner)
{
	struct sysctl_state st = { .path = path, .wanted = s->value, .why = s->why };
	char now[VALUE_LEN];

	if (sysctl_read(path, now) < 0 || !strcmp(now, s->value) || (when && strcmp(now, when)))
		return;
	st.now = now;
	fn(owner, &st);
}

void sysctl_each_wrong(const struct host_config *c, const char *interface,
		       void (*fn)(void *owner, const struct sysctl_state *s), void *owner)
{
	char names[UPLINKS_MAX][16], path[PATH_LEN];
	int n = interface ? 0 : uplinks_of(c, names, UPLINKS_MAX);

	for (size_t i = 0; interface && i < ARRAY_SIZE(interface_settings); i++) {
		path_of(path, interface_settings[i].path, interface);
		tell_wrong(path, NULL, &interface_settings[i], fn, owner);
	}
	for (size_t i = 0; !interface && i < ARRAY_SIZE(host_settings); i++)
		tell_wrong(host_settings[i].path, NULL, &host_settings[i], fn, owner);
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(uplink_settings); k++) {
			const struct uplink_setting *u = &uplink_settings[k];
			const struct setting s = { u->path, u->value, u->why };

			if (!is_for(u, names[i]))
				continue;
			path_of(path, u->path, names[i]);
			tell_wrong(path, u->when, &s, fn, owner);
		}
}
