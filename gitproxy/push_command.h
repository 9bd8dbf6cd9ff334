/*
 * push_command.h - what one push asks for, as the gate and the keeper hand it to each other
 *
 * Theory of operation: the gate parses a client's commands and push options once, into these structs,
 * in a sealed memory file. Who receives it checks all of it before it reads any, and writes the
 * commands for upstream from it: no byte of a client's request goes on but within a checked name or
 * option.
 */
#ifndef GITPROXY_PUSH_COMMAND_H
#define GITPROXY_PUSH_COMMAND_H

#include "gitproxy/oid.h"

enum {
	PUSH_COMMANDS_MAX = 20000,
	PUSH_OPTIONS_MAX = 64,
	PUSH_OPTION = 1024,		/* bytes of one, with its NUL */
	PUSH_REF = 256			/* bytes of a reference's name, with its NUL: longer ones are refused */
};

/* What of the protocol upstream offers, and so may be asked of it. */
enum push_capability {
	PUSH_REPORT_STATUS = 1,
	PUSH_SIDE_BAND = 2,		/* side-band-64k */
	PUSH_OBJECT_FORMAT = 4,
	PUSH_ATOMIC = 8,
	PUSH_QUIET = 16,
	PUSH_OPTIONS = 32,
	PUSH_DELETE_REFS = 64,
	PUSH_CAPABILITIES = 127,	/* all of these: those that a list has to do with */
	PUSH_OFS_DELTA = 128,		/* between upstream and who makes the pack */
	PUSH_NO_THIN = 256
};
/* The one that a word without a value names; 0: none that is known here. */
unsigned push_capability(struct rd word);
/* All of the set and our agent, as they stand behind the NUL of a first line, with blanks between. */
bool push_capabilities_write(struct wr *w, unsigned set, enum object_format format);

struct push_command {
	struct oid old, new;		/* zero: none; never both */
	char ref[PUSH_REF];		/* as refname_ok_onelevel(), no two the same; zeros behind it */
};

struct push_list {			/* then the commands, then the options */
	uint32_t n_commands, n_options;
	uint8_t format;			/* enum object_format */
	uint8_t atomic, quiet;		/* the client asked for it; so does `upstream` offer the first */
	uint8_t has_pack;		/* any command but deletions */
	uint8_t upstream;		/* of enum push_capability */
	uint8_t pad_[3];
};
enum { PUSH_LIST_MAX = sizeof(struct push_list) + PUSH_COMMANDS_MAX * sizeof(struct push_command) +
		       PUSH_OPTIONS_MAX * PUSH_OPTION };

/* Is this a whole list, with at least one command and everything in it as said here? Allocates a little. */
bool push_list_ok(struct rd bytes);
/* A list that is ok as a sealed memory file, and one from it (heap), checked. The descriptor, or 0, or -errno. */
int push_list_file(const struct push_list *l);
int push_list_read(int fd, struct push_list **ret);

/* Of a list that is ok. */
size_t push_list_size(const struct push_list *l);
const struct push_command *push_list_command(const struct push_list *l, size_t i);
const char *push_list_option(const struct push_list *l, size_t i);

/* No two of its commands are for one reference. Allocates a little; false also when it cannot. */
bool push_list_names_differ(const struct push_list *l);
bool push_command_creates(const struct push_command *c);
bool push_command_deletes(const struct push_command *c);

/*
 * The request that goes before the pack: commands, capabilities, options, as gitprotocol-pack(5) has it.
 * Never more than push_list_bound() bytes. False: it did not fit.
 */
bool push_list_write(struct wr *w, const struct push_list *l);
size_t push_list_bound(const struct push_list *l);

#endif
