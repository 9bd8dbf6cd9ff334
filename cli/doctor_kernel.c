/*
 * doctor_kernel.c - what the kernel can do and how it is set
 *
 * Theory of operation: nft/firewall.c tries the ruleset dry and names what is missing; here its
 * lines become findings. The settings that Cordon makes are read back as nft/sysctl.c makes them;
 * others that would quietly undo them stand in a table of their own. Settings are judged once the
 * ruleset is loaded, since `cordon firewall start` makes them.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>
#include <nftables/libnftables.h>

#include "cli/doctor.h"
#include "nft/batch.h"
#include "nft/firewall.h"
#include "nft/offload.h"
#include "nft/sysctl.h"

enum { FLOWS_PER_SANDBOX = 256, TABLE_FULL_PERCENT = 80 };

/* "cordon: what: what to do" becomes a finding. */
static void missing_line(struct doctor *d, char *line)
{
	static const char start[] = "cordon: ";
	char *what = strncmp(line, start, strlen(start)) ? line : line + strlen(start),
	     *fix = strrchr(what, ':');

	if (fix)
		*fix++ = '\0';
	doctor_say(d, DOCTOR_PROBLEM, "%s\tkernel\t%s", what, fix ? fix + strspn(fix, " ") : "");
}

static void run_kernel(struct doctor *d)
{
	AUTO(mem) char *text = NULL;
	char *rest, *line;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return;
	firewall_check_kernel(d->cfg, f);
	fclose(f);
	if (offload_missing())
		doctor_say(d, DOCTOR_WARNING,
			   "a guest's checksum offload cannot be checked\tkernel\t%s", offload_missing());
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			missing_line(d, line);
}

/* ---- the inspector's queue ---- */

static bool native_queue(void)
{
	struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	bool ok;

	if (!ctx)
		return false;
	nft_ctx_buffer_error(ctx);
	nft_ctx_buffer_output(ctx);
	nft_ctx_set_dry_run(ctx, true);
	ok = nft_run_cmd_from_buffer(ctx, "table inet cordon_try { chain c { queue to 1; }; }") ==
	     0;
	nft_ctx_free(ctx);
	return ok;
}

static int nothing(const struct nlmsghdr *h, void *owner)
{
	(void)h, (void)owner;
	return MNL_CB_OK;
}

/* Asks nft_compat for target NFQUEUE, revision 3. */
static bool compat_queue(void)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;
	struct batch b;
	bool ok;

	if (batch_init(&b) < 0)
		return false;
	h->nlmsg_type = NFNL_SUBSYS_NFT_COMPAT << 8 | NFNL_MSG_COMPAT_GET;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = AF_INET;
	mnl_attr_put_strz(h, NFTA_COMPAT_NAME, "NFQUEUE");
	mnl_attr_put_u32(h, NFTA_COMPAT_REV, htonl(3));
	mnl_attr_put_u32(h, NFTA_COMPAT_TYPE, htonl(1)); /* a target */
	ok = batch_dump(&b, h, nothing, NULL) == 0;
	batch_done(&b);
	return ok;
}

static void run_queue(struct doctor *d)
{
	if (native_queue())
		doctor_say(d, DOCTOR_OK, "native queue expression\tinspector's queue");
	else if (compat_queue())
		doctor_say(d, DOCTOR_OK, "NFQUEUE target through nft_compat\tinspector's queue");
	else
		doctor_say(d, DOCTOR_PROBLEM,
			   "the kernel has neither CONFIG_NFT_QUEUE nor NFQUEUE through "
			   "CONFIG_NFT_COMPAT: "
			   "no TLS flow passes\tinspector's queue\tmodprobe nft_queue, or modprobe "
			   "nft_compat xt_NFQUEUE");
}

/* ---- settings ---- */

static void wrong_setting(void *owner, const struct sysctl_state *s)
{
	char dotted[256];

	snprintf(dotted, sizeof(dotted), "%s", s->path);
	for (char *p = dotted; (p = strchr(p, '/')); p++)
		*p = '.';
	doctor_say(owner, DOCTOR_PROBLEM,
		   "is %s, not %s: %s\t%s\tsysctl -w %s=%s, and see who sets it in /etc/sysctl.d",
		   s->now, s->wanted, s->why, dotted, dotted, s->wanted);
}

/* -1: the kernel has no such setting. */
static long setting(const char *dir, const char *interface, const char *name)
{
	char path[256], value[32];

	snprintf(path, sizeof(path), "/proc/sys/net/%s/%s%s%s", dir, interface,
		 *interface ? "/" : "", name);
	return doctor_read(path, value, sizeof(value)) ? strtol(value, NULL, 10) : -1;
}

/* The kernel takes the larger of the two: all=2 makes strict interfaces loose. */
static void check_rp_filter(struct doctor *d, const char *name)
{
	if (setting("ipv4/conf", "all", "rp_filter") == 2)
		doctor_say(
			d, DOCTOR_PROBLEM,
			"is 2, which makes strict source checks loose: a spoofed source passes the "
			"backstop (%s)\tnet.ipv4.conf.all.rp_filter\tsysctl -w "
			"net.ipv4.conf.all.rp_filter=1 (or 0)",
			name);
}

static void check_forwarding(struct doctor *d, const char *name, const char *family)
{
	char dir[32];

	snprintf(dir, sizeof(dir), "%s/conf", family);
	if (setting(dir, name, "forwarding") == 0)
		doctor_say(d, DOCTOR_PROBLEM,
			   "is 0: what sandboxes are granted is not "
			   "forwarded\tnet.%s.conf.%s.forwarding\t"
			   "sysctl -w net.%s.conf.%s.forwarding=1",
			   family, name, family, name);
}

static void check_ipv6(struct doctor *d, const char *name)
{
	if (setting("ipv6/conf", name, "disable_ipv6") != 1)
		return;
	doctor_say(d, DOCTOR_WARNING,
		   "is 1: no IPv6 for sandboxes\tnet.ipv6.conf.%s.disable_ipv6\tsysctl -w "
		   "net.ipv6.conf.%s.disable_ipv6=0",
		   name, name);
}

static void check_interface(struct doctor *d, const char *name)
{
	check_forwarding(d, name, "ipv4");
	check_ipv6(d, name);
}

static void run_sysctls(struct doctor *d)
{
	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		doctor_say(d, DOCTOR_PROBLEM, "is not there\tIPv6\tboot without ipv6.disable=1");
	check_ipv6(d, "all");
	if (!d->loaded)
		return;
	sysctl_each_wrong(d->cfg, NULL, wrong_setting, d);
	for (size_t i = 0; i < d->n_uplinks; i++)
		check_interface(d, d->uplinks[i]);
	for (size_t i = 0; i < d->n_links; i++) {
		if (!d->links[i].registered)
			continue;
		sysctl_each_wrong(d->cfg, d->links[i].l.name, wrong_setting, d);
		check_interface(d, d->links[i].l.name);
		check_rp_filter(d, d->links[i].l.name);
	}
}

/* ---- connection tracking ---- */

static void check_room(struct doctor *d, size_t sandboxes)
{
	long max = setting("netfilter", "", "nf_conntrack_max"),
	     now = setting("netfilter", "", "nf_conntrack_count");
	long wanted = (long)sandboxes * FLOWS_PER_SANDBOX;

	if (max > 0 && now * 100 > max * TABLE_FULL_PERCENT)
		doctor_say(
			d, DOCTOR_PROBLEM,
			"%ld of %ld entries: when it is full no flow opens\tconnection tracking\t"
			"sysctl -w net.netfilter.nf_conntrack_max=%ld",
			now, max, max * 4);
	else if (max > 0 && max < wanted)
		doctor_say(d, DOCTOR_WARNING,
			   "%ld entries for %zu sandboxes of %d flows each\tconnection tracking\t"
			   "sysctl -w net.netfilter.nf_conntrack_max=%ld",
			   max, sandboxes, FLOWS_PER_SANDBOX, wanted * 2);
}

static void run_conntrack(struct doctor *d)
{
	size_t sandboxes = 0;

	for (size_t i = 0; i < d->n_links; i++)
		sandboxes += d->links[i].policed;
	check_room(d, sandboxes);
	if (setting("netfilter", "", "nf_conntrack_helper") == 1)
		doctor_say(d, DOCTOR_WARNING,
			   "is 1: protocol helpers read every flow and open others\t"
			   "net.netfilter.nf_conntrack_helper\tsysctl -w "
			   "net.netfilter.nf_conntrack_helper=0");
}

const struct doctor_check doctor_kernel = { "kernel", "accepts the ruleset", true, run_kernel };
const struct doctor_check doctor_queue = { "queue", "usable", true, run_queue };
const struct doctor_check doctor_sysctls = { "sysctls", "as Cordon needs them", true, run_sysctls };
const struct doctor_check doctor_conntrack = { "connection tracking", "has room", false,
					       run_conntrack };
