#!/bin/sh
# as-user.sh CMD... - run CMD as the user behind sudo where that one can write here, else as who we are
#
# So that `sudo make test` leaves a build tree that the user owns.
set -eu

if [ "$(id -u)" -eq 0 ] && [ "${SUDO_UID:-0}" -ne 0 ]; then
	user="setpriv --reuid=$SUDO_UID --regid=${SUDO_GID:-$SUDO_UID} --clear-groups"
	# shellcheck disable=SC2086 # a command line
	if $user test -w . && { [ ! -e build ] || $user test -w build; }; then
		exec $user "$@"
	fi
fi
exec "$@"
