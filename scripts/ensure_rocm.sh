#!/usr/bin/env bash
# Makes sure that hipRTC of a release is there: a ROCm install of that release is used, otherwise Debian's packages are
# unpacked into a private folder (get_rocm.sh).
#
#   scripts/ensure_rocm.sh 7.2|6.4
set -euo pipefail
release="${1:?usage: ensure_rocm.sh 7.2|6.4}"
for root in /opt/rocm "${ROCM_PATH:-}"; do
  if [ -n "$root" ] && [ -r "$root/.info/version" ] && [[ "$(cat "$root/.info/version")" == "$release"* ]] \
     && compgen -G "$root/lib/libhiprtc.so*" > /dev/null; then
    exit 0
  fi
done
exec "$(dirname "$0")/get_rocm.sh" "$release"
