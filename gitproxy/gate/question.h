/*
 * question.h - what comes with a question, as descriptors
 */
#ifndef GITPROXY_GATE_QUESTION_H
#define GITPROXY_GATE_QUESTION_H

#include "gitproxy/oid.h"
#include "gitproxy/scan/exceptions.h"
#include "policy/push.h"

/* All: 0 or -errno. The exceptions' file was opened by the keeper, which looked at whose it is. */
int question_rules(int fd, struct push_rules *ret);
int question_exceptions(int fd, struct scan_exceptions **ret);

/* GATE_TIPS of this folder; heap. */
int question_tips(int folder, struct oid **ret, size_t *ret_n);

#endif
