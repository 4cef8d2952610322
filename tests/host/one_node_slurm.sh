# shellcheck shell=bash
# A Slurm cluster of one node, this machine, in a folder of its own and under this user; to be sourced.
#
#   start_slurm FOLDER   Sets SLURM_CONF. Returns 1, with the reason in slurm_trouble, where it cannot be had.
#   stop_slurm FOLDER    Ends what start_slurm started, by the process ids that it wrote.

start_slurm() {
  local folder=$1 host ports program variable
  for program in munged slurmctld slurmd sbatch scontrol squeue sinfo; do
    command -v "$program" > /dev/null || PATH=$PATH:/usr/sbin command -v "$program" > /dev/null ||
      { slurm_trouble="$program is not installed (Debian: slurm-wlm, munge)"; return 1; }
  done
  PATH=$PATH:/usr/sbin
  # Not those of a cluster that this machine may belong to.
  for variable in "${!SLURM_@}" "${!SBATCH_@}" "${!SQUEUE_@}"; do unset "$variable"; done
  host=$(hostname -s)
  ports=$((20000 + (RANDOM * 32768 + RANDOM) % 12000 * 2))
  mkdir -p "$folder/state" "$folder/spool" "$folder/log"
  (umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
  cat > "$folder/slurm.conf" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$ports
SlurmdPort=$((ports + 1))
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$folder/slurm.conf
  munged --socket="$folder/munge.socket" --key-file="$folder/munge.key" --seed-file="$folder/munge.seed" \
         --pid-file="$folder/munged.pid" --log-file="$folder/log/munged.log" --num-threads=1 &&
    slurmctld -c && slurmd || { slurm_trouble="its daemons do not start: $(tail -qn 1 "$folder"/log/*.log)"; return 1; }
  for _ in $(seq 60); do
    [ "$(sinfo --noheader --format=%T 2> /dev/null)" != idle ] || return 0
    sleep 0.5
  done
  # shellcheck disable=SC2034  # read by who sources this
  slurm_trouble="its node does not come up: $(tail -qn 2 "$folder"/log/slurm*.log)"
  return 1
}

stop_slurm() {
  local daemon pid
  [ ! -f "$1/slurmctld.pid" ] || scancel --me 2> /dev/null
  for daemon in slurmd slurmctld munged; do
    pid=$(cat "$1/$daemon.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null
    for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
  done
}
