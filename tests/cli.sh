#!/usr/bin/env bash
# The commands as a person meets them: help everywhere, JSON everywhere, and one clear line for whatever is wrong.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-cli-XXXXXX")
export XDG_CACHE_HOME=$dir/cache TRAWL_DB=$dir/study.db
serve=0 good=0 bad=0
trap '[ $serve != 0 ] && kill $serve 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT

. tests/laws
json() {
	timeout 20 "$@" --json >"$dir/json" || return 1
	sqlite3 :memory: "select json_valid(cast(readfile('$dir/json') as text))" | grep -qx 1
}
sweep() { # name, values of weight_bits, epochs
	cat <<-J
		{"name": "$1", "trial": {"data": {"name": "shapes", "limit": 64, "test_limit": 32},
		 "model": {"name": "resnet20", "width": 4}, "start_from": {"change": {"quant": null}},
		 "quant": {"weight_bits": 8}, "train": {"epochs": $3, "batch": 32}},
		 "space": {"quant.weight_bits": {"values": $2}}, "objective": [{"metric": "accuracy", "goal": "max"}]}
	J
}
every_verb_has_help() {
	local verb
	for verb in $("$trawl" help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
		says "--help" "$trawl" "$verb" --help || { echo "$verb --help"; return 1; }
	done
	says "quant.weight_bits" "$trawl" help trial && says "search.kind" "$trawl" help sweep
}
every_reader_speaks_json() {
	local verb
	for verb in studies workers status "show 1" "explain 1" "best first" "export first" "sql select(1)" \
		"watch first" "logs 1" "compare first/0 first/1"; do
		json "$trawl" $verb || { echo "$verb --json"; return 1; }
	done
}
is() { # query, answer
	local got
	got=$("$trawl" sql --csv "$1" | tail -n +2 | tr -d '\r')
	[ "$got" = "$2" ] || { echo "$1 gives $got, not $2"; return 1; }
}

sweep first '[8, 4]' 1 >"$dir/first.json"
sweep first '[8, 4, 2]' 1 >"$dir/more.json"
sweep first '[8, 4]' 2 >"$dir/other.json"
sweep second '[4, 3]' 1 >"$dir/second.json"
cat >"$dir/mistakes.json" <<'J'
{"name": "bad", "trial": {"data": {"name": "cifar11"}, "model": {"name": "resnet20"}, "quant": {"weight_bit": 4},
 "train": {"epochs": "ten", "lr": -1}}, "space": {"quant.weight_bits": {"values": []}}}
J
echo '{"name": "x", ' >"$dir/cut.json"
sed 's/"limit": 64/"limit": 64, "path": "nowhere"/; s/"shapes"/"cifar10"/; s/first/lost/' "$dir/first.json" >"$dir/lost.json"

law every_verb_has_help every_verb_has_help
law an_unknown_verb_names_the_nearest refuses 1 "did you mean status" "$trawl" stauts
law a_missing_database_says_what_makes_one refuses 1 "no such database|trawl run" "$trawl" status
law a_dry_run_makes_no_trials "$trawl" launch --dry-run "$dir/first.json"
law five_mistakes_are_listed_at_once refuses 9 \
	"data.name|cifar10|weight_bit: unknown field|weight_bits|train.epochs|train.lr|quant.weight_bits" \
	"$trawl" launch "$dir/mistakes.json"
law broken_json_says_where refuses 1 "cut.json|line" "$trawl" launch "$dir/cut.json"
law a_missing_data_set_says_where_it_was_looked_for refuses 3 "nowhere" "$trawl" launch "$dir/lost.json"
echo garbage, and enough of it >"$dir/garbage.safetensors"
sed "s|{\"change\": {\"quant\": null}}|{\"file\": \"$dir/garbage.safetensors\"}|; s/first/lost/" \
	"$dir/first.json" >"$dir/start.json"
law what_is_no_safetensors_file_is_not_begun_from refuses 1 "garbage.safetensors: is not" "$trawl" launch "$dir/start.json"
law a_state_that_is_none_lists_those_there_are refuses 1 "leased|infeasible" "$trawl" status --state donne
law a_launch_makes_trials_and_their_parent says "2 trials, 1 parents" "$trawl" launch "$dir/first.json"
law launching_again_changes_nothing "$trawl" launch "$dir/first.json"
law there_are_three_trials is "select count(*) from trial" 3
law more_values_extend_the_study "$trawl" launch "$dir/more.json"
law there_are_four_trials is "select count(*) from trial" 4
law another_sweep_of_that_name_is_refused refuses 4 "first|epochs" "$trawl" launch "$dir/other.json"
law studies_share_equal_trials "$trawl" launch "$dir/second.json"
law only_one_more_trial_was_made is "select count(*) from trial" 5
law every_reader_speaks_json every_reader_speaks_json
law sql_only_reads refuses 1 "only reading" "$trawl" sql "delete from trial"
law a_study_and_a_trial_are_not_compared refuses 1 "first is a study|first/0 is a trial" "$trawl" compare first first/0
law nothing_done_is_nothing_to_compare refuses 1 "no trial that is done" "$trawl" compare first second
law two_trials_are_compared says "quant.weight_bits  8        4" "$trawl" compare first/0 first/1
law an_unknown_study_names_the_nearest refuses 1 "did you mean first" "$trawl" status frist
law explain_says_what_is_missing says "No agent" "$trawl" explain first/-1
beside() { # what a sweep names lies beside it, and we are elsewhere
	mkdir -p "$dir/far" && printf '\2\0\0\0\0\0\0\0{}' >"$dir/far/w.safetensors"
	echo '{"a": [0, 1, 2], "b": [3, 4, 5, 6, 7], "c": [8, 9]}' >"$dir/far/groups.json"
	cat >"$dir/far/sweep.json" <<-J
		{"name": "far", "trial": {"data": {"name": "shapes", "limit": 64, "test_limit": 32},
		 "model": {"name": "resnet20", "width": 4}, "train": {"epochs": 1, "batch": 32},
		 "split": {"submodels": 3, "grouping": "explicit", "file": "groups.json"},
		 "start_from": {"file": "w.safetensors"}}, "space": {"train.seed": {"values": [1]}},
		 "objective": [{"metric": "accuracy", "goal": "max"}]}
	J
	"$trawl" launch --db "$dir/far.db" "$dir/far/sweep.json" &&
		[ "$(sqlite3 "$dir/far.db" "select spec ->> '$.split.groups[2][1]' from specification")" = 9 ] &&
		sed 's/"file": "groups.json"/&, "groups": [[0, 1]]/' "$dir/far/sweep.json" >"$dir/far/both.json" &&
		refuses 1 "split.groups: either this or split.file" "$trawl" launch --db "$dir/far.db" "$dir/far/both.json" &&
		sed -i 's/"far"/"far2"/; s/"file": "groups.json"/"file": "none.json"/' "$dir/far/sweep.json" &&
		refuses 1 "split.file|none.json" "$trawl" launch --db "$dir/far.db" "$dir/far/sweep.json"
}
law what_a_sweep_names_lies_beside_it beside
beside_in_values() { # of swept fields, members and OOD sets
	mkdir -p "$dir/far/digits" # one image of one pixel
	printf '\0\0\10\3\0\0\0\1\0\0\0\1\0\0\0\1x' >"$dir/far/digits/t10k-images-idx3-ubyte"
	printf '\0\0\10\1\0\0\0\1\0' >"$dir/far/digits/t10k-labels-idx1-ubyte"
	cat >"$dir/far/values.json" <<-J
		{"name": "values", "trial": {"action": "ensemble", "data": {"name": "shapes", "limit": 64, "test_limit": 32},
		 "model": {"name": "resnet20", "width": 4}, "train": {"epochs": 1, "batch": 32}},
		 "space": {"ensemble.members": {"values": [[
		  {"start_from": {"file": "w.safetensors"}, "ood": {"sets": [{"data": "idx", "path": "digits"}]}},
		  {"train": {"seed": 2}}]]}},
		 "objective": [{"metric": "accuracy", "goal": "max"}]}
	J
	"$trawl" launch --db "$dir/values.db" "$dir/far/values.json" &&
		[ "$(sqlite3 "$dir/values.db" "select count(*) from specification where
			spec ->> '$.start_from.file' like '/%/w.safetensors' and
			spec ->> '$.ood.sets[0].path' like '/%/digits'")" = 1 ] &&
		says '…' "$trawl" status --db "$dir/values.db"
}
law what_values_of_a_sweep_name_lies_beside_it beside_in_values
sqlite3 "$dir/values.db" "update trial set state = 'pruned', ended_ms = 1"
law what_was_stopped_early_has_not_failed "$trawl" wait --db "$dir/values.db"
law and_is_counted_apart says " stopped" "$trawl" watch --once --plain --db "$dir/values.db"
sqlite3 "$dir/values.db" "update trial set state = 'cancelled' where id = 1"
law what_was_cancelled_is_said refuses 1 "did not end well" "$trawl" wait --db "$dir/values.db"
law a_picture_without_a_landscape_says_what_makes_one refuses 1 'no landscape|"action": "landscape"' \
	"$trawl" plot landscape 1
draws() { # a line and a plane of made-up values, both kinds of file
	local name n="landscape-1-random"
	sqlite3 "$TRAWL_DB" "with recursive n(i) as (select -3 union all select i + 1 from n where i < 3)
		insert into landscape select 1, 'random_plane', a.i, b.i, 'loss', a.i * a.i + b.i * b.i from n a, n b
		union all select 1, 'random', i, 0, 'loss', i * i from n" && cd "$dir" &&
		"$trawl" plot landscape 1 | diff - <(printf '%s\n' ${n}_plane.svg ${n}_plane.png $n.svg $n.png) || return 1
	for name in "$n"*; do head -c 4 "$name" | grep -qa 'PNG\|<svg' || return 1; done
}
law a_landscape_is_drawn draws
branches() { # a made-up tree of two submodels, as lines and as a picture
	sqlite3 "$TRAWL_DB" "insert into split_node values(1, 0, null, 'conv1', '0,1', 12, 16, 3e6),
		(1, 1, 0, 'layer1.0.conv1', '0', 16, 16, 2e6), (1, 2, 0, 'layer1.0.conv1', '1', 4, 16, 1e6),
		(1, 3, 1, 'fc', '0', 3, 3, 48), (1, 4, 2, 'fc', '1', 4, 4, 64)" &&
		LC_ALL=C "$trawl" show 1 >"$dir/tree" && grep -q '^{0,1} .* 75 ' "$dir/tree" &&
		grep -q '^|- {0} .* 100 .* 3$' "$dir/tree" && grep -q '^`- {1} .* 25 .* 4$' "$dir/tree" &&
		"$trawl" plot tree 1 -o "$dir/tree.svg" && grep -q 'submodel 1: 3 classes' "$dir/tree.svg" &&
		grep -q 'layer1.0.conv1' "$dir/tree.svg" && refuses 1 "1 trial at most" "$trawl" plot tree 1 2
}
law a_tree_is_drawn branches
grown() { # what became of it, from its figures
	sqlite3 "$TRAWL_DB" "delete from result where trial = 1 and metric in ('splits', 'last_look', 'least_overlap');
		insert into result(trial, metric, value) values(1, 'splits', 0), (1, 'last_look', 5), (1, 'least_overlap', 0.52),
			(1, 'unpaid_splits', 2), (1, 'relative_flops', 1.5)" &&
		"$trawl" show 1 >"$dir/grown" &&
		grep -q '^no branch was split: the least overlap of all looks was 0.520, split.threshold is 0.4$' "$dir/grown" &&
		grep -q '^cuts of the last look that prune.flops has no room for: 2$' "$dir/grown" &&
		grep -q '^it costs 1.500 of one network, more than prune.flops, 1$' "$dir/grown"
}
law what_became_of_a_tree_is_said grown
outside() { # ROC curves of two trials, scores of one
	local t
	for t in 1 2; do sqlite3 "$TRAWL_DB" "insert into ood_metric values($t, 'svhn', 'energy', 'auroc', 0.7$t),
		($t, 'svhn', 'max_softmax', 'auroc', 0.6$t);
		insert into ood_curve values($t, 'svhn', 'max_softmax', 'roc', 0, 0, 0),
		($t, 'svhn', 'max_softmax', 'roc', 1, 1, 1), ($t, 'svhn', 'energy', 'density_in', 2, 1, 0.5),
		($t, 'svhn', 'energy', 'density_out', 3, 2, 0.5)" || return 1; done
	"$trawl" plot roc 1 2 -o "$dir/roc.svg" && grep -q 'AUROC 0.610' "$dir/roc.svg" &&
		grep -q 'AUROC 0.620' "$dir/roc.svg" &&
		"$trawl" plot scores 1 --score energy -o "$dir/scores.png" && head -c 4 "$dir/scores.png" | grep -qa PNG &&
		says "svhn" "$trawl" show 1 || return 1; refuses 1 "has no score enrgy" "$trawl" plot roc 1 --score enrgy &&
		refuses 1 "no sets from outside|ood.sets" "$trawl" plot roc 3
}
law what_is_outside_is_drawn outside
law an_unknown_picture_lists_those_there_are refuses 1 "landscape, tree, roc, scores" "$trawl" plot tre 1
law a_picture_is_svg_or_png refuses 1 "ends in .svg or .png" "$trawl" plot landscape 1 -o "$dir/a.jpg"

port=$((21000 + $$ % 10000))
"$trawl" serve --listen tcp://127.0.0.1:$port >"$dir/serve.log" 2>&1 &
serve=$!
for _ in $(seq 100); do grep -q files: "$dir/serve.log" && break; sleep 0.1; done
law a_second_coordinator_hears_who_holds_it refuses 1 "another coordinator holds it|$serve" \
	"$trawl" serve --listen tcp://127.0.0.1:0
law a_port_in_use_is_one_line refuses 1 "in use|--listen" "$trawl" serve --db "$dir/b.db" --listen tcp://127.0.0.1:$port
law reading_works_from_afar says "first" "$trawl" studies --db tcp://127.0.0.1:$port
law changes_go_to_the_coordinator "$trawl" pause first
law and_are_there is "select state from study where name = 'first'" paused
law one_trial_can_be_cancelled "$trawl" cancel second/1
law and_only_that_one is "select count(*) from trial where state = 'cancelled'" 1
law what_is_cancelled_is_not_cancelled_again refuses 1 "is cancelled: nothing to cancel" "$trawl" cancel second/1
garbage() {
	head -c 4096 /dev/urandom >/dev/tcp/127.0.0.1/$port
	says "first" "$trawl" studies --db tcp://127.0.0.1:$port
}
law garbage_on_the_socket_changes_nothing garbage
busy() { # more slow queries than wait for an answer; a change is not held up by them
	local slow="with recursive a(i) as (select 1 union all select i + 1 from a where i < 30000000) select count(*) from a"
	local pids="" i
	for i in $(seq 80); do "$trawl" sql "$slow" --timeout 2 --db tcp://127.0.0.1:$port >>"$dir/busy" 2>&1 &
		pids="$pids $!"
	done
	sleep 1
	timeout 5 "$trawl" pause second --db tcp://127.0.0.1:$port && timeout 5 "$trawl" resume second
	i=$?
	kill $pids 2>/dev/null
	grep -q "too many queries wait" "$dir/busy" && [ $i = 0 ]
}
law changes_do_not_wait_for_slow_queries busy
kill $serve && wait $serve 2>/dev/null
serve=0
law nobody_there_is_said_so refuses 1 "no answer|trawl serve" "$trawl" studies --db ipc://"$dir/nobody"
newer() { sqlite3 "$TRAWL_DB" "pragma user_version = 99" && refuses 1 "schema 99" "$trawl" serve --listen tcp://127.0.0.1:0; }
law a_newer_schema_is_refused newer
echo "not a database, but long enough to look like one at first sight" >"$dir/text.db"
: >"$dir/empty.db"
law an_empty_file_is_no_database refuses 1 "empty.db: is not a database of trawl" "$trawl" status --db "$dir/empty.db"
sqlite3 "$dir/values.db" "vacuum into '$dir/older.db'" && sqlite3 "$dir/older.db" "pragma user_version = 3"
law an_older_database_says_what_to_do refuses 1 "brings it up to date" "$trawl" best --db "$dir/older.db"
law a_folder_is_no_database refuses 1 "is a folder" "$trawl" status --db "$dir"
law a_folder_is_not_served refuses 1 "is a folder" "$trawl" serve --db "$dir"
law an_address_is_not_served refuses 1 "needs a file" "$trawl" serve --db tcp://127.0.0.1:1
law one_address_is_asked refuses 1 "wants one address" "$trawl" status --db tcp://127.0.0.1:1,tcp://127.0.0.1:2
law what_is_no_database_is_refused refuses 1 "text.db" "$trawl" status --db "$dir/text.db"
echo "$good passed, $bad failed"
[ $bad = 0 ]
