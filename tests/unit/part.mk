# Unit tests. One line each: $(eval $(call unit-test,THING,SOURCES,LIBRARIES)) builds test_THING from
# tests/unit/test_THING.c and the sources it names, and nothing else.
define unit-test
$(if $(filter test_$(1),$(UNITS)),$(error two unit tests are called $(1)))
UNITS += test_$(1)
test_$(1)_SRC := tests/unit/test_$(1).c $(2)
test_$(1)_LIB := $(3)
endef

$(eval $(call unit-test,bytes,base/bytes.c,))
$(eval $(call unit-test,addr,base/addr.c,))
$(eval $(call unit-test,ipc,base/ipc.c base/msg.c,))
$(eval $(call unit-test,loop,base/loop.c,))
$(eval $(call unit-test,audit,base/audit.c base/bytes.c,-lcrypto -lpthread))
$(eval $(call unit-test,proc,base/proc.c,-lseccomp))
$(eval $(call unit-test,landlock,base/landlock.c base/log.c,))
$(eval $(call unit-test,element,nft/element.c base/addr.c,))
$(eval $(call unit-test,dns_message,dns/message.c policy/name.c policy/known.c base/bytes.c base/addr.c,$(POLICY_LIB)))
$(eval $(call unit-test,dns_upstream_answer,dns/upstream_answer.c dns/message.c policy/name.c policy/known.c base/bytes.c base/addr.c,$(POLICY_LIB)))
$(eval $(call unit-test,view,$(VIEW_SRC) policy/address.c base/addr.c base/bytes.c base/ipc.c base/msg.c base/log.c,-lpthread))
$(eval $(call unit-test,packet,netd/packet.c base/addr.c,))
$(eval $(call unit-test,registry,netd/registry.c policy/interface.c base/addr.c base/msg.c base/ipc.c,))
$(eval $(call unit-test,names,netd/names.c netd/names_plan.c netd/names_restore.c netd/names_write.c netd/profiles.c $(POLICY_SRC) base/addr.c base/bytes.c base/msg.c base/ipc.c,$(POLICY_LIB)))
$(eval $(call unit-test,silence,netd/silence.c,))
$(eval $(call unit-test,hello,netd/inspect/hello.c,))
$(eval $(call unit-test,tls_stream,netd/inspect/tls_stream.c,))
$(eval $(call unit-test,options,cli/options.c policy/diag.c,))
$(eval $(call unit-test,event,cli/event.c cli/table.c,-ljansson))

POLICY_TESTED := $(POLICY_SRC) base/addr.c base/bytes.c
$(eval $(call unit-test,policy_address,policy/address.c base/addr.c,))
$(eval $(call unit-test,policy_name,policy/name.c policy/known.c base/addr.c base/bytes.c,-lidn2))
$(eval $(call unit-test,policy,$(POLICY_TESTED),$(POLICY_LIB)))
$(eval $(call unit-test,policy_errors,$(POLICY_TESTED),$(POLICY_LIB)))
$(eval $(call unit-test,policy_host,$(POLICY_TESTED),$(POLICY_LIB)))
$(eval $(call unit-test,flow,netd/inspect/flow.c netd/inspect/hello.c netd/inspect/tls_stream.c,))
$(eval $(call unit-test,inspect_packet,netd/inspect/packet.c,))
$(eval $(call unit-test,inspect_table,netd/inspect/table.c netd/inspect/flow.c netd/inspect/hello.c netd/inspect/tls_stream.c,))
GITPROXY_NAMES := policy/name.c policy/known.c base/addr.c base/bytes.c
$(eval $(call unit-test,git_path,gitproxy/git_path.c base/bytes.c,))
$(eval $(call unit-test,http_head,gitproxy/http_head.c base/bytes.c,))
$(eval $(call unit-test,http_body,gitproxy/http_body.c,-lz))
$(eval $(call unit-test,keeper_ipc,gitproxy/keeper_ipc.c gitproxy/git_path.c base/msg.c base/ipc.c $(GITPROXY_NAMES),-lidn2))
DNS_NAMES := policy/name.c policy/known.c base/addr.c base/bytes.c
$(eval $(call unit-test,dns_answer,dns/answer.c dns/message.c $(POLICY_TESTED),$(POLICY_LIB)))
$(eval $(call unit-test,dns_resolver,dns/resolver.c dns/answer.c dns/message.c dns/table.c policy/address.c policy/reason.c base/loop.c base/msg.c base/ipc.c $(DNS_NAMES),-lidn2))
$(eval $(call unit-test,dns_wildcard,dns/wildcard.c dns/table.c,))
$(eval $(call unit-test,ca,gitproxy/keeper/ca.c base/bytes.c,-lcrypto -lpthread))
$(eval $(call unit-test,confine,gitproxy/confine.c gitproxy/keeper/confine.c base/proc.c base/landlock.c base/log.c base/audit.c base/bytes.c,-lseccomp -lcrypto -lpthread))
