/*
 * offload.c - packets whose checksum the kernel is told to write over something else
 *
 * Theory of operation: a rule of chain `check_offload` refuses what the program of
 * offload_program.c finds. The rule holds the program, so it stays when daemons die and goes with
 * the table or the namespace; neither a pin nor a link is needed. It is not part of cordon.nft,
 * since the xt match has no nft syntax: loading the ruleset leaves the chain closed, and this
 * opens it, one transaction later, by
 *
 *	xt match bpf  goto drop_invalid		what lies about its checksum
 *	return					to steer_sandbox
 *
 * The program is loaded once per process, so that a daemon which has dropped its rights can put
 * the rule back. Where the kernel lacks what is needed only the second rule is put there, and
 * offload_missing() says why: the host is then as safe as its guests' drivers are honest. What
 * fails otherwise, rights that are missing above all, leaves the chain closed: a process that may
 * not look must not undo what one that could has put there.
 */
#include "nft/offload.h"

#include <errno.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_bpf.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include "nft/batch.h"
#include "nft/offload_program.h"

#define TABLE	"cordon"
#define CHAIN	"check_offload"
#define MATCH	"bpf"
#define REFUSED "drop_invalid"

enum { MATCH_REVISION = 1 };

DEFINE_AUTO(nftnl_rule, struct nftnl_rule *, nftnl_rule_free)
DEFINE_AUTO(batch_at, struct batch *, batch_done)

/* One per process, for its whole life. */
static struct {
	bool tried;
	int fd; /* the program; < 0: none */
	char why[OFFLOAD_WHY_MAX];
} program;

/* ---- rules ---- */

static bool add_expr(struct nftnl_rule *r, struct nftnl_expr *e /* takes */)
{
	if (e)
		nftnl_rule_add_expr(r, e);
	return e != NULL;
}

static struct nftnl_expr *expr_match(int fd)
{
	struct nftnl_expr *e = nftnl_expr_alloc("match");
	struct xt_bpf_info_v1 *info = calloc(1, sizeof(*info));

	if (!e || !info) {
		free(info);
		if (e)
			nftnl_expr_free(e);
		return NULL;
	}
	info->mode = XT_BPF_MODE_FD_ELF;
	info->fd = fd;
	nftnl_expr_set_str(e, NFTNL_EXPR_MT_NAME, MATCH);
	nftnl_expr_set_u32(e, NFTNL_EXPR_MT_REV, MATCH_REVISION);
	nftnl_expr_set(e, NFTNL_EXPR_MT_INFO, info, sizeof(*info)); /* the library owns info now */
	return e;
}

static struct nftnl_expr *expr_verdict(int verdict, const char *chain)
{
	struct nftnl_expr *e = nftnl_expr_alloc("immediate");

	if (!e)
		return NULL;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
	return e;
}

/* To the chain's beginning. fd < 0: without a match. */
static bool rule_insert(struct batch *b, int fd, int verdict, const char *chain)
{
	AUTO(nftnl_rule) struct nftnl_rule *r = nftnl_rule_alloc();
	struct nlmsghdr *h;

	if (!r)
		return false;
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, CHAIN);
	if ((fd >= 0 && !add_expr(r, expr_match(fd))) || !add_expr(r, expr_verdict(verdict, chain)))
		return false;
	h = batch_message(b, NFPROTO_INET, NFT_MSG_NEWRULE, NLM_F_CREATE); /* no append */
	if (!h)
		return false;
	nftnl_rule_nlmsg_build_payload(h, r);
	batch_add(b, h);
	return true;
}

static int stop(const struct nlmsghdr *h, void *owner)
{
	(void)h;
	(void)owner;
	return MNL_CB_STOP;
}

/*
 * For a rule of an inet table the kernel does not find the module of a match itself; asked for it
 * on behalf of IPv4, as iptables asks, it does, and keeps it.
 */
static int match_load(struct batch *b)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFNL_MSG_COMPAT_GET, NFPROTO_IPV4, 0, 0);

	h->nlmsg_type = NFNL_SUBSYS_NFT_COMPAT << 8 | NFNL_MSG_COMPAT_GET;
	mnl_attr_put_strz(h, NFTA_COMPAT_NAME, MATCH);
	mnl_attr_put_u32(h, NFTA_COMPAT_REV, htonl(MATCH_REVISION));
	mnl_attr_put_u32(h, NFTA_COMPAT_TYPE, htonl(0)); /* a match, not a target */
	return batch_dump(b, h, stop, NULL);
}

static int put(struct batch *b, int fd)
{
	int r = batch_begin(b);

	if (r < 0)
		return r;
	/* The last one put comes first. */
	if (!rule_insert(b, -1, NFT_RETURN, NULL) ||
	    (fd >= 0 && !rule_insert(b, fd, NFT_GOTO, REFUSED))) {
		batch_abort(b);
		return -ENOMEM;
	}
	return batch_commit(b);
}

/* The program's descriptor, or -errno and program.why. */
static int look(struct batch *b)
{
	int r;

	if (!program.tried)
		program.fd = offload_program_load(program.why, sizeof(program.why));
	program.tried = true;
	if (program.fd < 0)
		return program.fd;
	r = match_load(b);
	if (r < 0)
		snprintf(program.why, sizeof(program.why),
			 "a rule cannot use a BPF program (%s): the kernel needs "
			 "CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_MATCH_BPF",
			 strerror(-r));
	return r < 0 ? r : program.fd;
}

/* Errors by which libbpf and the kernel say that they know no such thing: type information (ESRCH), the match
 * (ENOENT), the system call (ENOSYS), a helper of the program (EINVAL; EACCES, the verifier). */
static bool kernel_lacks_it(int error)
{
	static const int lacks[] = { ESRCH, ENOENT, ENOSYS, EOPNOTSUPP, EINVAL, EACCES };

	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++)
		if (error == -lacks[i])
			return true;
	return false;
}

int offload_rules(void)
{
	struct batch b;
	AUTO(batch_at) struct batch *at = &b;
	int r = batch_init(&b);

	if (r < 0)
		return r;
	r = look(at);
	return r < 0 && !kernel_lacks_it(r) ? r : put(at, r);
}

const char *offload_missing(void)
{
	struct batch b;
	AUTO(batch_at) struct batch *at = &b;
	int r = batch_init(&b);

	r = r < 0 ? r : look(at);
	if (r >= 0)
		return NULL;
	return *program.why ? program.why : "no netlink socket to the packet filter";
}
