/*
 * report.h - what cordon-dns writes to the audit log
 */
#ifndef DNS_REPORT_H
#define DNS_REPORT_H

#include "base/audit.h"
#include "dns/message.h"
#include "dns/service.h"
#include "policy/reason.h"
#include "policy/view.h"

/* One refusal; NULL where there is none of it. `detail` is a constant of ours. */
struct report {
	const struct view_sandbox *sandbox;
	const struct client *client;
	const struct query *query;	/* its name and type, if they parsed */
	enum reason reason;
	const char *rule;
	const char *detail;
	bool any_name; /* the name does not matter: count it under the sandbox, reason and rule */
	bool many; /* too many different lines: count it under the sandbox and reason only */
};
/* Whether it is news: not a repeat within the audit's window. */
bool report_refusal(struct audit *a, const struct report *r);
void report_daemon(struct audit *a, const char *what);	/* "start", "stop", ... */

#endif
