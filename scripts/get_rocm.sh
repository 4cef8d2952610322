#!/usr/bin/env bash
# Unpacks one ROCm release's hipRTC (no GPU, no root, nothing of the system touched) into a private folder.
#
#   scripts/get_rocm.sh 7.2|6.4 [FOLDER]        default FOLDER: ${XDG_DATA_HOME:-~/.local/share}/mla-tune/rocm-RELEASE
#   scripts/get_rocm.sh --llvm [FOLDER]         LLVM's disassembler and scheduling model, for the cycle estimates
#
# The packages are Debian's own. MLA_TUNE_DEBIAN_MIRROR names the mirror; without it the machine's apt sources do.
# The folder appears in one rename when it is complete, so an interrupted download leaves nothing half unpacked.
set -euo pipefail

fail() { echo "get_rocm: $*" >&2; exit 1; }

case "${1:-}" in
  7.2)
    suites="unstable experimental"
    packages="libhiprtc7 libhiprtc-builtins7 libamdhip64-7 libamdhip64-dev"
    proof="usr/lib/x86_64-linux-gnu/libhiprtc.so.7"
    name=rocm-7.2 ;;
  6.4)
    suites="unstable"
    packages="libhiprtc6 libamdhip64-6"
    proof="usr/lib/x86_64-linux-gnu/libhiprtc.so.6"
    name=rocm-6.4 ;;
  --llvm)
    suites="unstable"
    packages="llvm-22 libllvm22 llvm-22-linker-tools"
    proof="usr/bin/llvm-mca-22"
    name=llvm-22 ;;
  *) fail "usage: get_rocm.sh 7.2|6.4|--llvm [FOLDER]" ;;
esac
root="${2:-${XDG_DATA_HOME:-$HOME/.local/share}/mla-tune/$name}"
[ -e "$root/$proof" ] && exit 0

[ -r /etc/debian_version ] || command -v apt-get >/dev/null \
  || fail "this machine is not Debian: install ROCm 6.4 or newer from AMD (its hipRTC is found in /opt/rocm or \$ROCM_PATH)"

mirror="${MLA_TUNE_DEBIAN_MIRROR:-}"
if [ -z "$mirror" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null \
    | awk '$2 == "Debian" { print $1; exit }')
  # Before the first `apt-get update` no origin is known: read the sources themselves.
  [ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null \
    | grep -v '^ *#' | grep -v -i security | grep -o -E '(https?|file|mirror[+a-z]*)://[^ ]*/debian/?( |$)' | head -n 1 | tr -d ' ') || true
fi
[ -n "$mirror" ] || fail "no Debian mirror in this machine's apt sources: set MLA_TUNE_DEBIAN_MIRROR to one and run again"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"

mkdir -p "$(dirname "$root")"
# Two runs at once: the second waits, then finds the folder.
exec 9> "$root.lock"
flock 9
[ -e "$root/$proof" ] && exit 0

work="$root.partial"
rm -rf "$work"
mkdir -p "$work"/apt/{etc/preferences.d,lists/partial,cache/archives/partial} "$work/root"
trap 'rm -rf "$work"' EXIT
: > "$work/apt/status"
for suite in $suites; do
  echo "deb [signed-by=$keyring] $mirror $suite main"
done > "$work/apt/etc/sources.list"
cat > "$work/apt/etc/preferences" <<PINS
Package: libamd-comgr* libamdhip* libhiprtc* libhsa* hipcc* rocm* librocm*
Pin: release a=experimental
Pin-Priority: 990

Package: *
Pin: release a=unstable
Pin-Priority: 600
PINS
apt=(apt-get -q -y
  -o "Dir::Etc::sourcelist=$work/apt/etc/sources.list" -o "Dir::Etc::sourceparts=/dev/null"
  -o "Dir::Etc::preferences=$work/apt/etc/preferences" -o "Dir::Etc::preferencesparts=/dev/null"
  -o "Dir::State=$work/apt" -o "Dir::State::lists=$work/apt/lists" -o "Dir::State::status=$work/apt/status"
  -o "Dir::Cache=$work/apt/cache" -o "Dir::Cache::archives=$work/apt/cache/archives"
  -o APT::Install-Recommends=false -o APT::Get::AllowUnauthenticated=false
  -o APT::Sandbox::User=root -o Acquire::Languages=none -o Debug::NoLocking=true)
"${apt[@]}" update > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "cannot read $mirror: check the network or set MLA_TUNE_DEBIAN_MIRROR"; }
if ! "${apt[@]}" -d install $packages > "$work/log" 2>&1; then
  cat "$work/log" >&2
  fail "Debian's $suites no longer offers ($packages): install ROCm from AMD, or choose the other release (make tune ROCM=6.4 or 7.2)"
fi
find "$work/apt/cache/archives" -maxdepth 1 -name '*.deb' -print0 | while IFS= read -r -d '' deb; do
  dpkg -x "$deb" "$work/root"
done
[ -e "$work/root/$proof" ] || fail "the packages unpacked, but $proof is not among them"
# What exactly was unpacked, for the toolchain's identity and for a bug report.
find "$work/apt/cache/archives" -maxdepth 1 -name '*.deb' -printf '%f\n' | sort > "$work/root/packages.txt"
rm -rf "$root"
mv "$work/root" "$root"
echo "get_rocm: $name is in $root"
