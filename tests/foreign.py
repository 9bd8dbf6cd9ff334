"""foreign - what other software on a host puts into netfilter and the routing rules

Theory of operation: each is written from what the software really loads, cut to what a packet of a sandbox
can meet: hooks, priorities, chain names, marks and verdicts are the software's. What iptables loads stands
as iptables-restore reads it, so that the kernel gets the same (xt) matches and targets. Software.load()
puts it into a space, unload() takes it out again.
"""

from dataclasses import dataclass


@dataclass
class Software:
    """iptables, ip6tables: text for the restore programs; nft: text for nft -f; ip: lines for ip(8)."""
    iptables: str = ""
    ip6tables: str = ""
    nft: str = ""
    ip: tuple = ()
    unload_ip: tuple = ()

    def load(self, space):
        for program, text in (("iptables-restore", self.iptables), ("ip6tables-restore", self.ip6tables)):
            if text:
                space.run([program, "-n"], input=text, check=True)
        if self.nft:
            space.run(["nft", "-f", "-"], input=self.nft, check=True)
        self._ip(space, self.ip)

    def unload(self, space):
        """Every table but Cordon's goes, and the lines of ip are undone."""
        for line in space.run(["nft", "list", "tables"], check=True).stdout.splitlines():
            if not line.endswith(" cordon"):
                space.run(["nft", "delete", *line.split()], check=True)
        self._ip(space, self.unload_ip)

    @staticmethod
    def _ip(space, lines):
        for line in lines:
            space.run(["ip", *line.split()], check=True)


# Docker 28 with the iptables backend: it sets the policy of FORWARD to drop.
DOCKER = Software(iptables="""
*raw
:PREROUTING ACCEPT
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP
:DOCKER -
:DOCKER-BRIDGE -
:DOCKER-CT -
:DOCKER-FORWARD -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
""", ip6tables="""
*filter
:FORWARD DROP
:DOCKER-FORWARD -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
COMMIT
""")

# firewalld 1.3, default zone public: forwards nothing, lets in ssh, checks IPv6 sources.
FIREWALLD = Software(nft="""
table inet firewalld {
	chain raw_PREROUTING {
		type filter hook prerouting priority raw + 10; policy accept;
		icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
		meta nfproto ipv6 fib saddr . mark . iif oif missing drop
	}
	chain mangle_PREROUTING {
		type filter hook prerouting priority mangle + 10; policy accept;
	}
	chain nat_PREROUTING {
		type nat hook prerouting priority dstnat + 10; policy accept;
	}
	chain nat_POSTROUTING {
		type nat hook postrouting priority srcnat + 10; policy accept;
	}
	chain filter_IN_public {
		tcp dport 22 accept
	}
	chain filter_INPUT_ZONES {
		iifname "up0" goto filter_IN_public
		goto filter_IN_public
	}
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_FWD_public {
	}
	chain filter_FORWARD_ZONES {
		iifname "up0" goto filter_FWD_public
		goto filter_FWD_public
	}
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		jump filter_FORWARD_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_OUTPUT {
		type filter hook output priority filter + 10; policy accept;
		ct state { established, related } accept
		oifname "lo" accept
	}
}
""")

# The same with the sandboxes' interfaces in zone trusted, as `cordon doctor` advises.
FIREWALLD_TRUSTED = Software(nft=FIREWALLD.nft.replace(
    '\t\tiifname "up0" goto filter_', '\t\tiifname "tap*" accept\n\t\toifname "tap*" accept\n\t\tiifname "up0" goto filter_'
).replace('\t\toifname "tap*" accept\n\t\tiifname "up0" goto filter_IN', '\t\tiifname "up0" goto filter_IN'))

# libvirt's default network, as its iptables backend and as its nftables backend load it.
LIBVIRT = Software(iptables="""
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:LIBVIRT_INP -
:LIBVIRT_FWI -
:LIBVIRT_FWO -
:LIBVIRT_FWX -
-A INPUT -j LIBVIRT_INP
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
COMMIT
""", nft="""
table ip libvirt_network {
	chain guest_output {
		iifname "virbr0" reject
	}
	chain guest_input {
		oifname "virbr0" reject
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		jump guest_input
		jump guest_output
	}
	chain guest_nat {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade
	}
}
""")

# kube-proxy (iptables mode) and kubelet: marks 0x4000 and 0x8000.
KUBE = Software(iptables="""
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-MARK-MASQ -
:KUBE-NODEPORTS -
:KUBE-POSTROUTING -
:KUBE-SEP-A -
:KUBE-SERVICES -
:KUBE-SVC-A -
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30443 -j KUBE-SVC-A
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SEP-A -s 10.244.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.5:8443
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-A
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-A ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -j KUBE-SEP-A
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-FIREWALL -
:KUBE-FORWARD -
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
""")

# Tailscale as a subnet router: marks 0x40000 and 0x80000 of 0xff0000, kept with the connection; table 52.
_TAILSCALE = """
*mangle
:PREROUTING ACCEPT
:OUTPUT ACCEPT
-A PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000
-A OUTPUT -m conntrack --ctstate NEW -m mark ! --mark 0x0/0xff0000 -j CONNMARK --save-mark --nfmask 0xff0000 --ctmask 0xff0000
COMMIT
*nat
:POSTROUTING ACCEPT
:ts-postrouting -
-A POSTROUTING -j ts-postrouting
-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:ts-forward -
:ts-input -
-A INPUT -j ts-input
-A FORWARD -j ts-forward
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -o tailscale0 -j ACCEPT
-A ts-input -i tailscale0 -j ACCEPT
COMMIT
"""
_TAILSCALE_RULES = ("pref 5210 fwmark 0x80000/0xff0000 lookup main", "pref 5230 fwmark 0x80000/0xff0000 lookup default",
                    "pref 5250 fwmark 0x80000/0xff0000 unreachable", "pref 5270 lookup 52")
TAILSCALE = Software(
    iptables=_TAILSCALE, ip6tables=_TAILSCALE,
    ip=("route add 100.100.100.100/32 dev lo table 52",
        *(f"{v} rule add {r}" for v in ("-4", "-6") for r in _TAILSCALE_RULES)),
    unload_ip=("route flush table 52", *(f"{v} rule del {r}" for v in ("-4", "-6") for r in _TAILSCALE_RULES)))

# Calico with iptables: clears and sets bits 16-19 in raw and mangle, accepts what is established.
_CALICO = """
*raw
:PREROUTING ACCEPT
:cali-PREROUTING -
-A PREROUTING -j cali-PREROUTING
-A cali-PREROUTING -j MARK --set-xmark 0x0/0xf0000
-A cali-PREROUTING -i cali+ -j MARK --set-xmark 0x40000/0x40000
-A cali-PREROUTING -m mark --mark 0x40000/0x40000 -j DROP
-A cali-PREROUTING -m mark --mark 0x10000/0x10000 -j ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT
:POSTROUTING ACCEPT
:cali-PREROUTING -
:cali-POSTROUTING -
-A PREROUTING -j cali-PREROUTING
-A POSTROUTING -j cali-POSTROUTING
-A cali-PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-PREROUTING -j MARK --set-xmark 0x10000/0x10000
-A cali-PREROUTING -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-POSTROUTING -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-POSTROUTING -j MARK --set-xmark 0x0/0xf0000
COMMIT
*filter
:FORWARD ACCEPT
:cali-FORWARD -
-A FORWARD -j cali-FORWARD
-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -i cali+ -j DROP
-A cali-FORWARD -j MARK --set-xmark 0x10000/0x10000
COMMIT
"""
CALICO = Software(iptables=_CALICO, ip6tables=_CALICO)

# A router with several uplinks: the whole mark is kept with the connection and given back.
_CONNMARK = """
*mangle
:PREROUTING ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -j CONNMARK --restore-mark
-A PREROUTING -m mark ! --mark 0 -j ACCEPT
-A POSTROUTING -j CONNMARK --save-mark
COMMIT
"""
CONNMARK = Software(iptables=_CONNMARK, ip6tables=_CONNMARK)

# Translation without a look at whose packets they are: an intercepting proxy, a resolver for the network.
NAT = Software(nft="""
table inet everything {
	chain pre {
		type nat hook prerouting priority dstnat - 5; policy accept;
		iifname != "up0" meta nfproto ipv4 meta l4proto { tcp, udp } th dport 53 dnat ip to 93.184.216.53
		iifname != "up0" meta nfproto ipv6 meta l4proto { tcp, udp } th dport 53 dnat ip6 to 2606:2800:220:1::53
		iifname != "up0" tcp dport { 80, 443 } redirect to :3128
	}
	chain post {
		type nat hook postrouting priority srcnat - 5; policy accept;
		masquerade
	}
}
""")

MASQUERADE = Software(nft="""
table inet everything {
	chain post {
		type nat hook postrouting priority srcnat - 5; policy accept;
		masquerade
	}
}
""")

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def every_hook(priorities, statement="accept", hooks=HOOKS):
    """A table with this statement in every hook at these priorities."""
    chains = [f"\tchain {hook}{n} {{\n\t\ttype filter hook {hook} priority {p}; policy accept;\n\t\t{statement}\n\t}}"
              for hook in hooks for n, p in enumerate(sorted(priorities))]
    return Software(nft="table inet every {\n" + "\n".join(chains) + "\n}\n")
