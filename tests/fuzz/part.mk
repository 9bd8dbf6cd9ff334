# Fuzzers. One line each: $(eval $(call fuzzer,THING,SOURCES,LIBRARIES)) builds from
# tests/fuzz/fuzz_THING.c and the sources it names
#   fuzz_THING    with libFuzzer (clang; `make fuzz`)
#   replay_THING  with replay.c, a plain main() that puts every file it is given through the same function
# The corpus is tests/fuzz/corpus/THING/: small files, made by hand or kept from a finding.
FUZZLINK := -fsanitize=fuzzer

define fuzzer
$(if $(filter fuzz_$(1),$(FUZZERS)),$(error two fuzzers are called $(1)))
FUZZERS += fuzz_$(1)
REPLAYS += replay_$(1)
fuzz_$(1)_SRC := tests/fuzz/fuzz_$(1).c $(2)
fuzz_$(1)_LIB := $(3)
replay_$(1)_SRC := tests/fuzz/replay.c $$(fuzz_$(1)_SRC)
replay_$(1)_LIB := $(3)
endef

$(eval $(call fuzzer,ipc,base/ipc.c base/msg.c,))
$(eval $(call fuzzer,bytes_escape,base/bytes.c,))
$(eval $(call fuzzer,dns_query,dns/message.c policy/name.c policy/known.c base/bytes.c base/addr.c,$(POLICY_LIB)))
$(eval $(call fuzzer,dns_answer,dns/upstream_answer.c dns/message.c policy/name.c policy/known.c base/bytes.c base/addr.c,$(POLICY_LIB)))
$(eval $(call fuzzer,packet,netd/packet.c base/addr.c,))
$(eval $(call fuzzer,policy,$(POLICY_SRC) base/addr.c base/bytes.c,$(POLICY_LIB)))
$(eval $(call fuzzer,name,policy/name.c policy/known.c base/addr.c base/bytes.c,-lidn2))
$(eval $(call fuzzer,http_rule,policy/http_rule.c base/bytes.c,))
$(eval $(call fuzzer,pkt,gitproxy/pkt.c base/bytes.c,))
$(eval $(call fuzzer,git_answer,gitproxy/git_answer.c gitproxy/pkt.c policy/reason.c base/bytes.c,))
$(eval $(call fuzzer,git_path,gitproxy/git_path.c base/bytes.c,))
$(eval $(call fuzzer,git_moved,gitproxy/git_moved.c gitproxy/git_path.c policy/name.c policy/known.c base/addr.c base/bytes.c,-lidn2))
$(eval $(call fuzzer,route,gitproxy/route.c policy/scope.c policy/name.c policy/known.c base/addr.c base/bytes.c,-lidn2 -lcrypto))
$(eval $(call fuzzer,fetch_request,$(MIRROR_FETCH) base/bytes.c,-lcrypto))
$(eval $(call fuzzer,ssh_v0,$(SSH_V0)))
$(eval $(call fuzzer,ls_refs,$(MIRROR_FETCH) base/bytes.c,-lcrypto))
$(eval $(call fuzzer,push_list,$(PUSH_COMMAND) base/ipc.c base/bytes.c,))
$(eval $(call fuzzer,push_request,$(MIRROR_PUSH) base/ipc.c base/bytes.c,))
$(eval $(call fuzzer,push_advert,$(MIRROR_PUSH) base/ipc.c base/bytes.c,))
$(eval $(call fuzzer,push_report,$(MIRROR_PUSH) base/ipc.c base/bytes.c,))
$(eval $(call fuzzer,advert,gitproxy/mirror/advert.c gitproxy/pkt.c gitproxy/oid.c base/bytes.c,))
$(eval $(call fuzzer,answer_check,$(MIRROR_ANSWER) base/bytes.c,-lcrypto))
$(eval $(call fuzzer,http_head,gitproxy/http_head.c base/bytes.c,))
$(eval $(call fuzzer,http_body,gitproxy/http_body.c,-lz))
$(eval $(call fuzzer,websocket,gitproxy/websocket.c gitproxy/http_head.c gitproxy/http_fields.c base/bytes.c,-lcrypto))
$(eval $(call fuzzer,http_fields,gitproxy/http_fields.c gitproxy/http_account.c gitproxy/http_location.c policy/name.c policy/known.c base/addr.c base/bytes.c,-lidn2))
$(eval $(call fuzzer,hello,netd/inspect/hello.c base/bytes.c,))
$(eval $(call fuzzer,tls_stream,netd/inspect/tls_stream.c,))
$(eval $(call fuzzer,flow,netd/inspect/flow.c netd/inspect/hello.c netd/inspect/tls_stream.c,))
$(eval $(call fuzzer,echo,gitproxy/keeper/echo.c gitproxy/keeper/echo_mixed.c base/bytes.c,-lcrypto))
$(eval $(call fuzzer,scan,$(SCAN_SRC) $(SCAN_DOC) base/bytes.c,$(SCAN_LIB)))
$(eval $(call fuzzer,scan_rules,gitproxy/scan/rules.c $(SCAN_DOC) base/bytes.c,-lyaml -lcrypto -lm))
