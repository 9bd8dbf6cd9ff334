/*
 * doctor_scan.c - what the scanner of pushes is told by the host
 *
 * Theory of operation: whoever may write these files decides what a secret is. And with an error in one, no
 * push goes through.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/doctor.h"
#include "cli/scan_check.h"

static void check_owner(struct doctor *d, const char *path)
{
	struct stat st;

	if (!stat(path, &st) && (st.st_mode & S_IWOTH || (st.st_mode & S_IWGRP && st.st_gid) || st.st_uid))
		doctor_say(d, DOCTOR_PROBLEM, "others than root can write it\t%s\tchown root:root %s && chmod go-w %s",
			   path, path, path);
}

static void run_scan(struct doctor *d)
{
	const char *rules = d->cfg->scan_rules;

	check_owner(d, d->cfg->scan_exceptions);
	if (!rules)
		return;
	check_owner(d, rules);
	switch (scan_rules_state(rules, true)) {
	case SCAN_RULES_UNKNOWN:
		doctor_say(d, DOCTOR_PROBLEM, "cannot be checked\t%s\tinstall cordon-scan-files: make install", rules);
		break;
	case SCAN_RULES_BAD:
		doctor_say(d, DOCTOR_PROBLEM, "has errors, so every push is refused\t%s\tcordon check says where", rules);
		break;
	case SCAN_RULES_GOOD:
		break;
	}
}

const struct doctor_check doctor_scan = { "scanner", "rules and exceptions are the host's", true, run_scan };
