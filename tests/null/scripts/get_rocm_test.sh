#!/usr/bin/env bash
# scripts/get_rocm.sh finds a machine's mirror in every spelling, and fails cleanly. Exits with 77 where it cannot be
# tested: get_rocm_test.sh PATH/TO/get_rocm.sh
set -u
script=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -q '^ID=debian' /etc/os-release 2>/dev/null || { echo "not a Debian machine"; exit 77; }
failures=0
check() {  # check WHAT EXPECTED ACTUAL
  case "$3" in
    *"$2"*) ;;
    *) echo "FAILED: $1: expected '$2' in '$3'"; failures=$((failures + 1)) ;;
  esac
}

# An apt that has not seen any archive yet: `indextargets` is silent.
mkdir -p "$work/bin" "$work/etc/sources.list.d"
printf '#!/bin/sh\n[ "$1" = indextargets ] && exit 0\necho "E: no network"; exit 100\n' > "$work/bin/apt-get"
chmod +x "$work/bin/apt-get"
mirror() {
  env -u MLA_TUNE_DEBIAN_MIRROR PATH="$work/bin:$PATH" MLA_TUNE_APT_ETC="$work/etc" "$@" bash "$script" --mirror 2>&1
}

check "no sources" "set MLA_TUNE_DEBIAN_MIRROR" "$(mirror)"
check "the user's word" "http://mine.example/d" "$(mirror MLA_TUNE_DEBIAN_MIRROR=http://mine.example/d)"
cat > "$work/etc/sources.list" <<'LIST'
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
deb [arch=amd64 signed-by=/some/key] http://one-line.example/debian/ bookworm main
deb http://later.example/debian bookworm main
LIST
check "one-line sources" "http://one-line.example/debian/" "$(mirror)"
rm "$work/etc/sources.list"
cat > "$work/etc/sources.list.d/debian.sources" <<'DEB822'
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security

Types: deb deb-src
# URIs: http://commented.example/debian
URIs:
  http://deb822.example/debian
Suites: bookworm
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
DEB822
check "deb822 sources" "http://deb822.example/debian" "$(mirror)"

[ -r /usr/share/keyrings/debian-archive-keyring.gpg ] || exit 77
said=$(PATH="$work/bin:$PATH" MLA_TUNE_DEBIAN_MIRROR=http://nowhere.invalid/debian bash "$script" 7.2 "$work/data/rocm" 2>&1)
check "a dead mirror's exit code" 1 "$?"
check "a dead mirror" "cannot read the suites (unstable experimental) of http://nowhere.invalid/debian" "$said"
check "what a failure leaves behind" "rocm.lock" "$(ls "$work/data")"
[ ! -e "$work/data/rocm" ] && [ ! -e "$work/data/rocm.partial" ] || check "leftovers" none "$(ls "$work/data")"
check "an unknown release" "usage" "$(bash "$script" 9.9 2>&1)"
[ "$failures" = 0 ]
