#!/bin/sh
# apt-install.sh PACKAGE... - install what is missing on a Debian machine, and start nothing
#
# Theory of operation: what dpkg has is not asked for again, so that with everything there neither root
# nor a network is needed. The rest is installed without recommended packages and under a policy-rc.d
# that forbids starting services (sshd is a program of the tests here, not a way into the machine); one
# that the administrator has is put back. What a package would have started at the next boot is disabled:
# links that have appeared below /etc/systemd/system go, and scripts of /etc/init.d are not to start. All
# of that on every way out, also when the installation failed half way; and a policy-rc.d that a killed run
# left behind is known by its mark.
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
saved=$rc.cordon-saved
mark='# of cordon, while it installs'
links() {					# what makes something start at boot
	find /etc/systemd/system -type l 2>/dev/null || :
	find /etc/rc[2-5].d -name 'S*' 2>/dev/null || :
}
disable() {
	[ -L "$1" ] || return 0			# gone with another
	case $1 in
	/etc/systemd/*) rm -f "$1" ;;
	*) update-rc.d "${1##*/S[0-9][0-9]}" disable >/dev/null 2>&1 || rm -f "$1" ;;
	esac
	echo "not enabled: ${1##*/}"
}
ours() {
	[ -f "$rc" ] && grep -qxF "$mark" "$rc"
}
leave() {
	status=$?
	trap '' INT TERM HUP
	links | while read -r link; do
		printf '%s\n' "$before" | grep -qxF "$link" || disable "$link"
	done
	if [ -e "$saved" ] || [ -L "$saved" ]; then
		mv -f "$saved" "$rc"
	elif ours; then
		rm -f "$rc"
	fi
	exit $status
}
before=$(links)
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if ! ours && { [ -e "$rc" ] || [ -L "$rc" ]; }; then
	mv -f "$rc" "$saved"
fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$rc"
chmod 755 "$rc"

export DEBIAN_FRONTEND=noninteractive
get() {
	apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}
echo "installing: $wanted"
# shellcheck disable=SC2086 # a list of words
if ! get install -y --no-install-recommends $wanted 2>/dev/null; then	# no lists yet, or stale ones
	get update
	get install -y --no-install-recommends $wanted
fi
