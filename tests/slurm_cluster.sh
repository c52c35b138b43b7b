#!/usr/bin/env bash
# Run a command beside a SLURM cluster of one node with four pretended GPUs, and end the cluster with the command:
#
#   tests/slurm_cluster.sh COMMAND …          say `bash` for a look around
#
# For test machines: needs root and Debian's packages, which it installs if they are missing. Where it cannot start
# a cluster, or there is one already, it says so and does nothing. All daemons listen on loopback.
set -euo pipefail

state=/run/longtail-slurm
configuration=(slurm.conf gres.conf)
gpus=4

main() {
  [ $# -gt 0 ] || { echo "usage: $0 COMMAND …" >&2; exit 2; }
  [ "$(id -u)" = 0 ] || skip "starting a cluster needs root"
  for name in "${configuration[@]}"; do
    if [ -e "/etc/slurm/$name" ] && ! ours "$name"; then skip "/etc/slurm/$name: this machine has a SLURM already"; fi
  done
  install_packages
  mkdir -p "$state"
  exec 9>"$state.lock"
  flock --nonblock 9 || { echo "another tests/slurm_cluster.sh is running" >&2; exit 1; }
  stop # what a killed one left
  trap stop EXIT
  start 9>&-
  # The test refuses to run without this, as it would disturb the jobs of a real cluster.
  LONGTAIL_TEST_CLUSTER=1 "$@" 9>&-
}

skip() {
  echo "SLURM test skipped: $*"
  exit 0
}

ours() { [ "$(readlink "/etc/slurm/$1")" = "$state/$1" ]; }

install_packages() {
  local program missing=
  for program in munged slurmctld slurmd sbatch srun; do command -v $program >/dev/null || missing=1; done
  [ "$missing" ] || return 0
  command -v apt-get >/dev/null || skip "no slurmctld, and no apt-get to install it with"
  echo "installing SLURM"
  apt_install || { apt_get update && apt_install; } || skip "the packages could not be installed"
}

apt_install() { apt_get install --no-install-recommends munge slurmctld slurmd slurm-client >/dev/null; }

apt_get() { # without a network it must fail soon, and a busy dpkg is waited for
  DEBIAN_FRONTEND=noninteractive timeout 400 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
    -o Acquire::https::Timeout=20 -o DPkg::Lock::Timeout=120 "$@"
}

start() {
  local node gpu
  node=$(hostname -s)
  mkdir -p "$state"/{controller,node,gpus} /etc/slurm
  # slurmd accepts character devices only; without any it would leave CUDA_VISIBLE_DEVICES unset.
  for ((gpu = 0; gpu < gpus; gpu++)); do ln -s /dev/null "$state/gpus/gpu$gpu"; done
  echo "NodeName=$node Name=gpu File=$state/gpus/gpu[0-$((gpus - 1))]" >"$state/gres.conf"
  write_configuration "$node" >"$state/slurm.conf"
  # At the default place, as Snakemake's job steps drop SLURM_CONF from the environment.
  for name in "${configuration[@]}"; do ln -sfn "$state/$name" "/etc/slurm/$name"; done

  (umask 077 && head -c 1024 /dev/urandom >"$state/munge.key")
  # A key and a socket of its own: a munge of the system is neither needed nor disturbed.
  munged --force --key-file="$state/munge.key" --socket="$state/munge.socket" --pid-file="$state/munged.pid" \
    --log-file="$state/munged.log" --seed-file="$state/munge.seed"
  wait_until "munged answers" munge --socket="$state/munge.socket" --no-input
  slurmctld
  wait_until "slurmctld answers" scontrol ping
  slurmd -N "$node"
  wait_until "the node is idle" node_is_idle "$node"
}

write_configuration() {
  cat <<CONF
ClusterName=longtail
SlurmctldHost=$1(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthInfo=socket=$state/munge.socket
StateSaveLocation=$state/controller
SlurmdSpoolDir=$state/node
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
# No cgroups: they are often read-only in containers.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5,batch_sched_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=60
MinJobAge=3600
NodeName=$1 NodeAddr=127.0.0.1 CPUs=16 CoresPerSocket=16 RealMemory=64000 Gres=gpu:$gpus
PartitionName=gpu Nodes=$1 Default=YES MaxTime=120
CONF
}

node_is_idle() { [ "$(sinfo --noheader --nodes="$1" --format=%T)" = idle ]; }

wait_until() { # what, command …
  local what=$1
  shift
  for _ in $(seq 150); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  tail -n 20 "$state"/*.log >&2
  echo "30 s have passed, but not: $what" >&2
  exit 1
}

stop() {
  local daemon
  if running slurmctld && running slurmd; then # jobs outlive slurmd, but not KillWait
    scancel --quiet --user=root || true
    for _ in $(seq 700); do if [ "$(squeue --noheader)" ]; then sleep 0.1; else break; fi; done
  fi
  for daemon in slurmd slurmctld munged; do
    if running $daemon; then
      kill "$pid"
      for _ in $(seq 100); do if [ -d "/proc/$pid" ]; then sleep 0.1; else break; fi; done
      if [ -d "/proc/$pid" ]; then kill -KILL "$pid"; fi
    fi
  done
  for name in "${configuration[@]}"; do if ours "$name"; then rm "/etc/slurm/$name"; fi; done
  rm -rf "$state"
}

running() { # daemon; sets pid
  pid=$(cat "$state/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

main "$@"
