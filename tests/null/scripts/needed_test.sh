#!/usr/bin/env bash
# The portable binaries named as arguments need nothing but the C library's family at run time.
set -euo pipefail

command -v readelf > /dev/null || { echo "readelf (binutils) is not here"; exit 77; }
status=0
for binary in "$@"; do
  while read -r library; do
    case $library in
      libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | ld-linux-*) ;;
      *) echo "$binary needs $library"; status=1 ;;
    esac
  done < <(readelf -d "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
done
exit $status
