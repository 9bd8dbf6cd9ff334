/*
 * describe.c - a compiled profile as JSON, for programs inside a sandbox
 *
 * Theory of operation: the canonical text, which holds every key with its default, is read back as
 * a tree and printed; so what is shown is what is in force, and a new key needs nothing here. Plain
 * scalars of digits, true and false are JSON's own; everything else is a string (sizes and times,
 * which have units).
 */
#include "policy/describe.h"

#include <errno.h>
#include <string.h>

#include "policy/doc.h"

void describe_json_string(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static bool is_bare(const struct node *nd)
{
	const char *t = nd->text;

	if (!nd->plain || !t || !*t)
		return false;
	if (!strcmp(t, "true") || !strcmp(t, "false"))
		return true;
	return strspn(t, "0123456789") == strlen(t) && (t[0] != '0' || !t[1]);
}

static void print_scalar(FILE *to, const struct node *nd)
{
	if (is_bare(nd))
		fputs(nd->text, to);
	else
		describe_json_string(to, nd->text ? nd->text : "");
}

/* At most DOC_DEPTH_MAX deep: doc_parse() refuses more. */
static void print_node(FILE *to, const struct node *nd)
{
	if (nd->kind == NODE_SCALAR) {
		print_scalar(to, nd);
		return;
	}
	fputc(nd->kind == NODE_MAP ? '{' : '[', to);
	for (size_t i = 0; i < nd->n; i++) {
		if (i)
			fputc(',', to);
		if (nd->kind == NODE_MAP) {
			describe_json_string(to, nd->items[i]->key);
			fputc(':', to);
		}
		print_node(to, nd->items[i]);
	}
	fputc(nd->kind == NODE_MAP ? '}' : ']', to);
}

int policy_describe_json(const struct policy *p, FILE *to)
{
	AUTO(diag) struct diag *d = NULL;
	AUTO(node) struct node *root = NULL;
	size_t n;
	const char *text = policy_canonical(p, &n);
	int r = diag_new(&d);

	if (!r)
		r = doc_parse(policy_name(p), text, n, d, &root);
	if (r < 0)
		return r;
	print_node(to, root);
	return ferror(to) ? -ENOMEM : 0;
}
