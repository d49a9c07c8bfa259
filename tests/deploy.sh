#!/usr/bin/env bash
# What `make install` puts in place, systemd's opinion of the units, and the packages that the container is made of.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${TRAWL_BUILD:-build}
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-deploy-XXXXXX") || exit 1
good=0 bad=0
export dir XDG_CACHE_HOME=$dir/cache
trap 'rm -rf "$dir"' EXIT
. tests/laws
units=$dir/usr/lib/systemd/system

installed() { # a folder for DESTDIR, and PREFIX
	make --no-print-directory -s install BUILD="$build" DESTDIR="$1" PREFIX="$2"
}
law programs_and_units_are_installed installed "" "$dir/usr"
law an_agent_finds_its_trial_program timeout 20 "$dir/usr/bin/trawl-worker" --connect tcp://127.0.0.1:1 --idle-exit 0.1
law the_coordinator_is_there says "many machines" "$dir/usr/bin/trawl" help
law units_name_programs_where_they_are grep -qx "ExecStart=$dir/usr/bin/trawl-worker .*" "$units/trawl-worker.service"
law a_package_s_root_is_not_in_them installed "$dir/root folder" /opt/trawl
law but_the_prefix_is grep -q "^ExecStart=/opt/trawl/bin/trawl serve" \
	"$dir/root folder/opt/trawl/lib/systemd/system/trawl-serve.service"

# systemd knows every line, and finds the programs.
says_nothing_of() { # unit
	! systemd-analyze verify "$1" 2>&1 | grep -F trawl-
}
says_something_of() { ! says_nothing_of "$1"; }
if command -v systemd-analyze >/dev/null; then
	law systemd_takes_the_coordinator says_nothing_of "$units/trawl-serve.service"
	law systemd_takes_the_agent says_nothing_of "$units/trawl-worker.service"
	sed 's/^KillMode=.*/KillMod=mixed/' "$units/trawl-worker.service" >"$dir/trawl-wrong.service"
	law it_would_have_said_so says_something_of "$dir/trawl-wrong.service"
else
	echo "[  SKIPPED ] systemd_takes_the_units: no systemd-analyze"
fi

# Every library that the programs name is of a package of packages.mk; the C library always is there.
packages_are_named() {
	local package library path missing=0
	for library in $(objdump -p "$build/trawl" "$build/trawl-worker" "$build/trawl-trial" |
		awk '/NEEDED/ && !/libc\.|libm\.|libgcc_s/ {print $2}' | sort -u); do
		path=$(ldconfig -p | awk -v l="$library" '$1 == l {print $NF; exit}')
		package=$(dpkg -S "$(realpath "$path")" | cut -d: -f1)
		case " $(make -s packages-RUN) " in *" $package "*) ;; *)
			echo "$library is of $package"
			missing=1
			;;
		esac
	done
	return $missing
}
law the_container_has_every_library packages_are_named
law and_no_folder_is_forgotten_in_it bash -c 'for f in coordinator core schemas worker; do
	grep -qx "COPY $f $f" worker/deploy/Containerfile || exit 1; done'
echo "$good passed, $bad failed"
[ $bad = 0 ]
