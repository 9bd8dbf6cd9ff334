/*
 * room.h - a number of bytes that sandboxes share
 *
 * Thread-safe.
 */
#ifndef GITPROXY_MIRROR_ROOM_H
#define GITPROXY_MIRROR_ROOM_H

#include <stdbool.h>
#include <stdint.h>

struct room;
int room_new(uint64_t max, struct room **ret);	/* 0 or -ENOMEM */
void room_free(struct room *r);			/* NULL is fine */
/* So many more for this sandbox. False: nothing was taken. */
bool room_take(struct room *r, uint16_t sandbox, uint64_t n);
void room_give(struct room *r, uint16_t sandbox, uint64_t n);
/* What one can have while no other has any. */
uint64_t room_of_one(const struct room *r);
uint64_t room_taken(struct room *r);
/* Since this last said so, what is taken has changed by a sixteenth of all. */
bool room_has_moved(struct room *r);

#endif
