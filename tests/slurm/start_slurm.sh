#!/bin/sh
# A real Slurm of one node on this machine, for tests: Debian's packages, no systemd, no accounting, all state in one folder.
#   eval "$(sudo tests/slurm/start_slurm.sh [FOLDER])"    sets SLURM_CONF, then sbatch, squeue and scancel work
#   sudo tests/slurm/stop_slurm.sh [FOLDER]
# Started twice it leaves the running one as it is. Exit 69 and one sentence on stderr where it cannot be had.
set -eu
FOLDER=${1:-/tmp/d24fad_slurm}
CPUS=6  # declared, whatever the machine has: six jobs of one cpu run at a time

cannot() { echo "no Slurm for tests: $1" >&2; exit 69; }
# Without a file Slurm's commands wait a minute for one; without a controller, much longer.
ready() { [ -f "$SLURM_CONF" ] && timeout 3 sinfo --noheader --format=%T 2>/dev/null | grep -Eq '^(idle|mixed|allocated)$'; }

export SLURM_CONF="$FOLDER/slurm.conf"
[ "$(id -u)" = 0 ] || cannot "this needs root (apt-get, munge, slurmd); run it with sudo"
if ! command -v slurmctld slurmd munged sbatch >/dev/null 2>&1; then
    command -v apt-get >/dev/null || cannot "slurmctld is not installed, and there is no apt-get to install it"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurmctld slurmd slurm-client munge; } >/tmp/d24fad_slurm_apt.log 2>&1 ||
        cannot "apt-get could not install slurmctld, slurmd and munge; see /tmp/d24fad_slurm_apt.log"
fi
grep -q ' /sys/fs/cgroup/memory cgroup ' /proc/mounts && grep -q ' /sys/fs/cgroup/freezer cgroup ' /proc/mounts ||
    cannot "memory limits need cgroups of version 1 (memory, freezer) mounted under /sys/fs/cgroup"
if ready; then echo "export SLURM_CONF=$SLURM_CONF"; exit 0; fi

mkdir -p "$FOLDER/state" "$FOLDER/spool" /run/munge
chown munge: /run/munge /etc/munge/munge.key
munge --no-input >/dev/null 2>&1 || setpriv --reuid munge --regid munge --clear-groups munged --force >&2 ||
    cannot "munged did not start"
MEMORY=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
cat >"$FOLDER/slurm.conf" <<END
ClusterName=tests
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
SlurmdLogFile=$FOLDER/slurmd.log
MailProg=/bin/true
SwitchType=switch/none
# Memory is a resource that is given out, and a cgroup ends who takes more.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
DefMemPerCPU=500
# As quick as Slurm can be: limits to the second, no pause before a job is tried again.
OverTimeLimit=0
KillWait=2
MinJobAge=300
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
PriorityType=priority/basic
SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY
PartitionName=tests Nodes=ALL Default=YES MaxTime=60 DefaultTime=1
END
cat >"$FOLDER/cgroup.conf" <<END
CgroupMountpoint=/sys/fs/cgroup
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
ConstrainCores=no
END
# Whatever was half started before (a daemon killed from outside) makes room.
for daemon in slurmd slurmctld; do
    [ ! -f "$FOLDER/$daemon.pid" ] || kill "$(cat "$FOLDER/$daemon.pid")" 2>/dev/null || true
done
slurmctld -c >&2 || cannot "slurmctld did not start; see $FOLDER/slurmctld.log"
slurmd >&2 || cannot "slurmd did not start; see $FOLDER/slurmd.log"
for _ in $(seq 40); do
    if ready; then echo "export SLURM_CONF=$SLURM_CONF"; exit 0; fi
    sleep 0.5
done
cannot "the node did not come up within 20 s; see $FOLDER/slurmctld.log and $FOLDER/slurmd.log"
