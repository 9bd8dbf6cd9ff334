/*
 * view_audit.h - a part's audit log goes on in a new file
 */
#ifndef POLICY_VIEW_AUDIT_H
#define POLICY_VIEW_AUDIT_H

#include "base/audit.h"
#include "policy/view.h"

/* For a view_extra_fn: AUDIT came, with the new file. 0 (DONE is sent), or -errno. */
int view_audit(struct view *v, const struct ipc_in *in, struct audit *a);

#endif
