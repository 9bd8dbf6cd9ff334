#!/bin/sh
# apt-install.sh PACKAGE... - install what is missing on a Debian machine, and start nothing
#
# Theory of operation: what dpkg has is not asked for again, so that with everything there neither root
# nor a network is needed. The rest is installed without recommended packages and under a policy-rc.d
# that forbids starting services; one that the administrator has is put back, on every way out. What a
# package would have started at the next boot is disabled too.
set -eu

missing() {
	for package; do
		state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=
		[ "$state" = installed ] || printf '%s ' "$package"
	done
}

if ! command -v dpkg-query >/dev/null; then
	echo "apt-install: this is not Debian; see that these (or their like) are installed: $*" >&2
	exit 0
fi
wanted=$(missing "$@")
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "apt-install: missing: $wanted- install them as root: sudo make deps test-deps" >&2
	exit 1
fi

rc=/usr/sbin/policy-rc.d
saved=
wants() {
	find /etc/systemd/system -path '*.wants/*' 2>/dev/null | sort
}
restore() {
	if [ -n "$saved" ]; then mv -f "$saved" "$rc"; else rm -f "$rc"; fi
}
if [ -e "$rc" ] || [ -L "$rc" ]; then
	saved=$rc.cordon-saved
	mv -f "$rc" "$saved"
fi
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
printf '#!/bin/sh\nexit 101\n' >"$rc"
chmod 755 "$rc"

export DEBIAN_FRONTEND=noninteractive
get() {
	apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}
echo "installing: $wanted"
before=$(wants)
# shellcheck disable=SC2086 # a list of words
if ! get install -y --no-install-recommends $wanted 2>/dev/null; then	# no lists yet, or stale ones
	get update
	get install -y --no-install-recommends $wanted
fi
wants | while read -r link; do
	case $before in
	*"$link"*) ;;
	*) rm -f "$link" && echo "not enabled: ${link##*/}" ;;
	esac
done
