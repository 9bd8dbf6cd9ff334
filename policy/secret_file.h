/*
 * secret_file.h - a file that holds a secret of the host, and who may read it
 */
#ifndef POLICY_SECRET_FILE_H
#define POLICY_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SECRET_FILE_MAX = 16384, SECRET_WHY = 640 };

/* Whose the files must be: who uses them, and no one else. */
struct secret_owner {
	uid_t uid;
	gid_t gid;	/* lets it through directories; opens no file */
	char name[64];	/* as chown takes it */
};
struct secret_owner secret_owner_of(uid_t uid, gid_t gid);

/*
 * Open it if it is a plain file of the owner's that nobody else may read or write. 0, or -errno
 * with what is wrong and how to mend it in ret_why, as the end of a sentence that begins with the
 * path.
 */
int secret_file_open(const char *path, const struct secret_owner *o, int *ret_fd,
		     char ret_why[SECRET_WHY]);
/* For whoever may look where the owner may not: can the owner get to the file? As above. */
int secret_file_reach(const char *path, const struct secret_owner *o, char ret_why[SECRET_WHY]);
/*
 * Its bytes, without one line's end, of at least `least` and fewer than `cap`; control characters
 * other than line ends inside (`lines`) are refused. Same bytes twice, since it may be written
 * meanwhile. 0 or -errno and ret_why.
 */
int secret_file_read(int fd, bool lines, size_t least, char *to, size_t cap, size_t *ret_n,
		     char ret_why[SECRET_WHY]);

#endif
