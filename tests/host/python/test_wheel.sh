#!/usr/bin/env bash
# The wheel of the Python package: built by its own backend, unpacked elsewhere, it finds the library that
# $MLA_DISPATCH_LIBRARY names, or that lies beside it.
#
#   test_wheel.sh PYTHON_FOLDER INTERPRETER...     the first one that can build wheels does; exit code 77 if none can
set -euo pipefail
source=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for python; do
  "$python" -c 'import setuptools, wheel' 2> /dev/null && break
  python=
done
[ -n "$python" ] || { echo "setuptools and wheel (python3-wheel) are not here"; exit 77; }

cp -r "$source" "$folder/source"
cd "$folder/source"
"$python" -W ignore -c 'from setuptools.build_meta import build_wheel; build_wheel("..")' > "$folder/log" 2>&1 ||
  { cat "$folder/log"; exit 1; }
cd "$folder"
"$python" -m zipfile -e mla_tune-*-py3-none-any.whl unpacked
test -e unpacked/mla_tune/py.typed
test -e unpacked/mla_tune/vllm.py

try() {
  PYTHONPATH=unpacked "$python" - << 'END_OF_PROGRAM'
from mla_tune import Dispatcher, DispatchError
try:
    Dispatcher("/nowhere/tuning.db", arch="gfx950")
except DispatchError as error:  # what the library says, not that there is none
    assert "does not exist" in str(error), error
END_OF_PROGRAM
}
try
cp "$MLA_DISPATCH_LIBRARY" unpacked/mla_tune/libmla_dispatch.so
unset MLA_DISPATCH_LIBRARY
try
