#!/bin/sh
# Makes this checkout ready: Debian packages (scripts/apt-packages.txt), then .venv with the versions of constraints.txt.
# "setup.sh test" also installs what only tests and benchmarks run (scripts/apt-packages-test.txt): other people's readers of our files.
# Run again, it says what is there already and changes nothing.
set -eu
cd "$(dirname "$0")/.."

lists=scripts/apt-packages.txt
[ "${1:-}" = test ] && lists="$lists scripts/apt-packages-test.txt"

say() { echo "setup: $*" >&2; }
fail() {
	printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2
	exit 1
}

missing_packages() {
	# shellcheck disable=SC2086 # one word a list
	cat $lists | grep -v '^#' | while read -r package; do
		[ -z "$package" ] && continue
		status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) || status=
		case $status in ii*) ;; *) echo "$package" ;; esac
	done
}

install_packages() {
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || fail "packages are missing and there is no sudo: $*" "as root: apt-get install $*"
		as_root="sudo -n"
		$as_root true 2>/dev/null || as_root=sudo
	fi
	say "installing $*"
	apt_get() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >&2; }
	if ! find /var/lib/apt/lists -name '*Packages*' 2>/dev/null | grep -q .; then
		apt_get update
		apt_get install -y --no-install-recommends "$@"
	elif ! apt_get install -y --no-install-recommends "$@"; then
		say "the package lists may be old: fetching them"
		apt_get update
		apt_get install -y --no-install-recommends "$@"
	fi
}

command -v dpkg-query >/dev/null || fail "this is not Debian" "use Debian 12, or install what scripts/apt-packages.txt names"
missing=$(missing_packages)
if [ -z "$missing" ]; then
	say "all Debian packages are there"
else
	# shellcheck disable=SC2086 # one word a package
	install_packages $missing
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is older than 3.11" "use Debian 12 or later"

# environment FOLDER STAMP PIP-ARGUMENTS…: makes a Python environment where its stamp is not the one wanted.
environment() {
	folder=$1 wanted=$2
	shift 2
	if [ "$(cat "$folder/amiable-setup" 2>/dev/null)" = "$wanted" ]; then
		say "$folder is there"
		return
	fi
	if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
		say "making $folder"
		python3 -m venv --clear "$folder"
	fi
	say "installing Python packages in $folder"
	"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
	echo "$wanted" >"$folder/amiable-setup"
}

# The checkout's path belongs to the stamps: an editable installation, and programs' first lines, name it.
stamp() { { pwd && python3 --version && cat "$@"; } | sha256sum | cut -d ' ' -f 1; }

.venv/bin/python -c 'import amiable' 2>/dev/null || rm -f .venv/amiable-setup
environment .venv "$(stamp pyproject.toml constraints.txt)" --constraint constraints.txt --editable '.[dev]'

# Ansible is a program that the tests run, with an environment of its own: nothing of it is imported.
if [ "${1:-}" = test ]; then
	environment .venv-ansible "$(stamp scripts/ansible-requirements.txt)" --requirement scripts/ansible-requirements.txt
fi
