/*
 * log.c - a daemon's own log on stderr
 *
 * Theory of operation: see log.h. A line is built on the stack and leaves in one write(2), so lines
 * of several threads and processes that share stderr never mix. Control bytes that a caller let
 * slip are shown as '?': a log line is always one line.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024 };

static const char *log_part = "cordon";
static bool log_debug;

void log_init(const char *part)
{
	log_part = part;
	log_debug = getenv("CORDON_DEBUG") != NULL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warning", "note", "debug" };
	char line[LOG_LINE_MAX];
	int saved = errno;
	size_t head, n;
	va_list ap;
	int r;

	if (level > LOG_DEBUG || (level == LOG_DEBUG && !log_debug))
		return;
	head = (size_t)snprintf(line, sizeof(line), "part=%.32s level=%s ", log_part, names[level]);
	va_start(ap, fmt);
	r = vsnprintf(line + head, sizeof(line) - head, fmt, ap);
	va_end(ap);
	n = r < 0 ? head : head + (size_t)r;
	if (n > sizeof(line) - 1)
		n = sizeof(line) - 1;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';		/* over the terminating NUL */
	(void)!write(STDERR_FILENO, line, n);	/* when stderr is gone there is nobody to tell */
	errno = saved;
}
