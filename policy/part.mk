# The policy: profiles, host configuration, decisions; and the view that parts keep of netd's picture.
POLICY_SRC := policy/reason.c policy/address.c policy/diag.c policy/schema.c policy/policy.c policy/host_config.c
POLICY_LIB := -lyaml -lcrypto
VIEW_SRC   := policy/picture.c policy/view.c
