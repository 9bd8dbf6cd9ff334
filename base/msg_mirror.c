/*
 * msg_mirror.c - what `cordon mirror` asks of cordon-mirror, checked
 *
 * Theory of operation: the texts of both sides are shown to people or become paths of a request, so
 * they are printable; that they name a host and a repository is for who uses them as such.
 */
#include "base/msg_mirror.h"

bool msg_mirror_do_ok(const struct msg_mirror_do *m)
{
	return m->command >= MIRROR_DO_LIST && m->command < MIRROR_DO_COMMANDS && m->full <= 1 &&
	       msg_plain_ok(m->host, sizeof(m->host)) && msg_plain_ok(m->repo, sizeof(m->repo)) &&
	       !*m->host == !*m->repo;
}

bool msg_mirror_row_ok(const struct msg_mirror_row *m)
{
	return m->kind >= MIRROR_ROW_REPO && m->kind < MIRROR_ROWS && msg_plain_ok(m->host, sizeof(m->host)) &&
	       msg_plain_ok(m->repo, sizeof(m->repo)) && msg_plain_ok(m->credential, sizeof(m->credential)) &&
	       msg_plain_ok(m->state, sizeof(m->state)) && msg_plain_ok(m->text, sizeof(m->text));
}
