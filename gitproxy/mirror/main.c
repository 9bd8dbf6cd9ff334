/*
 * main.c - cordon-mirror: repositories on this host, and the answers made from them
 *
 * Theory of operation: started as root by cordon-gitproxy with the pair to the keeper as descriptor
 * MIRROR_KEEPER_FD. Makes STATE/mirrors its own, becomes cordon-mirror without capabilities, gives up
 * every file but that folder and what git needs to run, every socket but those it is sent, and serves:
 * a thread for each request. It lives as long as the pair: when the keeper dies, the kernel closes the
 * other end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/proc.h"
#include "gitproxy/mirror/confine.h"
#include "gitproxy/mirror/control.h"
#include "gitproxy/mirror/mirror.h"
#include "gitproxy/mirror_ipc.h"

enum { PATH_BYTES = 4096 };

/* The folder, as a descriptor that outlives whatever happens to its name. */
static int open_folder(const struct host_config *c, char path[PATH_BYTES], int *ret_fd)
{
	int r;

	if (snprintf(path, PATH_BYTES, "%s/mirrors", c->state_dir) >= PATH_BYTES)
		return -ENAMETOOLONG;
	r = proc_mkdir(c->state_dir, 0711, 0, 0);
	if (!r)
		r = proc_mkdir(path, 0700, proc_role_uid(ROLE_MIRROR), proc_group());
	if (r < 0) {
		log_line(LOG_ERR, "event=mirrors_failed dir=%s error=\"%s\"", path, strerror(-r));
		return r;
	}
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? -errno : 0;
}

/* What is not named is builtin; what cannot be read is no rule, and nothing is let through then. */
static int open_rules(const struct host_config *c)
{
	int fd = c->scan_rules ? open(c->scan_rules, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;

	if (c->scan_rules && fd < 0)
		log_line(LOG_ERR, "event=rules_failed file=%s error=\"%s\"", c->scan_rules, strerror(errno));
	return fd;
}

/*
 * Opened while we are root, and run by its descriptor: whoever builds in a home that is closed to
 * others has cordon-scan there. 10 and up: what it is started with is below.
 */
static int open_judge(char ret_path[PATH_BYTES])
{
	char path[PATH_BYTES];
	AUTO(fd) int fd = -1;
	int kept;

	if (proc_program("cordon-scan", path, sizeof(path)) == 0)
		fd = open(path, O_PATH | O_CLOEXEC);
	kept = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (kept >= 0)
		snprintf(ret_path, PATH_BYTES, "/proc/self/fd/%d", kept);
	return kept;
}

static int run(const struct host_config *c)
{
	char path[PATH_BYTES], judge[PATH_BYTES] = "";
	struct mirror_spec s = { .config = c, .path = path, .folder = -1, .keeper = MIRROR_KEEPER_FD,
				 .judge = judge, .rules = open_rules(c) };
	int r = open_folder(c, path, &s.folder), control = r < 0 ? r : control_open(c);
	int judge_fd = open_judge(judge);
	struct mirror *m;

	if (!r && control < 0) {
		log_line(LOG_ERR, "event=listen_failed path=%s/mirror.sock error=\"%s\"", c->run_dir,
			 strerror(-control));
		r = control;
	}
	if (c->scan_rules && s.rules < 0)
		judge[0] = '\0';		/* no push is let through then */
	if (!r)
		r = proc_drop(ROLE_MIRROR, 0);
	if (!r && fchdir(s.folder) < 0)		/* git looks where it is */
		r = -errno;
	if (!r)
		r = mirror_confine(path, judge_fd);
	if (!r)
		r = mirror_new(&s, &m);
	if (!r)
		r = mirror_start(m, control);
	return r < 0 ? r : mirror_loop(m);
}

int main(int argc, char **argv)
{
	AUTO(host_config) struct host_config *c = NULL;
	int r;

	log_init("mirror");
	if (argc != 3 || strcmp(argv[1], "--config")) {
		fprintf(stderr, "usage: cordon-mirror --config FILE (started by cordon-gitproxy)\n");
		return 2;
	}
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);		/* ends with the keeper */
	signal(SIGTERM, SIG_IGN);
	proc_raise_files(UINT64_MAX);
	if (host_config_open(argv[2], &c) < 0)
		return 2;
	r = run(c);
	if (r == -ECONNRESET)			/* the keeper is gone: the ordinary end */
		_exit(0);
	log_line(LOG_ERR, "event=mirror_failed error=\"%s\"", strerror(-r));
	_exit(1);				/* other threads may still be at work */
}
