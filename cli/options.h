/*
 * options.h - one option parser for all commands, driven by tables
 *
 * A command describes its options in a table and a struct of values; the parser fills the struct.
 * Words that are not options come back in struct args, borrowed from argv.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum { OPTION_LIST_MAX = 32, OPTION_ERROR_MAX = 256 };

/* FLAG: bool. TEXT: const char *, given once. LIST: struct text_list, given any number of times. */
enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST };

struct text_list {
	const char *text[OPTION_LIST_MAX];
	size_t n;
};

struct option_row {
	const char *name; /* without the dashes */
	char letter;	  /* 0: no short form */
	enum option_kind kind;
	size_t offset;	   /* of the value in the struct of values */
	const char *value; /* what the help calls the value; NULL for flags */
	const char *line;  /* help */
};

/* Several tables are searched in turn (the command's, then the global one), each with its own
 * values. */
struct option_table {
	const struct option_row *rows;
	size_t n;
	void *values;
};

struct args {
	char **word;
	int n;
};

/*
 * argv without the program's name, with its NULL at argv[argc]; args.word ends with NULL too. With
 * `stop_at_word` the first word ends the options (a command to run has options of its own); "--"
 * always does. 0, or -EINVAL with what is wrong and what to do in err.
 */
int options_parse(const struct option_table *tables, size_t n_tables, bool stop_at_word,
		  char **argv, int argc, struct args *ret_args, char err[OPTION_ERROR_MAX]);

#endif
