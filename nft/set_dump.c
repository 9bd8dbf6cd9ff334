/*
 * set_dump.c - every element of one set, as libnftnl gives it
 */
#include "nft/set_dump.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/common.h>

#include "nft/ruleset.h"

DEFINE_AUTO(nftnl_set, struct nftnl_set *, nftnl_set_free)
DEFINE_AUTO(nftnl_elem_iter, struct nftnl_set_elems_iter *, nftnl_set_elems_iter_destroy)

struct dump {
	set_dump_fn *fn;
	void *owner;
};

static int on_message(const struct nlmsghdr *h, void *owner)
{
	AUTO(nftnl_set) struct nftnl_set *s = nftnl_set_alloc();
	AUTO(nftnl_elem_iter) struct nftnl_set_elems_iter *it = NULL;
	const struct dump *d = owner;
	struct nftnl_set_elem *el;

	if (!s || nftnl_set_elems_nlmsg_parse(h, s) < 0)
		return MNL_CB_ERROR;
	it = nftnl_set_elems_iter_create(s);
	while (it && (el = nftnl_set_elems_iter_next(it)))
		if (d->fn(d->owner, el) != 0)
			return MNL_CB_ERROR;
	return MNL_CB_OK;
}

int set_answers(struct batch *b, struct nlmsghdr *h, set_dump_fn *fn, void *owner)
{
	struct dump d = { fn, owner };

	return batch_dump(b, h, on_message, &d);
}

int set_dump(struct batch *b, uint8_t family, const char *set, set_dump_fn *fn, void *owner)
{
	AUTO(nftnl_set) struct nftnl_set *s = nftnl_set_alloc();
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h;

	if (!s || !set)
		return -EINVAL;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RULESET_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, set);
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, family, NLM_F_DUMP, 0);
	nftnl_set_nlmsg_build_payload(h, s);
	return set_answers(b, h, fn, owner);
}
