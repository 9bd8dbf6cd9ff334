/*
 * reason.h - why something was refused: one enum, and its text is stable API
 *
 * The same word stands in the audit log, in HTTP and git error text and in DNS answers.
 * The sentence says what is allowed or whom to ask; it never says whether a thing exists upstream.
 */
#ifndef POLICY_REASON_H
#define POLICY_REASON_H

/* X(NAME, "sentence") ; the text is the name in lower case. Grouped dns, net, tls, http, git, limits. */
#define REASONS(X) \
	X(NAME_NOT_ALLOWED, "name_not_allowed", \
	  "The policy does not allow this name; ask the host's administrator to add it.") \
	X(NAME_DENIED, "name_denied", "The policy denies this name.") \
	X(TYPE_NOT_ALLOWED, "type_not_allowed", "The policy does not allow this record type for this name.") \
	X(QUERY_MALFORMED, "query_malformed", "The DNS query is malformed.") \
	X(REBINDING_BLOCKED, "rebinding_blocked", \
	  "The name resolves only to addresses that must not be reached from here.") \
	X(WILDCARD_BUDGET_EXCEEDED, "wildcard_budget_exceeded", \
	  "Too many names or bytes under one wildcard; try again later.") \
	X(RESOLVER_UNREACHABLE, "resolver_unreachable", "The host's resolver did not answer; try again later.") \
	X(ADDRESS_NOT_GRANTED, "address_not_granted", \
	  "Addresses are not reachable; use a name that the policy allows.") \
	X(PORT_NOT_GRANTED, "port_not_granted", "The policy does not allow this port of this name.") \
	X(PROTOCOL_NOT_ALLOWED, "protocol_not_allowed", "The policy does not allow this protocol.") \
	X(SOURCE_SPOOFED, "source_spoofed", "The source address is not this sandbox's.") \
	X(INTERFACE_UNREGISTERED, "interface_unregistered", "The interface is not registered; see cordon add.") \
	X(FRAGMENT_NOT_ALLOWED, "fragment_not_allowed", "Fragments are not allowed.") \
	X(STATE_INVALID, "state_invalid", "The packet belongs to no flow.") \
	X(HOST_ACCESS, "host_access", "The host itself is not reachable.") \
	X(PEER_SANDBOX, "peer_sandbox", "Other sandboxes are not reachable.") \
	X(QUIC_NOT_ALLOWED, "quic_not_allowed", "QUIC is not allowed; clients fall back to TCP.") \
	X(SNI_MISSING, "sni_missing", "TLS without a server name is not allowed.") \
	X(SNI_MISMATCH, "sni_mismatch", "The TLS server name is not the name that was resolved.") \
	X(ECH_NOT_ALLOWED, "ech_not_allowed", "Encrypted Client Hello is not allowed.") \
	X(NOT_TLS, "not_tls", "Only TLS is allowed on this port.") \
	X(HELLO_MALFORMED, "hello_malformed", "The TLS ClientHello is malformed.") \
	X(HELLO_TIMEOUT, "hello_timeout", "The TLS ClientHello did not arrive in time.") \
	X(STREAM_INCONSISTENT, "stream_inconsistent", "The flow's bytes changed after they were inspected.") \
	X(HOST_MISMATCH, "host_mismatch", "The request names another host than the connection.") \
	X(METHOD_NOT_ALLOWED, "method_not_allowed", "The policy does not allow this method here.") \
	X(PATH_NOT_ALLOWED, "path_not_allowed", "The policy does not allow this path.") \
	X(REQUEST_MALFORMED, "request_malformed", "The request is malformed or ambiguous.") \
	X(UPGRADE_NOT_ALLOWED, "upgrade_not_allowed", "Protocol upgrades are not allowed here.") \
	X(DOH_NOT_ALLOWED, "doh_not_allowed", "DNS over HTTPS is not allowed; use plain DNS.") \
	X(BODY_TOO_LARGE, "body_too_large", "The request body is too large.") \
	X(HOST_NOT_ALLOWED, "host_not_allowed", \
	  "The policy does not let this host be reached this way; git hosts stand in git.allowed_hosts, " \
	  "others in network.allow.") \
	X(REPOSITORY_NOT_ALLOWED, "repository_not_allowed", \
	  "The policy does not allow this repository; ask the host's administrator to add it.") \
	X(SERVICE_NOT_ALLOWED, "service_not_allowed", \
	  "Only fetch and push over git's smart HTTP protocol are allowed here.") \
	X(PUSH_NOT_ALLOWED, "push_not_allowed", "The policy does not allow pushing to this repository.") \
	X(REF_NOT_ALLOWED, "ref_not_allowed", "The policy does not allow this ref.") \
	X(FORCE_NOT_ALLOWED, "force_not_allowed", "The policy does not allow forced updates.") \
	X(DELETE_NOT_ALLOWED, "delete_not_allowed", "The policy does not allow deleting refs.") \
	X(PATH_PROTECTED, "path_protected", "The push changes a path that the policy protects.") \
	X(SECRET_DETECTED, "secret_detected", "The push contains what looks like a secret.") \
	X(HIDDEN_OBJECTS, "hidden_objects", "The push contains objects that its refs do not reach.") \
	X(PACK_MALFORMED, "pack_malformed", "The pack is malformed.") \
	X(LFS_NOT_ALLOWED, "lfs_not_allowed", "The policy does not allow Git LFS.") \
	X(LFS_LOCKS_NOT_SUPPORTED, "lfs_locks_not_supported", \
	  "Locks of Git LFS are not available here; work without them.") \
	X(LFS_NEEDS_HTTPS, "lfs_needs_https", \
	  "Git LFS needs a repository that the gateway reaches by https, and this one is reached by ssh.") \
	X(LFS_LINK_INVALID, "lfs_link_invalid", \
	  "This link to an object is none of yours, or its time is over; ask for a new one.") \
	X(LFS_OBJECT_MISMATCH, "lfs_object_mismatch", \
	  "The object's bytes are not those that its id and size say.") \
	X(LFS_OBJECT_MISSING, "lfs_object_missing", \
	  "The push needs an object of Git LFS that was not uploaded; git lfs push uploads it.") \
	X(DUMB_HTTP_NOT_ALLOWED, "dumb_http_not_allowed", "Only git's smart HTTP protocol is allowed.") \
	X(REDIRECT_NOT_ALLOWED, "redirect_not_allowed", \
	  "The server redirects to a place that the policy does not allow.") \
	X(SCOPE_INVALID, "scope_invalid", "The scope token is not valid for this sandbox.") \
	X(UPSTREAM_UNREACHABLE, "upstream_unreachable", "The server could not be reached; try again later.") \
	X(UPSTREAM_DENIED, "upstream_denied", "The server refused access.") \
	X(UPSTREAM_UNTRUSTED, "upstream_untrusted", \
	  "The server's certificate, host key or answer is not trusted.") \
	X(MIRROR_FILLING, "mirror_filling", \
	  "The first copy of this repository is being fetched; try again in a minute.") \
	X(PROTOCOL_TOO_OLD, "protocol_too_old", \
	  "This repository is served by version 2 of git's protocol alone: git 2.26 or later, " \
	  "or git -c protocol.version=2.") \
	X(SSH_NOT_SUPPORTED, "ssh_not_supported", \
	  "Git over SSH is not supported; use the https:// URL of the repository.") \
	X(NOT_GIT, "not_git", "Only git requests are allowed on this host.") \
	X(CREDENTIAL_NOT_ALLOWED, "credential_not_allowed", \
	  "Credentials from inside the sandbox are not accepted on this host.") \
	X(CAPABILITY_NOT_ALLOWED, "capability_not_allowed", \
	  "The client asked for a protocol capability that is not offered.") \
	X(PACK_LIMIT_EXCEEDED, "pack_limit_exceeded", "The pack exceeds a limit of the policy.") \
	X(SCAN_FAILED, "scan_failed", "The push could not be scanned.") \
	X(RATE_LIMITED, "rate_limited", "Too many requests; try again later.") \
	X(TOO_MANY_CONNECTIONS, "too_many_connections", "Too many connections; close some first.") \
	X(POOL_EXHAUSTED, "pool_exhausted", "No address is left for new names; try again later.") \
	X(DEADLINE_EXCEEDED, "deadline_exceeded", "The peer took too long.") \
	X(AUDIT_UNAVAILABLE, "audit_unavailable", "The audit log cannot be written.") \
	X(UNAVAILABLE, "unavailable", "The gateway is busy or being started anew; try again in a moment.") \
	X(INTERNAL_ERROR, "internal_error", "The gateway failed; see its log.")

enum reason {
	REASON_NONE = 0,
#define X(name, text, sentence) REASON_##name,
	REASONS(X)
#undef X
	REASON_COUNT
};

const char *reason_text(enum reason r);		/* "" for REASON_NONE; "internal_error" for unknown values */
const char *reason_sentence(enum reason r);
enum reason reason_of_text(const char *text);	/* REASON_NONE when there is none */

#endif
