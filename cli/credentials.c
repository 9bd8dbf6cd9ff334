/*
 * credentials.c - the credentials of the host configuration, for commands
 *
 * Theory of operation: cordon-keeper alone reads the secrets, and refuses requests when it cannot.
 * What would make it refuse is told here before, by the same judgement of the files. Nothing is
 * read from them.
 */
#include "cli/credentials.h"

#include "base/proc.h"
#include "cli/cli.h"

int credentials_check(const struct host_config *c)
{
	struct secret_owner o = secret_owner_of(proc_role_uid(ROLE_KEEPER), proc_group());
	AUTO(diag) struct diag *d = NULL;

	if (diag_new(&d) < 0)
		return cli_fail("out of memory");
	host_credentials_check_files(c, &o, d);
	diag_print(d, stderr);
	return diag_errors(d) ? EXIT_USAGE : EXIT_DONE;
}

void credentials_show(const struct host_config *c)
{
	static const char *const kinds[] = { [CREDENTIAL_TOKEN] = "token",
					     [CREDENTIAL_APP] = "GitHub App",
					     [CREDENTIAL_HEADER] = "header " };

	for (size_t i = 0; i < c->n_credentials; i++) {
		const struct host_credential *h = &c->credentials[i];

		printf("# credential %s (%s%s) serves %s\n", h->name, kinds[h->kind],
		       h->header ? h->header : "",
		       h->match ? h->match : "what profiles name it for");
	}
}
