/*
 * engine.c - compile rules: for PCRE2 to confirm with, for Vectorscan to find candidates with
 *
 * Theory of operation: both libraries get the same text, as bytes without a character set.
 * Vectorscan tells where matches end and nothing else (its start of match costs a third of the
 * rules), which PCRE2 then looks at; so a rule must have a longest match, else no window would do.
 * Keywords are no filter before it: nearly every file has one of
 * some rule, and a second pass costs more (a quarter to a third of the speed) than it spares.
 */
#include "gitproxy/scan/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static pcre2_code *compile_one(const char *regex, char *ret_why, size_t cap)
{
	uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
	PCRE2_SIZE at = 0;
	PCRE2_UCHAR what[128] = "";
	pcre2_code *code;
	int err = 0;

	code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options, &err, &at, NULL);
	if (code) {
		pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);	/* without it, slower */
		return code;
	}
	pcre2_get_error_message(err, what, sizeof(what));
	snprintf(ret_why, cap, "%s at byte %zu of it", what, at);
	return NULL;
}

static int compile_list(const struct scan_rules *rules, const struct scan_rule *r,
			const struct scan_texts *texts, struct diag *d, struct scan_regexes *ret)
{
	char why[192];

	ret->code = calloc(texts->n + 1, sizeof(*ret->code));
	if (!ret->code)
		return -ENOMEM;
	for (size_t i = 0; i < texts->n; i++) {
		ret->code[ret->n] = compile_one(texts->text[i], why, sizeof(why));
		if (ret->code[ret->n])
			ret->n++;
		else
			diag_error(d, rules->file, r->line, r->column,
				   "%s: allowlist: \"%.64s\": %s; mend it", r->id, texts->text[i], why);
	}
	return 0;
}

static void check_width(const struct scan_rules *rules, const struct scan_rule *r, struct diag *d,
			size_t *ret_width)
{
	hs_compile_error_t *why = NULL;
	hs_expr_info_t *info = NULL;

	if (hs_expression_info(r->regex, 0, &info, &why) != HS_SUCCESS) {
		diag_error(d, rules->file, r->line, r->column,
			   "%s: regex: %s; write it without", r->id, why ? why->message : "no memory");
		hs_free_compile_error(why);
		return;
	}
	*ret_width = info->max_width;
	if (!info->min_width)
		diag_error(d, rules->file, r->line, r->column,
			   "%s: regex: matches the empty text; demand at least one byte", r->id);
	if (info->max_width > SCAN_WIDTH_MAX)
		diag_error(d, rules->file, r->line, r->column,
			   "%s: regex: could match more than %d bytes; bound its repeats ({1,64})",
			   r->id, SCAN_WIDTH_MAX);
	free(info);
}

static int compile_rule(struct scan *e, size_t i, struct diag *d)
{
	const struct scan_rule *r = &e->rules->rule[i];
	struct scan_judge *j = &e->judge[i];
	uint32_t groups = 0;
	char why[192];
	int err;

	j->code = compile_one(r->regex, why, sizeof(why));
	if (!j->code) {
		diag_error(d, e->rules->file, r->line, r->column, "%s: regex: %s; mend it", r->id, why);
		return 0;
	}
	pcre2_pattern_info(j->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	if (r->group > groups || groups > SCAN_GROUP_MAX)
		diag_error(d, e->rules->file, r->line, r->column,
			   "%s: regex: has %u groups, secretGroup is %u; at most %d groups", r->id,
			   groups, r->group, SCAN_GROUP_MAX);
	if (groups > e->groups)
		e->groups = groups;
	check_width(e->rules, r, d, &j->width);
	err = compile_list(e->rules, r, &r->allow.regexes, d, &j->secrets);
	return err ? err : compile_list(e->rules, r, &r->allow.paths, d, &j->paths);
}

/* The engine without its database: every regex as PCRE2, checked. */
static int compile_all(const struct scan_rules *rules, struct diag *d, struct scan **ret)
{
	AUTO(scan) struct scan *e = calloc(1, sizeof(*e));
	size_t before = diag_errors(d);
	int err = 0;

	if (hs_valid_platform() != HS_SUCCESS)
		return -ENOTSUP;
	if (!e)
		return -ENOMEM;
	e->rules = rules;
	e->judge = calloc(rules->n, sizeof(*e->judge));
	if (!e->judge)
		return -ENOMEM;
	for (size_t i = 0; i < rules->n && !err; i++)
		err = compile_rule(e, i, d);
	if (err || diag_errors(d) > before)
		return err ? err : -EINVAL;
	*ret = STEAL(e);
	return 0;
}

/* What Vectorscan takes: parallel arrays. */
struct list {
	const char **text;
	unsigned *flags, *ids, n;
};

static void auto_free_list(struct list *l)
{
	free(l->text);
	free(l->flags);
	free(l->ids);
}

static bool list_init(struct list *l, size_t cap)
{
	l->text = calloc(cap + 1, sizeof(*l->text));
	l->flags = calloc(cap + 1, sizeof(*l->flags));
	l->ids = calloc(cap + 1, sizeof(*l->ids));
	return l->text && l->flags && l->ids;
}

/* The libraries know of no place: an expression's number does, a negative one is of no rule. */
static int complain(const struct scan *e, const struct list *l, hs_compile_error_t *why, struct diag *d)
{
	bool of_rule = why && why->expression >= 0 && (unsigned)why->expression < l->n;
	const struct scan_rule *r = &e->rules->rule[of_rule ? l->ids[why->expression] : 0];

	diag_error(d, e->rules->file, of_rule ? r->line : 1, of_rule ? r->column : 1,
		   "%s: %s; make it simpler", of_rule ? r->id : "the rules",
		   why ? why->message : "no memory");
	hs_free_compile_error(why);
	return -EINVAL;
}

static int build_regexes(struct scan *e, struct diag *d)
{
	__attribute__((cleanup(auto_free_list))) struct list l = { 0 };
	hs_compile_error_t *why = NULL;

	if (!list_init(&l, e->rules->n))
		return -ENOMEM;
	for (; l.n < e->rules->n; l.n++) {
		l.text[l.n] = e->rules->rule[l.n].regex;
		l.ids[l.n] = l.n;
	}
	return hs_compile_multi(l.text, l.flags, l.ids, l.n, HS_MODE_BLOCK, NULL, &e->regexes, &why) ==
			       HS_SUCCESS ?
		       0 :
		       complain(e, &l, why, d);
}

int scan_new(const struct scan_rules *rules, struct diag *d, struct scan **ret)
{
	AUTO(scan) struct scan *e = NULL;
	int err = compile_all(rules, d, &e);

	err = err ? err : build_regexes(e, d);
	if (!err)
		*ret = STEAL(e);
	return err;
}

static void regexes_done(struct scan_regexes *r)
{
	for (size_t i = 0; i < r->n; i++)
		pcre2_code_free(r->code[i]);
	free(r->code);
}

void scan_free(struct scan *e)
{
	if (!e)
		return;
	for (size_t i = 0; e->judge && i < e->rules->n; i++) {
		pcre2_code_free(e->judge[i].code);
		regexes_done(&e->judge[i].secrets);
		regexes_done(&e->judge[i].paths);
	}
	free(e->judge);
	hs_free_database(e->regexes);
	free(e);
}
