#!/usr/bin/env bash
# Tunes a release matrix on a Slurm cluster: an array job with one task for each shard of each row, and a job that merges
# what they leave into FOLDER/tuning.db once all have succeeded. Run again with the same folder it takes up what is there.
#
#   scripts/slurm/submit.sh [OPTIONS] MATRIX FOLDER [-- SBATCH OPTIONS of the array]
#
#   MATRIX   a row for each ARCH RELEASE SHAPES SHARDS [TUNE OPTIONS], such as release_matrix.txt beside this file;
#            RELEASE is what --rocm takes or -, SHAPES a file, from the matrix's folder
#   FOLDER   where all nodes see it: results, logs, and the cache that lets shards divide compiling among themselves
#
#   --program P    mla-tune on the nodes; else build/mla-tune of this checkout, else the one in PATH
#   --launch C     what to put before it, such as 'apptainer exec rocm-{release}.sif'
#   --scratch D    a folder on each node's own disk. Needed where FOLDER is on a network file system, on which no database
#                  may be written: tasks tune there and bring a copy to FOLDER now and then (see --save) and at the end
#   --save S       seconds between two copies; else 300
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
refuse() { echo "submit.sh: $*" >&2; exit 2; }

program='' launch='' scratch='' save=300
while [ $# -gt 0 ]; do
  case $1 in
    --program) program=${2-}; shift ;;
    --launch) launch=${2-}; shift ;;
    --scratch) scratch=${2-}; shift ;;
    --save) save=${2-}; shift ;;
    -*) usage ;;
    *) break ;;
  esac
  shift || usage
done
[ $# -ge 2 ] || usage
matrix=$1 folder=$2
shift 2
[ "${1:-}" != -- ] || shift
[ -r "$matrix" ] || refuse "cannot read the matrix $matrix"
[[ $save =~ ^[1-9][0-9]*$ ]] || refuse "--save '$save' is no number of seconds"
command -v sbatch > /dev/null || refuse "there is no sbatch here: run this on a machine of the cluster"
if [ -z "$program" ]; then
  program=$here/../../build/mla-tune
  [ -x "$program" ] || program=mla-tune
fi
matrix_folder=$(cd "$(dirname "$matrix")" && pwd)
mkdir -p "$folder/shards" "$folder/logs"
folder=$(cd "$folder" && pwd)

# One line a task: NAME ARCH RELEASE SHAPES SHARD TUNE OPTIONS.
tasks=() number=0
declare -A seen=()
while read -r arch release shapes shards options || [ -n "${arch:-}" ]; do
  number=$((number + 1))
  case $arch in '' | '#'*) continue ;; esac
  where="$matrix line $number"
  [ -n "$shards" ] || refuse "$where: write ARCH RELEASE SHAPES SHARDS [TUNE OPTIONS]"
  [[ $shards =~ ^[1-9][0-9]{0,3}$ ]] || refuse "$where: '$shards' is no number of shards from 1 to 9999"
  case $shapes in /*) ;; *) shapes=$matrix_folder/$shapes ;; esac
  [ -r "$shapes" ] || refuse "$where: cannot read the shapes $shapes"
  case $shapes in *[[:space:]]*) refuse "$where: no path with a space, please: $shapes" ;; esac
  stem=${shapes##*/}
  row=$arch-${release//\//_}-${stem%.yaml}
  [ -z "${seen[$row]:-}" ] || refuse "$where: line ${seen[$row]} has the same arch, release and shapes already"
  seen[$row]=$number
  for ((shard = 1; shard <= shards; shard++)); do
    tasks+=("$row-${shard}of$shards $arch $release $shapes $shard/$shards $options")
  done
done < "$matrix"
[ ${#tasks[@]} -gt 0 ] || refuse "$matrix has no rows"

printf '%s\n' "${tasks[@]}" > "$folder/tasks"
printf '%s=%q\n' program "$program" launch "$launch" scratch "$scratch" save "$save" > "$folder/settings"
array=$(sbatch --parsable --job-name=mla-tune --array="0-$((${#tasks[@]} - 1))" --output="$folder/logs/%a.log" "$@" \
               "$here/tune.sbatch" "$folder")
merge=$(sbatch --parsable --job-name=mla-merge --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes \
               --output="$folder/logs/merge.log" "$here/merge.sbatch" "$folder")
echo "array ${array%%;*}: ${#tasks[@]} tasks, logs in $folder/logs"
echo "merge ${merge%%;*}: into $folder/tuning.db, when all tasks have succeeded"
