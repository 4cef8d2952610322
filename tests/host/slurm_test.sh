#!/usr/bin/env bash
# scripts/slurm on a real Slurm of one node: a matrix is tuned by an array job, a task is killed half way and queued again,
# and the merged database is what one run without shards finds. Exits with 77 where there is no Slurm.
#
#   slurm_test.sh MLA_TUNE SOURCE_FOLDER PYTHON
set -u
mla_tune=$1 source=$2 python=$3
# shellcheck source=tests/host/one_node_slurm.sh
. "$source/tests/host/one_node_slurm.sh"
work=$(mktemp -d /tmp/mla-slurm.XXXXXX)  # short: sockets have short names
chmod 755 "$work"  # munge asks for it
trap 'stop_slurm "$work/slurm"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"$python" -c 'import sqlite3, sys; sys.exit(sqlite3.sqlite_version_info < (3, 37))' 2> /dev/null ||
  { echo "skipped: python3 has no SQLite 3.37"; exit 77; }
start_slurm "$work/slurm" || { echo "skipped: Slurm: $slurm_trouble"; exit 77; }

fail() {
  echo "FAILED: $*"
  squeue
  tail -n +1 "$work"/out/logs/*.log
  exit 1
}
# The one value that a query gives.
ask() { "$python" - "$@" << 'END_PYTHON'
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print("\n".join(" ".join(map(str, row)) for row in db.execute(sys.argv[2])))
END_PYTHON
}
wait_for() {  # wait_for SECONDS WHAT COMMAND...
  local seconds=$1 what=$2 turn
  shift 2
  for ((turn = 0; turn < seconds * 5; turn++)); do
    "$@" && return
    sleep 0.2
  done
  fail "waited ${seconds} s for $what"
}

cp -r "$source/configs" "$source/templates" "$work"
cat > "$work/few.yaml" << 'SHAPES'
kernel: sparse_mla_decode
problems:
  - {heads: 16, tokens: 1, main_len: 64, extra_len: 64, extra_page: 64}
  - {heads: 16, tokens: 8, main_len: 64}
  - {heads: 16, tokens: 64, main_len: 64, extra_len: 640, extra_page: 2}
SHAPES
sed 's/heads: 16/heads: 32/' "$work/few.yaml" > "$work/more.yaml"
options="--device none --jobs 1 --code-objects 10 --configs $work/configs --templates $work/templates"
cat > "$work/matrix.txt" << MATRIX
# arch release shapes shards
host - few.yaml  2 $options
host - more.yaml 1 $options
MATRIX

echo "--- a matrix that makes no sense is refused, and nothing is submitted"
refused() {
  local said
  printf '%s\n' "$1" > "$work/bad.txt"
  said=$("$source/scripts/slurm/submit.sh" "$work/bad.txt" "$work/bad" 2>&1) && fail "accepted: $1"
  case $said in *"$2"*) ;; *) fail "'$1' is refused with: $said" ;; esac
}
refused "host - few.yaml" "write ARCH RELEASE SHAPES SHARDS"
refused "host - few.yaml 0" "no number of shards"
refused "host - none.yaml 2" "cannot read the shapes"
refused $'host - few.yaml 2\nhost - few.yaml 3' "line 1 has the same"
refused "# nothing" "has no rows"
[ -z "$(squeue --noheader)" ] || fail "something was submitted"

echo "--- submitted"
submit() { "$source/scripts/slurm/submit.sh" --program "$mla_tune" "$@" "$work/matrix.txt" "$work/out"; }
submit --scratch "$work/scratch" --save 1 || fail "submit.sh"
array=$(squeue --noheader --array --name=mla-tune --format=%F | head -n 1)
merge=$(squeue --noheader --name=mla-merge --format=%i)
victim=$work/scratch/host---few-1of2.db
half_way() { [ -f "$victim" ] && [ "$(ask "$victim" 'SELECT count(*) FROM code_objects' 2> /dev/null || echo 0)" -ge 2 ]; }
wait_for 60 "the first task to compile something" half_way
running=$(pgrep -f "mla-tune tune .*--db $victim") || fail "nothing to kill: it was too quick"
kill -9 "$running"
squeue --array
compiled='SELECT key, compile_seconds FROM code_objects ORDER BY key'
before=$(ask "$victim" "$compiled")
echo "--- killed with $(wc -l <<< "$before") code objects stored; Slurm queues it again"
queued_again() { [ "$(squeue --noheader --array --job="${array}_0" --format=%T)" = PENDING ]; }
wait_for 60 "the task to be queued again" queued_again
echo "--- it may start on another node: what the first one had on its own disk is gone"
rm -f "$victim" "$victim"-*
restarted() {
  scontrol update jobid="${array}_0" StartTime=now 2> /dev/null  # without the usual wait
  grep -q "restart 1" "$work/out/logs/0.log"
}
wait_for 60 "the task to start again" restarted
merged() { scontrol show job "$merge" | grep -qE 'JobState=(COMPLETED|FAILED|CANCELLED)'; }
wait_for 150 "the merge" merged
scontrol show job "$merge" | grep -q JobState=COMPLETED || fail "the merge"
grep restart "$work"/out/logs/?.log
cat "$work/out/logs/merge.log"

echo "--- nothing is lost, and nothing was done twice"
out=$work/out/tuning.db
"$mla_tune" db check --db "$out" || fail "db check"
# In the task's own database: of what two shards compiled at once, a merge keeps the quicker.
after=$(ask "$work/out/shards/host---few-1of2.db" "$compiled")
while read -r row; do grep -qxF "$row" <<< "$after" || fail "$row is lost, or was compiled again"; done <<< "$before"
[ "$(ask "$out" 'SELECT count(*) FROM sessions')" = 4 ] || fail "sessions: three tasks, one of which began twice"
[ "$(ask "$out" "SELECT count(*) FROM sessions WHERE ended = ''")" = 1 ] || fail "one session was killed"

echo "--- what one run without shards finds is the same"
for shapes in few more; do
  # shellcheck disable=SC2086
  XDG_CACHE_HOME=$work/out/cache "$mla_tune" tune --arch host --shapes "$work/$shapes.yaml" --db "$work/whole.db" $options \
    > /dev/null || fail "the run without shards"
done
for question in \
    "SELECT c.key, verdict, content, v.key FROM code_objects c JOIN variant_code_objects l ON l.code_object_id = c.id
     JOIN variants v ON v.id = l.variant_id ORDER BY 1, 4" \
    "SELECT v.key, num_heads, num_tokens, main_len, extra_len, round, m.verdict, median_us FROM measurements m
     JOIN variants v ON v.id = m.variant_id JOIN problems p ON p.id = m.problem_id ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"; do
  diff <(ask "$work/whole.db" "$question") <(ask "$out" "$question") || fail "they differ"
  echo "$(ask "$out" "$question" | wc -l) rows agree"
done

echo "--- submitted again, everything is known; now on a file system that can lock"
rows=$(ask "$out" 'SELECT count(*) FROM measurements')
submit --launch "env RELEASE={release}" || fail "submit.sh"
merge=$(squeue --noheader --name=mla-merge --format=%i)
wait_for 60 "the second merge" merged
cat "$work/out/logs/merge.log"
[ "$(ask "$out" 'SELECT count(*) FROM measurements')" = "$rows" ] || fail "something was done again"
echo passed
