# The policy: profiles, host configuration, decisions; and the view that parts keep of netd's picture.
POLICY_SRC := policy/reason.c policy/address.c policy/diag.c policy/doc.c policy/schema_table.c \
	      policy/schema_type.c policy/schema.c policy/name.c policy/known.c policy/repo.c \
	      policy/rules.c policy/push.c policy/push_pattern.c policy/profile.c \
	      policy/http_rule.c policy/profile_http.c policy/profile_git.c policy/profile_push.c \
	      policy/profile_checks.c policy/ranges.c policy/canonical.c policy/describe.c \
	      policy/scope.c policy/policy.c policy/file.c policy/interface.c policy/host_config.c \
	      policy/profile_set.c policy/host_credentials.c policy/host_mirrors.c \
	      policy/host_ssh.c policy/host_proxy.c policy/secret_file.c
POLICY_LIB := -lyaml -lidn2 -lcrypto
VIEW_SRC   := policy/picture.c policy/view.c policy/view_audit.c
