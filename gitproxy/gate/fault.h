/*
 * fault.h - what is wrong with one object's bytes
 *
 * The words of the first column are git's (git help fsck), where it has one for it: for who compares.
 */
#ifndef GITPROXY_GATE_FAULT_H
#define GITPROXY_GATE_FAULT_H

/* X(NAME, "git's word", "sentence") */
#define FAULTS(X) \
	X(NUL, "nulInHeader", "a NUL byte") \
	X(HEADERS, "unterminatedHeader", "headers without an end") \
	X(TREE_LINE, "missingTree", "no tree line, or a bad one") \
	X(PARENT_LINE, "badParentSha1", "a bad parent line") \
	X(PARENTS, "", "too many parents") \
	X(AUTHOR, "missingAuthor", "no author line") \
	X(AUTHORS, "multipleAuthors", "several author lines") \
	X(COMMITTER, "missingCommitter", "no committer line") \
	X(NO_NAME, "missingNameBeforeEmail", "an author, committer or tagger without a name") \
	X(BAD_NAME, "badName", "a bad name of an author, committer or tagger") \
	X(NO_EMAIL, "missingEmail", "an author, committer or tagger without an address") \
	X(EMAIL_SPACE, "missingSpaceBeforeEmail", "no space before the address") \
	X(BAD_EMAIL, "badEmail", "a bad address of an author, committer or tagger") \
	X(DATE_SPACE, "missingSpaceBeforeDate", "no space before the date") \
	X(DATE_PADDED, "zeroPaddedDate", "a date with zeros in front") \
	X(DATE, "badDate", "a bad date") \
	X(DATE_RANGE, "badDateOverflow", "a date that no clock reaches") \
	X(ZONE, "badTimezone", "a bad time zone") \
	X(TAG_OBJECT, "missingObject", "no object line, or a bad one") \
	X(TAG_TYPE, "badType", "no type line, or a bad one") \
	X(TAG_NAME, "missingTagEntry", "no tag line") \
	X(MESSAGE, "", "a commit or tag of too many bytes") \
	X(ENTRY, "badTree", "an entry of a tree that cannot be read") \
	X(ENTRIES, "", "a tree of too many entries") \
	X(MODE_PADDED, "zeroPaddedFilemode", "a file mode with zeros in front") \
	X(MODE, "badFilemode", "a bad file mode") \
	X(NULL_ID, "nullSha1", "an entry without an object") \
	X(NAME_EMPTY, "emptyName", "an empty file name") \
	X(NAME_SLASH, "fullPathname", "a file name with a slash") \
	X(NAME_DOT, "hasDot", "a file called .") \
	X(NAME_DOTDOT, "hasDotdot", "a file called ..") \
	X(NAME_DOTGIT, "hasDotgit", "a file name that some system reads as .git") \
	X(DUPLICATE, "duplicateEntries", "a tree with the same name twice") \
	X(ORDER, "treeNotSorted", "a tree that is not sorted") \
	X(MODULES_MODE, "gitmodulesSymlink", ".gitmodules is no plain file") \
	X(MODULES_LARGE, "gitmodulesLarge", ".gitmodules is too large") \
	X(MODULES_PARSE, "gitmodulesParse", ".gitmodules cannot be read") \
	X(MODULES_NAME, "gitmodulesName", ".gitmodules has a name that leads elsewhere") \
	X(MODULES_URL, "gitmodulesUrl", ".gitmodules has a URL that leads elsewhere") \
	X(MODULES_PATH, "gitmodulesPath", ".gitmodules has a path that leads elsewhere") \
	X(MODULES_UPDATE, "gitmodulesUpdate", ".gitmodules would run a command") \
	X(ATTRIBUTES_MODE, "gitattributesBlob", ".gitattributes is no plain file") \
	X(ATTRIBUTES_LARGE, "gitattributesLarge", ".gitattributes is too large") \
	X(ATTRIBUTES_LINE, "gitattributesLineLength", ".gitattributes has a line that is too long") \
	X(TYPE, "", "an object that others point to as another type")

enum fault {
	FAULT_UNKNOWN = 0,		/* never looked at: as bad as any */
	FAULT_NONE,
#define X(name, word, sentence) FAULT_##name,
	FAULTS(X)
#undef X
	FAULT_COUNT
};

const char *fault_text(enum fault f);	/* "an unknown fault" for unknown values */

#endif
