# The ruleset, its elements, and the routing below it.
NFT_SRC := nft/ruleset.c nft/rtnl.c nft/firewall.c
NFT_LIB := -lnftnl -lmnl -lnftables
