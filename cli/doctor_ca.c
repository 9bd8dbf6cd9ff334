/*
 * doctor_ca.c - the CA that guests trust: does it last, does it cover what it should
 *
 * Theory of operation: looks at the certificates that guests are given (STATE/ca.pem), never at a
 * key. The first is in force; a second one waits for `cordon ca renew --activate`.
 */
#include <stdio.h>
#include <time.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "cli/doctor.h"
#include "policy/name.h"
#include "policy/policy.h"

enum { SOON_DAYS = 90, SECONDS_A_DAY = 24 * 3600, DATE_MAX = 32 };

DEFINE_AUTO(x509, X509 *, X509_free)
DEFINE_AUTO(constraints, NAME_CONSTRAINTS *, NAME_CONSTRAINTS_free)

#define RENEW "sudo cordon ca renew, give guests what cordon ca show prints, sudo cordon ca renew --activate"
#define ACTIVATE "give guests what cordon ca show prints, sudo cordon ca renew --activate"

static void date_of(const ASN1_TIME *t, char out[DATE_MAX])
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(t, &tm) || !strftime(out, DATE_MAX, "%Y-%m-%d", &tm))
		snprintf(out, DATE_MAX, "?");
}

static void check_end(struct doctor *d, const char *path, const X509 *cert, bool next)
{
	const ASN1_TIME *end = X509_get0_notAfter(cert);
	time_t soon = time(NULL) + (time_t)SOON_DAYS * SECONDS_A_DAY;
	char date[DATE_MAX];

	date_of(end, date);
	if (X509_cmp_current_time(end) <= 0)
		doctor_say(d, DOCTOR_PROBLEM, "the CA ended on %s, so the keeper does not start\t%s\t%s",
			   date, path, next ? ACTIVATE : RENEW);
	else if (X509_cmp_time(end, &soon) <= 0)
		doctor_say(d, DOCTOR_WARNING, "the CA ends on %s\t%s\t%s", date, path,
			   next ? ACTIVATE : RENEW);
}

static bool covers(const NAME_CONSTRAINTS *all, const char *name)
{
	for (int i = 0; i < sk_GENERAL_SUBTREE_num(all->permittedSubtrees); i++) {
		const GENERAL_SUBTREE *t = sk_GENERAL_SUBTREE_value(all->permittedSubtrees, i);
		char base[POLICY_NAME_MAX + 1];

		if (t->base->type != GEN_DNS)
			continue;
		snprintf(base, sizeof(base), "%.*s", ASN1_STRING_length(t->base->d.dNSName),
			 (const char *)ASN1_STRING_get0_data(t->base->d.dNSName));
		if (name_is_below(name, base))
			return true;
	}
	return false;
}

static void check_names(struct doctor *d, const char *path, const X509 *cert, bool next)
{
	AUTO(constraints)
	NAME_CONSTRAINTS *all = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);

	for (size_t i = 0; all && i < d->cfg->n_ca_names; i++)
		if (!covers(all, d->cfg->ca_names[i]))
			doctor_say(d, DOCTOR_WARNING,
				   "the CA was made before ca.names had %s, so it cannot sign for it\t%s\t%s",
				   d->cfg->ca_names[i], path, next ? ACTIVATE : RENEW);
}

static void run_ca(struct doctor *d)
{
	AUTO(x509) X509 *cert = NULL;
	AUTO(x509) X509 *next = NULL;
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/ca.pem", d->cfg->state_dir);
	f = fopen(path, "re");
	if (!f)
		return;		/* the first start makes it */
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	next = cert ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	fclose(f);
	if (!cert) {
		doctor_say(d, DOCTOR_WARNING,
			   "is no certificate\t%s\trestart cordon-gitproxy, which writes it", path);
		return;
	}
	check_end(d, path, cert, next);
	check_names(d, path, cert, next);
	if (next)
		doctor_say(d, DOCTOR_OK, "the next CA waits for: sudo cordon ca renew --activate\t%s", path);
}

const struct doctor_check doctor_ca = {
	.name = "ca",
	.good = "where it was made, lasts more than three months and covers ca.names",
	.run = run_ca,
};
