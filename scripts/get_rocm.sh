#!/usr/bin/env bash
# Unpacks one ROCm release's hipRTC (no GPU, no root, nothing of the system touched) into a private folder.
#
#   scripts/get_rocm.sh 7.2|6.4 [FOLDER]   default FOLDER: ${XDG_DATA_HOME:-~/.local/share}/mla-tune/rocm-RELEASE
#   scripts/get_rocm.sh --llvm [FOLDER]    LLVM's disassembler and scheduling model, for the cycle estimates
#   scripts/get_rocm.sh --mirror           prints the mirror that would be used
#
# The packages are Debian's own. MLA_TUNE_DEBIAN_MIRROR names the mirror; without it the machine's apt sources do.
# The folder appears in one rename when it is complete, so an interrupted download leaves nothing half unpacked.
set -euo pipefail

fail() { echo "get_rocm: $*" >&2; exit 1; }

install_rocm="install ROCm 6.4 or newer from AMD instead: its hipRTC is found in /opt/rocm, in \$ROCM_PATH and on the loader's path"

# Addresses of the Debian archive in this machine's apt sources, best first.
mirrors_in_sources() {
  # What apt itself says, once it has seen the archives (Label tells the security archive, which lacks sid).
  apt-get indextargets --format '$(LABEL) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null \
    | awk '$1 == "Debian" && $2 == "Debian" { print $3 }'
  # Before the first `apt-get update` no label is known: read the files. Both formats, comments skipped.
  local etc="${MLA_TUNE_APT_ETC:-/etc/apt}"  # the variable is for the tests
  cat "$etc/sources.list" "$etc"/sources.list.d/*.list 2>/dev/null \
    | sed -n -E 's/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]*)?([^[:space:]]+)[[:space:]]+.*/\2/p' \
    | grep -v -i security | grep -i debian || true
  cat "$etc"/sources.list.d/*.sources 2>/dev/null | grep -v '^#' \
    | awk 'tolower($1) == "uris:" { on = 1; $1 = "" } /^[^ \t]*:/ && tolower($0) !~ /^uris:/ && $1 != "" { on = 0 }
           on { for (i = 1; i <= NF; i++) print $i }' \
    | grep -v -i security | grep -i debian || true
}

find_mirror() {
  if [ -n "${MLA_TUNE_DEBIAN_MIRROR:-}" ]; then
    echo "$MLA_TUNE_DEBIAN_MIRROR"
    return
  fi
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "this machine is not Debian; $install_rocm"
  local id
  id=$(. /etc/os-release 2>/dev/null && echo "${ID:-}") || true
  [ "$id" = debian ] || fail "this machine is not Debian (${id:-unknown}); $install_rocm. To use Debian's packages all the \
same, install debian-archive-keyring and set MLA_TUNE_DEBIAN_MIRROR to a mirror of Debian"
  local found
  found=$(mirrors_in_sources)
  found=${found%%$'\n'*}
  [ -n "$found" ] || fail "this machine's apt sources name no Debian mirror: set MLA_TUNE_DEBIAN_MIRROR to one and run again"
  echo "$found"
}

case "${1:-}" in
  7.2)
    suites="unstable experimental"
    packages="libhiprtc7 libhiprtc-builtins7 libamdhip64-7 libamdhip64-dev"
    proof="usr/lib/x86_64-linux-gnu/libhiprtc.so.7"
    identifies=libhiprtc7
    size="66 MB, 300 MB unpacked"
    name=rocm-7.2 ;;
  6.4)
    suites="unstable"
    packages="libhiprtc6 libamdhip64-6"
    proof="usr/lib/x86_64-linux-gnu/libhiprtc.so.6"
    identifies=libhiprtc6
    size="60 MB, 290 MB unpacked"
    name=rocm-6.4 ;;
  --llvm)
    suites="unstable"
    packages="llvm-22 libllvm22 llvm-22-linker-tools"
    proof="usr/bin/llvm-mca-22"
    identifies=
    size="60 MB"
    name=llvm-22 ;;
  --mirror) find_mirror; exit ;;
  *) fail "usage: get_rocm.sh 7.2|6.4|--llvm [FOLDER] (other releases: $install_rocm)" ;;
esac
[ -n "${2:-}${XDG_DATA_HOME:-}${HOME:-}" ] || fail "HOME is not set: name the folder to unpack into"
root="${2:-${XDG_DATA_HOME:-$HOME/.local/share}/mla-tune/$name}"
[ -e "$root/$proof" ] && exit 0

mirror=$(find_mirror)
[ "$(dpkg --print-architecture)" = amd64 ] || fail "Debian's ROCm packages are used on amd64 alone; $install_rocm"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"

mkdir -p "$(dirname "$root")" || fail "cannot make $(dirname "$root"): set XDG_DATA_HOME to a folder of yours"
# Two runs at once: the second waits, then finds the folder.
exec 9> "$root.lock"
flock 9
[ -e "$root/$proof" ] && exit 0

work="$root.partial"
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/apt/{etc/preferences.d,lists/partial,cache/archives/partial,log} "$work/root"
work=$(cd "$work" && pwd)  # apt wants absolute paths
: > "$work/apt/status"
for suite in $suites; do
  # target: not the file lists and icons that a desktop's apt would fetch for every source.
  echo "deb [arch=amd64 target=Packages pdiffs=no signed-by=$keyring] $mirror $suite main"
done > "$work/apt/etc/sources.list"
cat > "$work/apt/etc/preferences" <<PINS
Package: libamd-comgr* libamdhip* libhiprtc* libhsa* hipcc* rocm* librocm*
Pin: release a=experimental
Pin-Priority: 990

Package: *
Pin: release a=unstable
Pin-Priority: 600
PINS
# Signatures are checked; their expiry is not, so that a mirror that stands still (a snapshot, an offline copy) will do.
apt=(apt-get -q -y -o Acquire::Check-Valid-Until=false
  -o "Dir::Etc::sourcelist=$work/apt/etc/sources.list" -o "Dir::Etc::sourceparts=/dev/null"
  -o "Dir::Etc::preferences=$work/apt/etc/preferences" -o "Dir::Etc::preferencesparts=/dev/null"
  -o "Dir::State=$work/apt" -o "Dir::State::lists=$work/apt/lists" -o "Dir::State::status=$work/apt/status"
  -o "Dir::Cache=$work/apt/cache" -o "Dir::Cache::archives=$work/apt/cache/archives" -o "Dir::Log=$work/apt/log"
  -o APT::Architecture=amd64 -o APT::Architectures=amd64
  -o APT::Install-Recommends=false -o APT::Get::AllowUnauthenticated=false -o APT::Keep-Downloaded-Packages=true
  -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 -o Debug::NoLocking=true)
run() { "$@" > "$work/log" 2>&1 9>&-; }
explain() { tail -n 20 "$work/log" >&2; fail "$@"; }

echo "get_rocm: fetching $name ($size) into $root"
other=$([ "${1:-}" = 7.2 ] && echo 6.4 || echo 7.2)
run "${apt[@]}" update \
  || explain "cannot read the suites ($suites) of $mirror: check the network, or set MLA_TUNE_DEBIAN_MIRROR to another mirror"
run "${apt[@]}" --simulate install $packages \
  || explain "Debian's $suites no longer offers $packages: choose the other release (make tune ROCM=$other), or $install_rocm"
run "${apt[@]}" --download-only install $packages \
  || explain "the download from $mirror failed: check the network and the free space of $(dirname "$root"), then run again"
if [ -n "$identifies" ]; then
  version=$(find "$work/apt/cache/archives" -maxdepth 1 -name "${identifies}_*.deb" -printf '%f\n' | cut -d_ -f2)
  case "$version" in
    "$1".*) ;;
    *) fail "Debian's $suites now offers $identifies $version, no longer $1: choose the other release \
(make tune ROCM=$other), name a mirror that still has it in MLA_TUNE_DEBIAN_MIRROR, or $install_rocm" ;;
  esac
fi
for deb in "$work"/apt/cache/archives/*.deb; do
  run dpkg -x "$deb" "$work/root" || explain "cannot unpack $(basename "$deb"): is the disk full?"
  basename "$deb"
done > "$work/packages.txt"
[ -e "$work/root/$proof" ] || fail "the packages unpacked, but $proof is not among them"
# What exactly was unpacked, for the toolchain's identity and for a bug report.
mv "$work/packages.txt" "$work/root/packages.txt"
rm -rf "$root"
mv "$work/root" "$root"
echo "get_rocm: $name is in $root"
