/*
 * table.h - every flow the inspector knows: fixed size, fair between sandboxes, nothing allocated later
 */
#ifndef INSPECT_TABLE_H
#define INSPECT_TABLE_H

#include "netd/inspect/flow.h"

struct table_sizes {
	uint32_t flows;			/* records */
	uint32_t small, large;		/* buffers for recorded bytes */
	uint32_t share_flows;		/* records of one sandbox */
	uint32_t share_small, share_large;	/* buffers of one sandbox */
};
enum { TABLE_SMALL = 4096, TABLE_LARGE = FLOW_RECORD_MAX };
extern const struct table_sizes table_default_sizes;

/* As the sandbox sees the flow. No padding: compared and hashed as bytes. */
struct flow_key {
	uint8_t guest[16], server[16];
	uint16_t guest_port, server_port;
	uint32_t family;
};
struct flow_key flow_key_of(enum flow_side from, const struct packet *p);

struct table;
/* All memory is taken here, but touched only when used. 0 or -errno. */
int table_new(const struct table_sizes *sizes, struct table **ret);
void table_free(struct table *t);
DEFINE_AUTO(table, struct table *, table_free)

/* The flow of a key, or NULL. Valid until the next table_open() or table_sweep(). */
struct flow *table_find(struct table *t, const struct flow_key *key);
/*
 * A new record (FLOW_NEW) for a key that has none. Full: the oldest record of the same sandbox goes, else
 * one of the sandbox that seems to hold most; never one that lived within FLOW_QUIET_MS (see flow.c).
 * NULL when nothing may go.
 */
struct flow *table_open(struct table *t, const struct flow_key *key, uint16_t sandbox, uint64_t now_ms);
/* Give the flow a buffer of at least `need` bytes if there is one; it keeps the one it has otherwise. */
void table_room(struct table *t, struct flow *f, uint32_t need);
/* After every step: order of age, and the buffer back when the flow needs none. */
void table_settle(struct table *t, struct flow *f);

/* Called for a flow that flow_tick() has refused. */
typedef void table_tell_fn(void *owner, const struct flow_key *key, const struct flow *f,
			   const struct flow_note *note);
/* Once a second: deadlines, and records that have aged out. */
void table_sweep(struct table *t, uint64_t now_ms, table_tell_fn *tell, void *owner);

uint32_t table_count(const struct table *t);

#endif
