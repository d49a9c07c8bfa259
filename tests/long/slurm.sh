#!/usr/bin/env bash
# Agents as jobs of a real Slurm of two nodes on this machine: a trial whose job is requeued, preempted or out of time goes
# on from its checkpoint in the next one (on one node, and on two with its ranks started by srun), nothing counts as a
# failure, and what comes out has the bits of an undisturbed run.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
export PATH=$PATH:/usr/sbin
# Ranks on another node look for srun at the name of this machine.
getent hosts "$(hostname)" >/dev/null || { echo "SKIPPED slurm: the name $(hostname) of this machine does not resolve"; exit 78; }
for program in slurmctld slurmd sbatch munged; do
	command -v "$program" >/dev/null || { echo "SKIPPED slurm: no $program (packages slurm-wlm and munge)"; exit 77; }
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-slurm-XXXXXX")
serve=0 worker=0 good=0 bad=0
export dir XDG_CACHE_HOME=$dir/cache SLURM_CONF=$dir/slurm.conf TMPDIR=$dir
. tests/laws
. tests/facts
port=$(free_ports 4)
url=tcp://127.0.0.1:$port

finish() {
	scancel --full --signal=KILL -u "$(id -un)" 2>/dev/null
	signal_all KILL "$serve" "$worker"
	scancel -u "$(id -un)" 2>/dev/null
	within 10 nothing_queued
	for pid in $(cat "$dir"/*.pid 2>/dev/null); do kill "$pid" 2>/dev/null; done
	wait 2>/dev/null
	sleep 1
	pkill -9 -f "slurmstepd.*$dir" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM PIPE
nothing_queued() { [ -z "$(squeue -h 2>/dev/null)" ]; }

# --- the cluster ---
# Times are cut: how long a requeued job waits (cred_expire), and how long it may take to leave (KillWait).
cluster_start() {
	local me host n
	me=$(id -un) host=$(hostname -s)
	mkdir "$dir/state" "$dir/log"
	head -c 1024 /dev/urandom >"$dir/munge.key"
	chmod 400 "$dir/munge.key"
	munged --force --key-file="$dir/munge.key" --socket="$dir/munge" --pid-file="$dir/munged.pid" \
		--log-file="$dir/log/munged" --seed-file="$dir/seed" || return
	cat >"$SLURM_CONF" <<-C
		ClusterName=trawl
		SlurmctldHost=$host(127.0.0.1)
		SlurmUser=$me
		SlurmdUser=$me
		AuthType=auth/munge
		AuthInfo=socket=$dir/munge,cred_expire=5
		CredType=cred/munge
		SlurmctldPort=$((port + 1))
		SlurmctldPidFile=$dir/slurmctld.pid
		SlurmdPidFile=$dir/%n.pid
		StateSaveLocation=$dir/state
		SlurmdSpoolDir=$dir/spool-%n
		SlurmctldLogFile=$dir/log/slurmctld
		SlurmdLogFile=$dir/log/%n
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU_Memory
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		ReturnToService=2
		KillWait=40
		SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1
		SlurmdParameters=config_overrides
		NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2 RealMemory=3000
		NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=2 RealMemory=3000
		PreemptType=preempt/partition_prio
		PreemptMode=REQUEUE
		PartitionName=lab Nodes=n1,n2 Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=40
		PartitionName=urgent Nodes=n1,n2 MaxTime=60 State=UP PriorityTier=9
	C
	echo "CgroupPlugin=cgroup/v1" >"$dir/cgroup.conf" # the one that asks for nothing where it is not used
	slurmctld -c || return
	for n in n1 n2; do slurmd -N $n || return; done
	within 60 nodes_are_up
}
nodes_are_up() { [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]; }
submit() { "$trawl" worker submit --connect "$url" --output "$dir/log/job-%A_%a" --idle-exit 3 "$@"; }

# --- the sweep ---
sweep() { # ranks
	cat <<-END
		{"name": "slurm", "trial": {
		 "data": {"name": "shapes", "limit": 512, "test_limit": 128}, "model": {"name": "resnet20", "width": 4},
		 "start_from": {"change": {"quant": null, "train": {"epochs": ${EPOCHS:-12}, "lr": 0.1}}},
		 "quant": {"weight_bits": 4}, "checkpoint": {"minutes": 60},
		 "train": {"epochs": 1, "batch": 32, "shards": 4, "lr": 0.01, "seed": 1}},
		 "space": {"quant.weight_bits": {"values": [4, 8]}}, "objective": [{"metric": "accuracy", "goal": "max"}],
		 "resources": {"ranks": $1, "memory_mb": 900}}
	END
}
of_db() { ask "$db" "$1" 2>/dev/null; }
is() { # query, answer
	local got
	got=$(of_db "$1")
	[ "$got" = "$2" ] || { echo "$1 gives $got, not $2"; return 1; }
}
all_done() { [ "$(of_db "select count(*) = 3 and sum(state = 'done') = 3 from trial")" = 1 ]; }
some_steps() { # of attempt N of a trial that runs; no checkpoint is due before it has to yield
	[ "$(of_db "select count(*) from attempt a join trial t on t.id = a.trial
		where t.state = 'leased' and a.attempt = t.attempt and a.attempt = $1 and a.step > a.from_step + 3")" = 1 ]
}
serve_start() { # name, ranks of a trial
	db=$dir/$1.db
	sweep "$2" >"$dir/$1.json"
	"$trawl" serve --db "$db" --listen "$url" --lease 60 >"$dir/log/serve-$1" 2>&1 &
	serve=$!
	within 20 launched "$dir/$1.json"
}
launched() { "$trawl" launch "$1" --db "$url" >/dev/null 2>&1; }
serve_stop() {
	kill "$serve" && wait "$serve"
	serve=0
}
undisturbed() {
	local began=$SECONDS
	serve_start calm 2 || return
	"$build/trawl-worker" --connect "$url" --ranks 2 --work "$dir/work" --idle-exit 2 >"$dir/log/calm" 2>&1 &
	worker=$!
	within 150 all_done && facts "$db" >"$dir/calm.facts" && [ -s "$dir/calm.facts" ]
	local status=$?
	calm_s=$((SECONDS - began))
	wait $worker
	worker=0
	serve_stop
	return $status
}
same_bits() { facts "$db" | diff "$dir/calm.facts" - | head -5 | (! grep .); }
nothing_failed() {
	is "select sum(losses) + sum(errors) from trial" 0 &&
		is "select count(*) from history where event in ('lose', 'error', 'lose_last', 'error_last')" 0
}
yielded() { [ "$(of_db "select count(*) from history where event = 'yield'")" = "$1" ]; }
no_step_was_lost() { # what yielded had a checkpoint of all that it had done
	is "select count(*) from attempt a join attempt b on b.trial = a.trial and b.attempt = a.attempt + 1
		where a.outcome = 'yield' and b.from_step < a.step" 0
}
went_on() { is "select count(*) > 0 from attempt where from_step > 0" 1; }
job() { squeue -h -o %A -t running | head -1; }
job_is_called() { [ "$(squeue -h -t running -o %j)" = "$1" ]; }
on_two_nodes() { squeue -h -s -o '%N %j' | grep -qF 'n[1-2] trawl-trial'; }

law a_cluster_starts cluster_start
[ $bad = 0 ] || { tail -n 20 "$dir"/log/*; exit 1; }
law an_undisturbed_run_ends undisturbed

law one_node_is_served serve_start requeue 2
law an_agent_is_submitted submit --slurm 1 --ranks 2 --memory-mb 2000 --job-name "a 'b\" \\c #d"
law a_trial_runs_there within 60 some_steps 1
law its_job_has_the_name_that_was_given job_is_called "a 'b\" \\c #d"
law its_job_is_requeued scontrol requeue "$(job)"
law the_trial_is_handed_back within 40 yielded 1
law the_next_job_goes_on within 60 some_steps 2
law its_job_is_preempted_with_a_grace_time sbatch -p urgent --nodes=2 --exclusive -o /dev/null --wrap "sleep 2"
law the_trial_is_handed_back_again within 40 yielded 2
law and_ends_in_the_job_that_comes_after within 120 all_done
law it_went_on_from_its_checkpoint went_on
law no_step_was_lost no_step_was_lost
law nothing_counts_as_a_failure nothing_failed
law requeued_it_has_the_same_bits same_bits
law an_agent_without_work_ends_its_job within 30 nothing_queued
serve_stop

law two_nodes_are_served serve_start wide 4
law an_agent_of_two_nodes_is_submitted submit --slurm 1 --nodes 2 --ranks 4 --memory-mb 2000 --work "$dir/shared"
law its_trial_runs_there within 60 some_steps 1
law ranks_are_on_both_nodes on_two_nodes
law and_know_of_each_other grep -rqh "4 ranks of 1 threads" "$dir/shared" --include=log
law this_job_too_is_requeued scontrol requeue "$(job)"
law its_trial_is_handed_back within 40 yielded 1
law and_ends_after_that within 150 all_done
law also_from_its_checkpoint went_on
law also_without_losing_a_step no_step_was_lost
law also_without_a_failure nothing_failed
law four_ranks_on_two_nodes_have_the_same_bits same_bits
law both_nodes_are_free_again within 30 nothing_queued
serve_stop

law jobs_of_a_minute_are_served serve_start walltime 2
# A third of what it takes is left of each minute for training, however slow this machine is.
trains_s=$((calm_s / 3 < 3 ? 3 : calm_s / 3 > 40 ? 40 : calm_s / 3))
law they_come_one_after_the_other submit --slurm '40%1' --ranks 2 --memory-mb 2000 --time 1 --leave $((60 - trains_s))
law a_trial_ends_that_needs_several within $((200 + 10 * calm_s)) all_done
law it_was_handed_back_before_the_time_was_over is "select count(*) > 0 from history where event = 'yield'" 1
law and_without_losing_a_step no_step_was_lost
law nothing_was_lost_to_walltime nothing_failed
law over_several_jobs_it_has_the_same_bits same_bits
serve_stop
echo "$good passed, $bad failed"
[ $bad = 0 ] || { tail -n 12 "$dir"/log/* 2>/dev/null; exit 1; }
