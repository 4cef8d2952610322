#!/usr/bin/env bash
# The binaries named as arguments need nothing but the C library's family at run time.
#
#   needed_test.sh [--with LIBRARY] BINARY...
set -euo pipefail

command -v readelf > /dev/null || { echo "readelf (binutils) is not here"; exit 77; }
allowed=
[ "$1" != --with ] || { allowed=$2; shift 2; }
status=0
for binary in "$@"; do
  while read -r library; do
    case $library in
      libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | ld-linux-*) ;;
      "${allowed:-none}") ;;
      *) echo "$binary needs $library"; status=1 ;;
    esac
  done < <(readelf -d "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
done
exit $status
