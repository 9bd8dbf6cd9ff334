/*
 * builtin.c - the rules that come with Cordon, compiled into the program
 *
 * Theory of operation: as with the ruleset, a program and its rules cannot be of two versions. The
 * installed copy (share/cordon/scan-rules.yaml) is to be read, and to begin rules of one's own with.
 */
#include <string.h>

#include "gitproxy/scan/rules.h"

__asm__(".section .rodata\n"
	".globl scan_rules_text\n"
	"scan_rules_text:\n"
	".incbin \"gitproxy/scan/rules.yaml\"\n"
	".byte 0\n"
	".previous\n");
extern const char scan_rules_text[];

int scan_rules_builtin(struct diag *d, struct scan_rules **ret)
{
	return scan_rules_parse("scan-rules.yaml", scan_rules_text, strlen(scan_rules_text), d, ret);
}
