/*
 * firewall.c - the static part: ruleset text, sysctls, routing rules; what must be there before any VM
 *
 * Theory of operation: cordon.nft is compiled into the program; the lines between its two site markers
 * are replaced by defines made from the host configuration, and libnftables loads the result in one
 * transaction. What is changed outside nftables stands in tables here (sysctls, rules), each change is
 * idempotent, and former sysctl values are kept in STATE/firewall.saved until `firewall stop` puts them
 * back. The order of starting is the ruleset first, so that forwarding is switched on behind it.
 */
#include "nft/firewall.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <nftables/libnftables.h>

#include "base/mem.h"
#include "nft/offload.h"
#include "nft/rtnl.h"
#include "nft/sysctl.h"
#include "nft/uplinks.h"
#include "policy/interface.h"

#define SITE_BEGIN "# ---- site ----\n"
#define SITE_END "# ---- end of site ----\n"

/* The text of cordon.nft, NUL-terminated. */
__asm__(".section .rodata\n"
	"cordon_nft_text:\n"
	".incbin \"nft/cordon.nft\"\n"
	".byte 0\n"
	".previous\n");
extern const char cordon_nft_text[];

static void file_close(FILE *f) { fclose(f); }
DEFINE_AUTO(file, FILE *, file_close)
typedef struct nft_ctx *nft_ctx_ptr;
DEFINE_AUTO(nft_ctx, nft_ctx_ptr, nft_ctx_free)

/* ---- rendering ---- */

/* What may stand between quotes in nft text: an interface name or a pattern ending in an asterisk. */
static bool interface_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-");

	return n > 0 && n < IF_NAMESIZE && (!s[n] || !strcmp(s + n, "*"));
}

/* One name alone stands without braces: a comparison, where a set would be a look-up. */
static bool render_interfaces(FILE *f, const char *define, char *const *names, size_t n)
{
	fprintf(f, "define %s = %s", define, n > 1 ? "{ " : "");
	for (size_t i = 0; i < n; i++) {
		if (!interface_ok(names[i]))
			return false;
		fprintf(f, "%s\"%s\"", i ? ", " : "", names[i]);
	}
	fprintf(f, "%s\n", n > 1 ? " }" : "");
	return n > 0;
}

static bool render_uplinks(FILE *f, const struct host_config *c)
{
	char found[UPLINKS_MAX][16], *names[UPLINKS_MAX];
	int n = uplinks_of(c, found, UPLINKS_MAX);

	for (int i = 0; i < n; i++)
		names[i] = found[i];
	if (n > 0)
		return render_interfaces(f, "UPLINKS", names, (size_t)n);
	fprintf(f, "define UPLINKS = { \"no-uplink\" }\t# no default route: nothing leaves\n");
	return true;
}

/* An anonymous set takes no overlapping intervals: a network inside an earlier or wider one is left out. */
static bool covered(const struct prefix *all, size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++) {
		if (i == at || !prefix_overlap(&all[i], &all[at]))
			continue;
		if (all[i].bits < all[at].bits || (all[i].bits == all[at].bits && i < at))
			return true;
	}
	return false;
}

static void render_networks(FILE *f, const struct prefix *all, size_t n, uint8_t family,
			    const struct prefix *otherwise)
{
	char text[ADDR_TEXT_MAX];
	bool any = false;

	fprintf(f, "define NETWORKS%u = { ", family);
	for (size_t i = 0; i < n; i++) {
		if (all[i].addr.family != family || covered(all, n, i))
			continue;
		prefix_format(&all[i], text);
		fprintf(f, "%s%s", any ? ", " : "", text);
		any = true;
	}
	prefix_format(otherwise, text);				/* an empty set is a syntax error */
	fprintf(f, "%s }\n", any ? "" : text);
}

static void render_address(FILE *f, const char *define, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	addr_format(&a, text);
	fprintf(f, "define %s = %s\n", define, text);
}

static void render_pools(FILE *f, const struct pool *p)
{
	char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];

	prefix_format(&p->v4, v4);
	prefix_format(&p->v6, v6);
	fprintf(f, "define POOL4 = %s\ndefine POOL6 = %s\n", v4, v6);
	render_address(f, "DNS4", pool_addr4(p, POOL_DNS));
	render_address(f, "DNS6", pool_addr6(p, POOL_DNS));
	render_address(f, "PROXY4", pool_addr4(p, POOL_PROXY));
	render_address(f, "PROXY6", pool_addr6(p, POOL_PROXY));
	render_address(f, "INTERNAL4", pool_addr4(p, POOL_CORDON_INTERNAL));
	render_address(f, "INTERNAL6", pool_addr6(p, POOL_CORDON_INTERNAL));
}

/* The networks that guests live in, those of `cordon run` included. Heap, or NULL. */
static struct prefix *all_networks(const struct host_config *c, size_t *ret_n)
{
	struct prefix *all = calloc(c->n_networks + 2, sizeof(*all));

	if (!all)
		return NULL;
	if (c->n_networks)
		memcpy(all, c->networks, c->n_networks * sizeof(*all));
	all[c->n_networks] = c->run4;
	all[c->n_networks + 1] = c->run6;
	*ret_n = c->n_networks + 2;
	return all;
}

static bool render_site(FILE *f, const struct host_config *c)
{
	AUTO(mem) struct prefix *nets = NULL;
	size_t n = 0;

	nets = all_networks(c, &n);
	if (!nets || !render_interfaces(f, "SANDBOXES", c->interfaces, c->n_interfaces) ||
	    !render_uplinks(f, c))
		return false;
	render_pools(f, &c->pool);
	fprintf(f, "define PORT_ROUTE = %u\n", c->explicit_port);
	render_networks(f, nets, n, 4, &c->pool.v4);
	render_networks(f, nets, n, 6, &c->pool.v6);
	return true;
}

/* cordon.nft with its defines from the configuration. Heap text, or NULL (errno). */
#define SANDBOXES "$SANDBOXES"

/*
 * Every rule that sorts by sandbox interface becomes one rule per pattern: each packet of the host passes
 * several of them, and comparing a few letters costs less than looking a name up in a set with wildcards.
 */
static void render_rules(FILE *f, const char *text, const struct host_config *c)
{
	for (const char *end; *text; text = end) {
		size_t n = strcspn(text, "\n");
		const char *at = memmem(text, n, SANDBOXES, strlen(SANDBOXES));

		end = text + n + (text[n] == '\n');
		if (!at || memchr(text, '#', (size_t)(at - text))) {
			fwrite(text, 1, (size_t)(end - text), f);
			continue;
		}
		for (size_t i = 0; i < c->n_interfaces; i++) {
			fprintf(f, "%.*s\"%s\"", (int)(at - text), text, c->interfaces[i]);
			fwrite(at + strlen(SANDBOXES), 1, (size_t)(end - at) - strlen(SANDBOXES), f);
		}
	}
}

static char *render_all(const struct host_config *c)
{
	AUTO(mem) char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	const char *begin = strstr(cordon_nft_text, SITE_BEGIN);
	const char *end = strstr(cordon_nft_text, SITE_END);
	bool ok;

	if (!f || !begin || !end) {
		errno = f ? EINVAL : errno;
		return NULL;
	}
	fwrite(cordon_nft_text, 1, (size_t)(begin - cordon_nft_text) + strlen(SITE_BEGIN), f);
	ok = render_site(f, c);
	render_rules(f, end, c);
	if (fclose(f) != 0 || !ok) {
		errno = EINVAL;
		return NULL;
	}
	return STEAL(text);
}

/* ---- loading ---- */

static int run_nft(const char *text, bool dry, char *err, size_t cap)
{
	AUTO(nft_ctx) struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	const char *said;

	if (err && cap)
		err[0] = '\0';
	if (!ctx)
		return -ENOMEM;
	nft_ctx_buffer_error(ctx);
	nft_ctx_buffer_output(ctx);
	nft_ctx_set_dry_run(ctx, dry);
	if (nft_run_cmd_from_buffer(ctx, text) == 0)
		return 0;
	said = nft_ctx_get_error_buffer(ctx);
	if (err && cap)
		snprintf(err, cap, "%.*s", (int)strcspn(said, "\n"), said);
	return -EINVAL;
}

int firewall_load(const struct host_config *c, char *err, size_t cap)
{
	AUTO(mem) char *text = render_all(c);
	int r;

	if (!text) {
		if (err && cap)
			snprintf(err, cap, "the ruleset cannot be rendered: bad interface name or no memory");
		return -errno;
	}
	r = run_nft(text, false, err, cap);
	if (r < 0)
		return r;
	r = offload_rules();
	if (r < 0 && err && cap)
		snprintf(err, cap, "chain check_offload stays closed: %s",
			 offload_missing() ? offload_missing() : strerror(-r));
	return r;
}

/* ---- routing ---- */

/* The same for every host; the jumps lead to the last of them. */
static const struct rtnl_rule host_rules[] = {
	{ .pref = RTNL_PREF_END, .action = RTNL_NOP },
	{ .pref = RTNL_PREF_OWN, .iif = "lo", .action = RTNL_GOTO, .to = RTNL_PREF_END },
	{ .pref = RTNL_PREF_PASSING, .mark = MARK_FORWARD, .mask = MARK_FORWARD,
	  .action = RTNL_GOTO, .to = RTNL_PREF_END },
	{ .pref = RTNL_PREF_PASSING, .mark = MARK_INSPECT, .mask = MARK_INSPECT,
	  .action = RTNL_GOTO, .to = RTNL_PREF_END },
	{ .pref = RTNL_PREF_STEER, .mark = MARK_STEERED, .mask = MARK_STEERED,
	  .action = RTNL_TABLE, .to = STEER_TABLE },
};

static int rules_host(uint8_t family, bool add)
{
	int r = rtnl_local_table(STEER_TABLE, family, add);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(host_rules); i++) {
		struct rtnl_rule rule = host_rules[i];

		rule.family = family;
		r = rtnl_rule(&rule, add);
	}
	return r;
}

static int rules_networks(const struct host_config *c, bool add)
{
	AUTO(mem) struct prefix *nets = NULL;
	size_t n = 0;
	int r = 0;

	nets = all_networks(c, &n);
	if (!nets)
		return -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct rtnl_rule closed = { .family = nets[i].addr.family, .pref = RTNL_PREF_NETWORK,
					    .from = nets[i], .mask = MARK_STATE_MASK };

		r = rtnl_rule(&closed, add);
	}
	return r;
}

/*
 * The backstop has a rule for every sandbox interface in IPv6, which knows no rp_filter. What comes in by
 * an uplink need not be compared with each of them. Former uplinks' rules go first: routes change.
 */
static int rules_uplinks(const struct host_config *c, bool add)
{
	struct rtnl_rule skip = { .family = 6, .pref = RTNL_PREF_UPLINK, .action = RTNL_GOTO,
				  .to = RTNL_PREF_END };
	char names[UPLINKS_MAX][16];
	int n = uplinks_of(c, names, UPLINKS_MAX), r = n < 0 ? n : rtnl_rules_clear(&skip);

	for (int i = 0; add && r == 0 && i < n; i++) {
		skip.iif = names[i];
		r = rtnl_rule(&skip, true);
	}
	return r;
}

static int rule_all(const struct host_config *c, bool add)
{
	int r = rules_host(4, add);

	r = r == 0 ? rules_host(6, add) : r;
	r = r == 0 ? rules_networks(c, add) : r;
	return r == 0 ? rules_uplinks(c, add) : r;
}

/* ---- start and stop ---- */

static int failed(FILE *to, int r, const char *what, const char *todo)
{
	fprintf(to, "cordon: %s: %s: %s\n", what, strerror(-r), todo);
	return r;
}

/* Not an error: the route may come later. But without a word nobody finds out why nothing passes. */
static void warn_no_uplink(const struct host_config *c, FILE *to)
{
	char found[1][16];

	if (uplinks_of(c, found, 1) == 0)
		fprintf(to, "cordon: warning: the host has no default route, so nothing can leave: name `uplink:` "
			"in %s, or `cordon reload` once there is one\n", c->file);
}

static void warn_offload(FILE *to)
{
	if (offload_missing())
		fprintf(to, "cordon: warning: a guest's checksum offload cannot be checked: %s; a dishonest driver can "
			"change two bytes of a granted packet\n", offload_missing());
}

int firewall_start(const struct host_config *c, FILE *to)
{
	char err[512];
	int r = firewall_load(c, err, sizeof(err));

	if (r < 0) {
		fprintf(to, "cordon: ruleset not loaded: %s: run as root; `cordon up` names what the kernel lacks\n", err);
		return r;
	}
	r = rule_all(c, true);
	if (r < 0)
		return failed(to, r, "policy routing rules", "run as root; the kernel needs IP_MULTIPLE_TABLES");
	r = sysctl_apply_host(c, to);
	if (r < 0)
		return failed(to, r, "sysctls", "run as root with /proc/sys writable");
	warn_no_uplink(c, to);
	warn_offload(to);
	return 0;
}

/* The first sandbox interface that is up, or false. */
static bool any_sandbox_up(const struct host_config *c, struct rtnl_link *ret)
{
	struct if_nameindex *all = if_nameindex();
	bool found = false;

	for (struct if_nameindex *i = all; i && i->if_name && !found; i++)
		found = interface_is_policed(c, i->if_name) && rtnl_link_get(i->if_name, ret) == 0 && ret->up;
	if (all)
		if_freenameindex(all);
	return found;
}

int firewall_may_stop(const struct host_config *c, FILE *to)
{
	struct rtnl_link link;

	if (!any_sandbox_up(c, &link))
		return 0;
	fprintf(to, "cordon: interface %s is up: stop the sandbox or `ip link set %s down` first, "
		"since nothing would police it\n", link.name, link.name);
	return -EBUSY;
}

int firewall_stop(const struct host_config *c, FILE *to)
{
	char err[512];
	int r = firewall_may_stop(c, to);

	if (r < 0)
		return r;
	r = sysctl_restore_host(c, to);
	if (r < 0)
		return failed(to, r, "sysctls", "run as root");
	r = rule_all(c, false);
	r = r == 0 ? rtnl_backstop_clear() : r;
	if (r < 0)
		return failed(to, r, "policy routing rules", "run as root");
	/* Adding first makes the deletion succeed when the table is gone already. */
	r = run_nft("table inet cordon {}\ndelete table inet cordon\ntable arp cordon {}\ndelete table arp cordon\n",
		    false, err, sizeof(err));
	if (r < 0)
		fprintf(to, "cordon: ruleset not removed: %s: run as root\n", err);
	return r;
}

/* ---- what the kernel must have ---- */

static const struct feature {
	const char *path, *what;
} features[] = {
	{ "/proc/net/netfilter/nfnetlink_queue", "NFQUEUE: enable CONFIG_NETFILTER_NETLINK_QUEUE, or `modprobe nfnetlink_queue`" },
	{ "/proc/net/netfilter/nfnetlink_log", "NFLOG: enable CONFIG_NETFILTER_NETLINK_LOG, or `modprobe nfnetlink_log`" },
	{ "/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "conntrack: enable CONFIG_NF_CONNTRACK, or `modprobe nf_conntrack`" },
	{ "/proc/sys/net/ipv6/conf/all/forwarding", "IPv6: boot without ipv6.disable=1" },
};

int firewall_check_kernel(const struct host_config *c, FILE *to)
{
	AUTO(mem) char *text = render_all(c);
	char err[512];
	int missing = 0;

	if (!text) {
		fprintf(to, "cordon: interface names in %s: letters, digits and . _ - and one * at the end\n", c->file);
		return 1;
	}
	/* Run dry: the kernel checks every expression (tproxy, fib, log, nat) and forgets the rest. */
	if (run_nft(text, true, err, sizeof(err)) < 0) {
		fprintf(to, "cordon: the kernel refuses the ruleset: %s: enable CONFIG_NF_TABLES_INET, "
			"NFT_TPROXY, NFT_FIB_INET, NFT_NAT, NFT_MASQ, NFT_LOG, NFT_LIMIT, NFT_REJECT\n", err);
		missing++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (access(features[i].path, F_OK) == 0)
			continue;
		fprintf(to, "cordon: the kernel lacks %s\n", features[i].what);
		missing++;
	}
	return missing;
}
