#!/usr/bin/env bash
# Tunes every arch with every release into one database, compares the first release with the last, and writes the report
# beside the database. What is done already is not done again.
#
#   scripts/release_matrix.sh MLA_TUNE DB SHAPES CODE_OBJECTS "gfx950 gfx942" "6.4 7.2"
#
# Releases from old to new. Exits 0 whatever the report found; `mla-tune report` is what CI asks for a verdict.
set -euo pipefail
[ $# -eq 6 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mla_tune=$1 db=$2 shapes=$3 code_objects=$4
read -r -a archs <<< "$5"
read -r -a releases <<< "$6"
[ "${#releases[@]}" -ge 2 ] || { echo "release_matrix.sh: name two releases or more" >&2; exit 2; }
mkdir -p "$(dirname "$db")"
for release in "${releases[@]}"; do "$(dirname "$0")/ensure_rocm.sh" "$release"; done

# What a busy machine let hang must not stand as broken: it is tried again.
tune() {
  "$mla_tune" tune --arch "$1" --rocm "$2" --shapes "$shapes" --db "$db" --code-objects "$code_objects" --retry
}
for arch in "${archs[@]}"; do
  for release in "${releases[@]}"; do tune "$arch" "$release"; done
  # Once more: each release tries what has since won with a later one.
  for release in "${releases[@]:0:${#releases[@]}-1}"; do tune "$arch" "$release"; done
done

report=${db%.db}
code=0
"$mla_tune" report --db "$db" --baseline "rocm-${releases[0]}" --candidate "rocm-${releases[-1]}" \
  --html "$report.html" --md "$report.md" --json "$report.json" --junit "$report.junit.xml" || code=$?
case $code in 0 | 3 | 4) ;; *) exit "$code" ;; esac
echo "Database: $db"
