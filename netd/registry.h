/*
 * registry.h - the table of sandboxes: names, addresses and ids are unique
 */
#ifndef NETD_REGISTRY_H
#define NETD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/msg.h"
#include "policy/host_config.h"

enum {
	REGISTRY_REST_MS = 10 * 60 * 1000,	 /* an id rests this long before reuse */
	SANDBOX_WILD_KEEP_MS = 25 * 3600 * 1000, /* a wildcard name counts so long after its pin */
};

enum sandbox_state {
	SANDBOX_OPENING = 0, /* the parts are told, the kernel not yet */
	SANDBOX_OPEN,
	SANDBOX_CLOSING /* out of the kernel, the parts are being told */
};

struct sandbox_wild {
	uint32_t index;
	uint64_t at_ms;
};

/* What a sandbox is found by, besides its id. */
enum sandbox_key {
	SANDBOX_NAME, SANDBOX_INTERFACE, SANDBOX_V4, SANDBOX_V6, SANDBOX_LINK, SANDBOX_STRAY,
	SANDBOX_KEYS
};
struct sandbox;
struct sandbox_place {
	struct sandbox_place *next; /* in its bucket */
	struct sandbox *sandbox;    /* NULL: not in the table under this key */
};

struct sandbox {
	uint16_t id, profile;
	enum sandbox_state state;
	bool run;	/* of `cordon run`: ends with its connection, or its interface */
	bool dhcp;	/* may ask a DHCP server of this host */
	bool fixed;	/* of the configuration: stays when its interface goes */
	uint64_t owner; /* run: the control connection it ends with; 0: none since a restart */
	char name[MSG_LABEL], interface[16];
	uint8_t mac[6];
	struct addr addr[2];  /* v4, v6; family 0: none; registry_set_addr() */
	int link;	      /* interface index as last seen; 0: not there; registry_set_link() */
	int stray;	      /* index of a link that left its name; 0: none. It must stay down */
	uint8_t link_mac[6];  /* the host's end: tells a renamed link from another of its index */
	bool link_up, downed; /* downed: taken down by us, to be taken up again */
	bool to_check;	      /* its link is in the queue of netd/sandbox_links.c */
	struct sandbox_wild *wild; /* wildcard names it uses; limits.names of its profile */
	size_t n_wild;
	struct sandbox_place place[SANDBOX_KEYS]; /* private to registry.c */
};

struct registry;
int registry_new(struct registry **ret);
void registry_free(struct registry *r);
DEFINE_AUTO(registry, struct registry *, registry_free)

/* NULL: none. The table owns them; a pointer is good until registry_remove(). */
struct sandbox *registry_by_id(const struct registry *r, uint16_t id);
struct sandbox *registry_by_name(const struct registry *r, const char *name);
struct sandbox *registry_by_addr(const struct registry *r, const struct addr *a);
/* Several may share an interface or a link: the first, and the next one of the same. */
struct sandbox *registry_by_interface(const struct registry *r, const char *interface);
struct sandbox *registry_next_on(const struct sandbox *s);
struct sandbox *registry_by_link(const struct registry *r, int index);
struct sandbox *registry_next_of_link(const struct sandbox *s);
struct sandbox *registry_by_stray(const struct registry *r, int index);
/* The next one by id after `prev` (NULL: the first). `prev` may have been removed if its id was
 * kept. */
struct sandbox *registry_after(const struct registry *r, uint32_t id);
#define REGISTRY_EACH(r, s)                                                                        \
	for (struct sandbox *s = registry_after(r, 0); s; s = registry_after(r, s->id))
size_t registry_count(const struct registry *r);

/*
 * Everything about an ADD that the table and the configuration can tell: form, taken names and
 * addresses, networks, interface pattern. False with one line in `why`: what, and what to do.
 */
bool registry_check(const struct registry *r, const struct host_config *c, const struct msg_add *m,
		    char *why, size_t cap);
/* A name that may stand in element comments, audit lines and tables. */
bool registry_label_ok(const char *text);

/* 0, -ENOSPC (no id has rested), -EEXIST (a given id is taken) or -ENOMEM. id 0: the next free one.
 */
int registry_insert(struct registry *r, const struct msg_add *m, uint16_t profile, uint16_t id,
		    uint64_t now_ms, struct sandbox **ret);
void registry_remove(struct registry *r, struct sandbox *s, uint64_t now_ms); /* frees s */
/* Whether somebody had this id since the start; what he left must go before it is given out. */
bool registry_id_was_used(const struct registry *r, uint16_t id);
void registry_set_addr(struct registry *r, struct sandbox *s, const struct addr *a);
/* Indexes of its link and of one that left its name; 0: none. */
void registry_set_link(struct registry *r, struct sandbox *s, int link, int stray);

/* Count a wildcard name against the sandbox's limit. False: the limit is reached. */
bool sandbox_uses_wild(struct sandbox *s, uint32_t index, uint32_t limit, uint64_t now_ms);
/* Whether another one could be counted. */
bool sandbox_wild_room(const struct sandbox *s, uint32_t limit, uint64_t now_ms);
/* Wildcard names that are gone (`gone` says so of an index) count no more. */
void registry_forget_wild(struct registry *r, bool (*gone)(const void *owner, uint32_t index),
			  const void *owner);
void sandbox_message(const struct sandbox *s, struct msg_sandbox *ret);

#endif
