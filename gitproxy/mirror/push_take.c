/*
 * push_take.c - what the client sends of a push
 *
 * Theory of operation: frames of the front, parsed as they come; the pack goes into the quarantine as it is.
 * The policy has its say on the commands as soon as they are known, so a push that is refused by name alone
 * leaves nothing on the disk. But the client only listens when it has sent everything: what is refused is read
 * on, to nowhere. The front bounds how much that may be.
 */
#include "gitproxy/mirror/push_job.h"

#include <errno.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"

/* ---- the policy's word on the names ---- */

static enum push_op op_of(const struct push_command *c)
{
	return push_command_deletes(c) ? PUSH_DELETE : push_command_creates(c) ? PUSH_CREATE : PUSH_UPDATE;
}

static void judge_names(struct push *p)
{
	for (size_t i = 0; i < p->list->n_commands; i++) {
		const struct push_command *c = push_list_command(p->list, i);
		char text[PUSH_TEXT + 1] = "";
		struct wr w = wr_of(text, PUSH_TEXT);
		enum reason reason;

		p->told[i].op = op_of(c);
		reason = push_rules_ref(p->rules, c->ref, (enum push_op)p->told[i].op, &w);
		if (reason != REASON_NONE)
			push_refuse_one(p, i, reason, text);
	}
}

/* All commands are known. */
static int on_commands(struct push *p)
{
	p->list = p->request->list;
	p->told = calloc(p->list->n_commands + 1, sizeof(*p->told));
	if (!p->told)
		return -ENOMEM;
	judge_names(p);
	if (p->request->reason != REASON_NONE)
		push_refuse(p, p->request->reason, p->request->why);
	if (p->list->n_options && !p->rules->options)
		push_refuse(p, REASON_CAPABILITY_NOT_ALLOWED, "the policy takes no push options");
	return 0;
}

/* ---- the pack ---- */

/* What is on the disk of it already is of no use. */
static void refuse_pack(struct push *p, enum reason reason, const char *text)
{
	push_refuse(p, reason, text);
	quarantine_empty(&p->quarantine);
}

static void no_room(struct push *p, int error)
{
	if (error == -EFBIG)
		refuse_pack(p, REASON_PACK_LIMIT_EXCEEDED, "the pack is larger than an eighth of git.mirrors.max_bytes");
	else if (error == -EDQUOT)
		refuse_pack(p, REASON_UNAVAILABLE, "the gateway has no room for more packs at once; push again when others are through");
	else
		refuse_pack(p, REASON_UNAVAILABLE, error == -ENOSPC ? "the gateway has no room for the pack" :
								      "the gateway could not keep the pack");
}

static void on_pack(struct push *p, struct rd bytes)
{
	int r;

	if (p->reason != REASON_NONE || !rd_left(&bytes))
		return;
	if (bytes.n > p->rules->max_pack_bytes || p->quarantine.bytes > p->rules->max_pack_bytes - bytes.n) {
		refuse_pack(p, REASON_PACK_LIMIT_EXCEEDED, "the pack is larger than git.push.max_pack_bytes");
		return;
	}
	r = quarantine_write(&p->quarantine, bytes);
	if (r < 0)
		no_room(p, r);
	else if (room_has_moved(p->quarantine.room))
		upkeep_make_room(p->job->depot->upkeep);
}

static int on_data(struct push *p, struct rd data)
{
	enum parse r;
	struct rd pack;
	int e = 0;

	if (p->request->bad)
		return 0;
	r = push_request_next(p->request, data, &pack);
	if (r == PARSE_OK && !p->told)
		e = on_commands(p);
	if (r == PARSE_OK && !e)
		on_pack(p, pack);
	return e;
}

/* ---- frames ---- */

static int read_all(struct push *p, union keeper_in *f)
{
	const struct host_config *c = p->job->depot->config;
	uint64_t end = deadline_in(c->total_ms), idle;
	size_t n;

	for (;;) {
		AUTO(fd) int file = -1;
		enum keeper_frame_kind kind;
		int error = 0, r;

		idle = deadline_in(c->idle_ms);
		kind = keeper_next(p->job->to, -1, idle < end ? idle : end, f, &n, &file, &error);
		if (kind == KEEPER_END)
			return 0;
		if (kind != KEEPER_DATA)
			return error ? error : -EPROTO;
		r = on_data(p, rd_of(f->data.data, n));
		if (r < 0)
			return r;
	}
}

int push_take(struct push *p)
{
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	int r = f ? read_all(p, f) : -ENOMEM;

	if (r < 0)
		return r;
	if (push_request_end(p->request) == PARSE_OK)
		return 0;
	if (p->told) {				/* only the pack is wrong */
		push_refuse(p, p->request->reason, p->request->why);
		return 0;
	}
	p->list = p->request->list;
	p->told = calloc(p->list->n_commands + 1, sizeof(*p->told));
	if (!p->told)
		return -ENOMEM;
	push_refuse(p, p->request->reason, p->request->why);
	return 0;
}
