#!/usr/bin/env bash
# `trawl worker submit` without Slurm: the batch script that it writes is run here, with srun, squeue and sbatch in
# whose place stand scripts that note what they are given.  tests/long/slurm.sh has the real ones.
set -u
cd "$(dirname "$0")/.." || exit 1
trawl=$(realpath "${TRAWL_BUILD:-build}")/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-submit-XXXXXX") || exit 1
good=0 bad=0
export dir TRAWL_DATA='' TRAWL_KEY='' TRAWL_SERVER_KEY='' TRAWL_CONNECT='' TRAWL_DB=''
trap 'rm -rf "$dir"' EXIT
. tests/laws

mkdir "$dir/bin" "$dir/empty"
cat >"$dir/bin/srun" <<'E'
#!/bin/bash
trap 'echo USR1 >>"$dir/srun.signals"; exit 7' USR1
printf '%s\0' "$@" >"$dir/srun.arguments"
for _ in $(seq "${SRUN_SECONDS:-0}0"); do sleep 0.1; done
E
cat >"$dir/bin/squeue" <<'E'
#!/bin/bash
echo "${SQUEUE_SAYS:-N/A}"
E
cat >"$dir/bin/scontrol" <<'E'
#!/bin/bash
if [ "$1" = show ]; then
	echo "   PreemptEligibleTime=2026-01-01T00:00:00 PreemptTime=${PREEMPTED:-None}"
else
	echo "$*" >"$dir/scontrol.said"
fi
E
cat >"$dir/bin/sbatch" <<'E'
#!/bin/bash
cat >"$dir/sbatch.script"
[ "$#" = 0 ] && [ -z "${SBATCH_REFUSES:-}" ] && echo "Submitted batch job 17"
E
chmod +x "$dir"/bin/*
submit() { "$trawl" worker submit --slurm 3%2 --connect tcp://h:5 "$@"; }
run() { # the script, on a node of Slurm
	PATH=$dir/bin:$PATH SLURM_JOB_ID=17 SLURMD_NODENAME=n1 SLURM_CPUS_ON_NODE=4 bash "$dir/script"
}
words_follow() { # words that srun was given one after the other
	local expected given
	expected=$(printf '%q ' "$@")
	mapfile -d '' -t given <"$dir/srun.arguments"
	case " $(printf '%q ' "${given[@]}")" in *" $expected"*) return ;; esac
	printf '%q ' "${given[@]}"
	echo "has not: $expected"
	return 1
}
line() { grep -qxF -- "$1" "$dir/script" || { cat "$dir/script"; return 1; }; }
has_not() { # file, words
	! grep -F -- "$2" "$1"
}
secret() { sed -n 's/^secret //p' "$1"; }
awkward=$dir/"a b\"c'd \$(touch $dir/evil) \`touch $dir/evil\`; \\e * #"

submit --print --program "$awkward/trawl-worker" --data "$awkward/data" --work "$awkward" --labels 'big one,$HOME' \
	--ranks 2 --threads 3 --time 1:00:00 --output 'log "1"\ #%j' --gpus 1 --memory-mb 2000 -- \
	--comment="\$(touch $dir/evil)" >"$dir/script"
law the_script_is_sound bash -n "$dir/script"
law it_runs run
law awkward_words_reach_the_agent_whole \
	words_follow "$awkward/trawl-worker" --connect tcp://h:5 --ranks 2 --threads 3 --gpus 1
law labels_do_too words_follow --label 'big one' --label '$HOME' --data "$awkward/data"
law nothing_of_them_was_executed test ! -e "$dir/evil"
law its_folder_is_its_node_s words_follow --work "$awkward/n1"
law it_is_named_after_its_job words_follow --name n1.17
law the_agent_is_one_overlapping_step \
	words_follow --overlap --mpi=none --export=ALL --nodes=1 --ntasks=1 --relative=0 --cpus-per-task=4
law an_array_of_jobs line '#SBATCH --array=1-3%2'
law that_may_be_requeued line '#SBATCH --requeue'
law whose_logs_go_on line '#SBATCH --open-mode=append'
law they_are_warned_in_time line '#SBATCH --signal=B:USR1@120'
law with_a_cpu_for_each_thread line '#SBATCH --cpus-per-task=3'
law quotes_are_kept_from_sbatch line '#SBATCH "--output=log \"1\"\\ #%j"'
law options_of_sbatch_pass line "#SBATCH \"--comment=\$(touch $dir/evil)\""
law without_an_end_it_has_no_limit has_not "$dir/srun.arguments" --time-limit
limit_is_right() { # of a job that ends in half an hour
	SQUEUE_SAYS=$(date -d '+1810 seconds' +%FT%T) run
	tr '\0' '\n' <"$dir/srun.arguments" | grep -A1 -xe --time-limit | grep -E '^(30|29\.9)'
}
law it_leaves_before_its_job_ends limit_is_right
memory_is_right() { SLURM_MEM_PER_NODE=2000 run && words_follow --memory-mb 1800; }
law of_its_memory_a_part_is_spared memory_is_right
passes_on() { # signal
	rm -f "$dir/srun.arguments" "$dir/srun.signals"
	PATH=$dir/bin:$PATH SRUN_SECONDS=20 SLURM_JOB_ID=17 bash "$dir/script" &
	local script=$!
	for _ in $(seq 200); do
		[ -s "$dir/srun.arguments" ] && break
		sleep 0.1
	done
	kill -"$1" $script
	wait $script
	[ $? = 7 ] && [ "$(cat "$dir/srun.signals")" = USR1 ]
}
law sigterm_reaches_the_agent_as_sigusr1 passes_on TERM
law a_warning_does_too passes_on USR1
comes_again() { # time of its preemption
	rm -f "$dir/scontrol.said"
	PREEMPTED=$1 run
	[ "$(cat "$dir/scontrol.said" 2>/dev/null)" = "requeue 17" ]
}
goes_for_good() { ! comes_again "$1"; }
law preempted_it_comes_again comes_again "$(date -d '+2 seconds' +%FT%T)"
law otherwise_it_does_not goes_for_good None
law nor_if_that_was_in_an_earlier_life goes_for_good "$(date -d '-2 minutes' +%FT%T)"
submit --print --time 4 >"$dir/script"
mkdir "$dir/tmp"
TMPDIR=$dir/tmp law a_folder_is_made_where_none_is_named run
law it_is_for_its_owner test "$(stat -c %a "$dir/tmp/trawl-$(id -u)")" = 700
law a_short_job_is_not_warned_at_once has_not "$dir/script" --signal

"$trawl" keys new "$dir/agent.key" >/dev/null
"$trawl" keys new "$dir/server.key" >/dev/null
(cd "$dir" && submit --print --key agent.key --server-key server.key >"$dir/script")
law keys_are_found_from_everywhere grep -q -- "--key '$dir/agent.key'" "$dir/script"
law a_secret_is_not_in_it has_not "$dir/script" "$(secret "$dir/agent.key")"
law nor_is_the_coordinator_s has_not "$dir/script" "$(secret "$dir/server.key")"

export PATH=$dir/bin:$PATH
submit --print >"$dir/script"
law sbatch_is_given_it says "Submitted batch job 17" "$trawl" worker submit --slurm 3%2 --connect tcp://h:5
law the_same_that_is_printed cmp "$dir/script" "$dir/sbatch.script"
law the_coordinator_may_be_that_of_db says "'tcp://q:1'" "$trawl" worker submit --slurm 1 --db tcp://q:1 --print
refused() { refuses 1 "$@"; }
one=("$trawl" worker submit --slurm 1 --connect tcp://h:5)
SBATCH_REFUSES=1 law sbatch_may_refuse refused "sbatch refused|--print" "${one[@]}"
law without_slurm_it_says_so refused "sbatch|--print" env PATH="$dir/empty" "${one[@]}"
law how_many_has_to_be_said refused "--slurm N" "$trawl" worker submit --connect tcp://h:5
law a_number_of_agents_is_one refused "--slurm 3x" "${one[@]}" --slurm 3x
law some_at_a_time_are_not_none refused "--slurm 3%0" "${one[@]}" --slurm 3%0
law the_coordinator_has_to_be_said refused "--connect" "$trawl" worker submit --slurm 1
law a_typing_error_is_seen_here refused '--connect tcp://h:5,,tcp://i:5|""|commas' "$trawl" worker submit --slurm 1 \
	--connect tcp://h:5,,tcp://i:5 --print
law half_a_key_is_refused refused "--server-key" "${one[@]}" --key "$dir/agent.key"
law a_key_that_is_not_there_is_refused refused "none.key" "${one[@]}" --key "$dir/none.key" --server-key "$dir/server.key"
for t in x 1:2:3:4 1-2:3:4:5 -1 1: 1-2-3 99999999999; do
	law "no_time_is_$t" refused "--time $t" "${one[@]}" --print "--time=$t"
done
for t in 2 1:01 0:1:01 1-0 0-0:2 1-1:1:1; do law "a_time_is_$t" "${one[@]}" --print --time $t; done
law a_time_too_short_to_leave_is_refused refused "--time 1|--leave" "${one[@]}" --print --time 1
law several_nodes_need_a_shared_folder refused "--work" "${one[@]}" --print --nodes 2 --ranks 2
law a_node_needs_a_rank refused "--ranks 1" "${one[@]}" --print --nodes 2 --work "$dir"
law a_line_break_is_refused refused "--output" "${one[@]}" --print --output $'a\n#SBATCH --wrap=x'
law in_options_of_sbatch_too refused "line break" "${one[@]}" --print -- $'--comment=a\nrm'
law what_is_no_option_is_refused refused "--name=value" "${one[@]}" --print what
law draining_needs_a_name refused "drain | undrain WORKER" "$trawl" worker drain
echo "$good passed, $bad failed"
[ $bad = 0 ]
