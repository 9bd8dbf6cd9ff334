/*
 * run_files.c - files of the host that look different inside `cordon run`
 *
 * Theory of operation: resolv.conf names Cordon's resolver (any address would do: port 53 is
 * steered), the hosts line of nsswitch.conf is `files dns` (the host's other sources talk to its
 * daemons over UNIX sockets), and the CA bundle is the host's plus Cordon's certificate. Each is a
 * memfd that bubblewrap copies, so nothing is left on disk. A symbolic link (resolv.conf often is
 * one) is followed here: the file goes to where the link leads, and the link then finds it.
 */
#include "cli/run_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"

static const char *const ca_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};
#define CA_BUNDLE_OTHERWISE "/run/cordon-ca.pem" /* below a private tmpfs, so it can be made */

static FILE *memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");

	if (fd >= 0 && !f)
		close(fd);
	return f;
}

/* A descriptor of its own at offset 0; the FILE is closed. -errno when something was not written.
 */
static int memory_done(FILE *f)
{
	int r = fflush(f) ? -errno : 0, fd = -1;

	if (!r) {
		fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 10);
		r = fd < 0 || lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd;
	}
	fclose(f);
	return r;
}

/* Where a path leads, even when the last step does not exist. False: nowhere. */
static bool target(const char *path, char ret[PATH_MAX])
{
	char link[PATH_MAX];
	ssize_t n;

	if (realpath(path, ret))
		return true;
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = 0;
	if (link[0] == '/')
		return snprintf(ret, PATH_MAX, "%s", link) < PATH_MAX;
	return snprintf(ret, PATH_MAX, "/etc/%s", link) < PATH_MAX && !strstr(ret, "..");
}

static bool copy(FILE *to, const char *path)
{
	FILE *from = fopen(path, "re");
	char buf[16384];
	size_t n;

	if (!from)
		return false;
	while ((n = fread(buf, 1, sizeof(buf), from)) > 0)
		fwrite(buf, 1, n, to);
	fclose(from);
	return true;
}

static bool write_resolv_conf(struct jail *j, FILE *to)
{
	struct addr a4 = pool_addr4(&j->cfg->pool, POOL_DNS),
		    a6 = pool_addr6(&j->cfg->pool, POOL_DNS);
	char text[ADDR_TEXT_MAX];

	if (!target("/etc/resolv.conf", j->file_path[JAIL_RESOLV_CONF]))
		return false;
	addr_format(&a4, text);
	fprintf(to, "# made by cordon run\nnameserver %s\n", text);
	addr_format(&a6, text);
	fprintf(to, "nameserver %s\n", text);
	return true;
}

static bool write_nsswitch(struct jail *j, FILE *to)
{
	char line[1024];
	FILE *from;

	if (!target("/etc/nsswitch.conf", j->file_path[JAIL_NSSWITCH]))
		return false;
	from = fopen(j->file_path[JAIL_NSSWITCH], "re");
	if (!from)
		return false;
	while (fgets(line, sizeof(line), from))
		if (strncmp(line, "hosts:", 6))
			fputs(line, to);
	fclose(from);
	fputs("\nhosts: files dns\n", to);
	return true;
}

static bool write_ca_bundle(struct jail *j, FILE *to)
{
	char own[512], *path = j->file_path[JAIL_CA_BUNDLE];

	snprintf(path, PATH_MAX, "%s", CA_BUNDLE_OTHERWISE);
	for (size_t i = 0; i < ARRAY_SIZE(ca_bundles); i++)
		if (!access(ca_bundles[i], R_OK) && realpath(ca_bundles[i], path) && copy(to, path))
			break;
	snprintf(own, sizeof(own), "%s/ca.pem", j->cfg->state_dir);
	fputc('\n', to);
	if (copy(to, own))
		return true;
	cli_fail("%s: %s: cordon status tells whether the keeper is well", own, strerror(errno));
	path[0] = 0;
	return false;
}

static const struct {
	const char *name;
	bool (*write)(struct jail *j, FILE *to);
	bool required;
} makers[JAIL_FILES] = {
	[JAIL_RESOLV_CONF] = { "resolv.conf", write_resolv_conf, false },
	[JAIL_NSSWITCH] = { "nsswitch.conf", write_nsswitch, false },
	[JAIL_CA_BUNDLE] = { "ca-bundle", write_ca_bundle, true },
};

static int make_one(struct jail *j, int i)
{
	FILE *f = memory_file(makers[i].name);

	if (!f)
		return cli_fail("run: %s: %s", makers[i].name, strerror(errno));
	if (!makers[i].write(j, f)) {
		fclose(f);
		j->file_path[i][0] = 0;
		return makers[i].required ? EXIT_REFUSED : EXIT_DONE;
	}
	j->file_fd[i] = memory_done(f);
	if (j->file_fd[i] < 0)
		return cli_fail("run: %s: %s", makers[i].name, strerror(-j->file_fd[i]));
	return EXIT_DONE;
}

int run_files_make(struct jail *j)
{
	int r = EXIT_DONE;

	for (int i = 0; !r && i < JAIL_FILES; i++)
		r = make_one(j, i);
	return r;
}
