/*
 * judge.h - one question, answered by a process that is confined to it
 */
#ifndef GITPROXY_GATE_JUDGE_H
#define GITPROXY_GATE_JUDGE_H

#include "base/ipc.h"
#include "gitproxy/scan/scan.h"

/* JUDGE or SCANFILE, checked by gate_message_ok(); the descriptors that belong to it are there. */
void judge_push(const struct scan *engine, const struct ipc_in *in);
void judge_file(const struct scan *engine, const struct ipc_in *in);

#endif
