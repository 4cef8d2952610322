#!/usr/bin/env bash
# A C program finds the installed library through CMake and through pkg-config, wherever it was put.
#
#   package_test.sh CMAKE BUILD_FOLDER PROGRAM_FOLDER
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
DESTDIR=$work/staged "$1" --install "$2" --prefix /opt/mla --component dispatch > /dev/null
mv "$work/staged/opt/mla" "$work/moved"  # packages are unpacked elsewhere than they were made
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$2/CMakeCache.txt")
pc=$(find "$work/moved" -name mla_dispatch.pc)
library=$(dirname "$(dirname "$pc")")

"$1" -S "$3" -B "$work/with-cmake" -DCMAKE_PREFIX_PATH="$work/moved" > "$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
"$1" --build "$work/with-cmake" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
test "$("$work/with-cmake/user")" = "$version"

PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
test "$(pkg-config --modversion mla_dispatch)" = "$version"
# shellcheck disable=SC2046
cc -std=c99 -Wall -Werror "$3/main.c" -o "$work/user" $(pkg-config --cflags --libs mla_dispatch)
test "$(LD_LIBRARY_PATH=$library "$work/user")" = "$version"
# The program needs the library by its soname, so that a later one of the same ABI serves it.
readelf -d "$work/user" | grep -q 'libmla_dispatch.so.0\]'
