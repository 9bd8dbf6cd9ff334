/*
 * picture.h - what netd told: policies by id, sandboxes by address, names by index
 *
 * Plain tables without locks or sockets, filled by policy/view.c. Nothing in here is hostile (netd
 * sends it), but everything is checked: what does not fit is refused, and the view then starts
 * anew.
 */
#ifndef POLICY_PICTURE_H
#define POLICY_PICTURE_H

#include <stdint.h>

#include "base/mem.h"
#include "base/msg.h"
#include "policy/mark.h"
#include "policy/policy.h"

/* One generation of policies. Each is a reference of the table's own. */
struct policies { struct policy *by_id[MARK_PROFILE_MAX + 1]; };
void policies_free(struct policies *ps);
DEFINE_AUTO(policies, struct policies *, policies_free)
/* Replaces. */
int policies_put(struct policies *ps, uint16_t id, struct policy *p /* takes */);

struct picture;
int picture_new(uint32_t names_max, struct picture **ret);
void picture_free(struct picture *pic);
DEFINE_AUTO(picture, struct picture *, picture_free)

struct policies *picture_policies(struct picture *pic);				/* borrowed */
void picture_set_policies(struct picture *pic, struct policies *ps /* takes */);

/* -EPROTO: malformed; -EEXIST: an address of another sandbox. Replaces a sandbox of the same id. */
int picture_put_sandbox(struct picture *pic, const struct msg_sandbox *m);
void picture_del_sandbox(struct picture *pic, uint16_t id);
const struct msg_sandbox *picture_sandbox(const struct picture *pic, const struct addr *guest);
const struct msg_sandbox *picture_sandbox_by_id(const struct picture *pic, uint16_t id);

int picture_put_name(struct picture *pic, const struct msg_name *m);		/* replaces */
void picture_del_name(struct picture *pic, uint32_t index);
const char *picture_name(const struct picture *pic, uint32_t index);		/* NULL: none */

#endif
