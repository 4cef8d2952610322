#!/usr/bin/env bash
# Installs the Debian packages that building, testing and tuning need, where they are missing. Root is needed for that
# alone: without it, sudo is asked on a terminal, otherwise the apt line is printed.
#
#   scripts/install_packages.sh [style]   style: also what `make lint` and `make format` need
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config git python3 python3-yaml
          libcli11-dev libsqlite3-dev libyaml-cpp-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
          libzstd-dev libxxhash-dev libsodium-dev libboost-context-dev libgtest-dev libgmock-dev libbenchmark-dev)
[ "${1:-}" != style ] || packages+=(clang-format clang-tidy shellcheck)

if ! command -v dpkg-query > /dev/null; then
  echo "This is not Debian: install the equivalents of these packages, then use cmake --preset release:" >&2
  echo "  ${packages[*]}" >&2
  for tool in g++ cmake ninja; do command -v $tool > /dev/null || exit 1; done
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install() {
  "$@" apt-get -q update > /dev/null
  DEBIAN_FRONTEND=noninteractive "$@" apt-get -q -y install --no-install-recommends "${missing[@]}" > /dev/null
}
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
  install env
elif [ -t 0 ] && command -v sudo > /dev/null; then
  install sudo
else
  echo "They are missing and need root. Run this, then the same make command again:" >&2
  echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
