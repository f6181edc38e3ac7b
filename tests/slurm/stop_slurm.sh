#!/bin/sh
# Ends the Slurm that start_slurm.sh began, with its jobs, and removes its folder; munged and the packages stay.
set -u
FOLDER=${1:-/tmp/d24fad_slurm}
export SLURM_CONF="$FOLDER/slurm.conf"
[ -f "$SLURM_CONF" ] || exit 0
scancel --full --user="$(id -un)" 2>/dev/null
for _ in $(seq 20); do
    [ -z "$(squeue --noheader 2>/dev/null)" ] && break
    sleep 0.5
done
for daemon in slurmd slurmctld; do
    [ -f "$FOLDER/$daemon.pid" ] || continue
    pid=$(cat "$FOLDER/$daemon.pid")
    kill "$pid" 2>/dev/null
    for _ in $(seq 20); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.5
    done
done
rm -rf "$FOLDER"
