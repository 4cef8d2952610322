#!/usr/bin/env bash
# An installation that is looked at from elsewhere: the program finds its data, the Python package its library.
#
#   install_test.sh CMAKE BUILD_FOLDER [PYTHON]
set -euo pipefail
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
"$1" --install "$2" --prefix "$prefix" > /dev/null
unset MLA_DISPATCH_LIBRARY PYTHONPATH
cd /

"$prefix/bin/mla-tune" space --arch gfx950 > /dev/null
for program in mla-compile-helper mla-host-worker; do test -x "$prefix/bin/$program"; done
test -r "$prefix/include/mla_dispatch.h"

[ -n "${3:-}" ] || exit 0
package=$(dirname "$(find "$prefix" -path "*/mla_tune/__init__.py")")
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$(dirname "$package") "$3" - "$prefix" << 'END'
import sys
from mla_tune import Dispatcher, DispatchError, __file__ as where

assert where.startswith(sys.argv[1]), where
try:
    Dispatcher("/nowhere/tuning.db", arch="gfx950")
except DispatchError as error:  # what the library says, not that there is none
    assert "does not exist" in str(error), error
else:
    raise SystemExit("a database that is not there was opened")
END
