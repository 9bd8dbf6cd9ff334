# The ruleset, its elements, and the routing below it.
NFT_SRC := nft/ruleset.c nft/element.c nft/element_expr.c nft/set_dump.c nft/refused.c nft/batch.c \
	   nft/queue_rule.c nft/watch.c nft/rtnl.c nft/firewall.c nft/uplinks.c nft/sysctl.c nft/offload.c \
	   nft/offload_program.c
NFT_LIB := -lnftnl -lmnl -lnftables -lbpf

$(B)/obj/nft/firewall.o: nft/cordon.nft		# compiled in
