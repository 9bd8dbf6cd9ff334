/*
 * rules.h - the rules of the secret scanner, as a YAML file has them
 *
 * The fields, and what they mean, are those of gitleaks where the name is the same; so are the ids
 * of rules that find the same secret. docs/scan.md is the reference.
 */
#ifndef GITPROXY_SCAN_RULES_H
#define GITPROXY_SCAN_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"

enum {
	SCAN_RULES_MAX = 1000,
	SCAN_TEXTS_MAX = 1000,	 /* in one list */
	SCAN_TEXT_MAX = 4096,	 /* bytes of one text */
	SCAN_KEYWORD_MAX = 64,
	SCAN_GROUP_MAX = 32,
	SCAN_ENTROPY_MAX = 8,	 /* bits a byte */
};

struct scan_texts { char **text; size_t n; };

struct scan_allow {
	struct scan_texts regexes;	/* of the secret */
	struct scan_texts stopwords;	/* inside the secret, case ignored */
	struct scan_texts paths;	/* regexes of the path */
};

struct scan_rule {
	char *id, *description, *regex;
	size_t line, column;		/* of the regex, for complaints */
	unsigned group;			/* secretGroup; 0: the first group that matched, else all */
	double entropy;			/* more than so many bits a byte; 0: any */
	struct scan_texts keywords;	/* lower case; none: always */
	struct scan_allow allow;
	struct scan_texts secret, harmless; /* examples: the rule's own tests */
};

struct scan_rules {
	char *file;
	struct scan_rule *rule;
	size_t n;
	uint8_t sha256[32];		/* of the file's bytes */
};

/* 0 with heap rules, or -EINVAL, -errno with every error in d. `file` is for the errors only. */
int scan_rules_parse(const char *file, const char *text, size_t n, struct diag *d,
		     struct scan_rules **ret);
int scan_rules_load(const char *file, struct diag *d, struct scan_rules **ret);
/* rules.yaml, as it was when the program was built. */
int scan_rules_builtin(struct diag *d, struct scan_rules **ret);
void scan_rules_free(struct scan_rules *r);
DEFINE_AUTO(scan_rules, struct scan_rules *, scan_rules_free)

#endif
