# SPDX-License-Identifier: Apache-2.0
# ./run test, fuzz, sim, net. Every area adds to the same three counts.

PASSED=0 FAILED=0 SKIPPED=0
LOGS=$PWD/build/test-logs

counted() { # counted RESULT NAME [NOTE]
    case $1 in
        passed) PASSED=$((PASSED + 1)) ;;
        failed) FAILED=$((FAILED + 1)) ;;
        skipped) SKIPPED=$((SKIPPED + 1)) ;;
    esac
    [ "$1" = passed ] && [ -z "${3:-}" ] && return
    say "    $1: $2${3:+ ($3)}"
}

verdict() {
    say ""
    if [ $SKIPPED -gt 0 ]; then
        say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    else
        say "$PASSED passed, $FAILED failed"
    fi
    [ $FAILED -eq 0 ] && [ $PASSED -gt 0 ]
}

run_test() {
    local area known=" tidy unit sim fuzz e2e net "
    for area in "$@"; do
        [[ $known == *" $area "* ]] || fail "test: there is no area '$area'; use$known"
    done
    setup_for build run test || return 1
    rm -rf "$LOGS"
    mkdir -p "$LOGS"
    if [[ " ${*:-all} " =~ \ (all|tidy|unit|sim|e2e|net)\  ]]; then
        build_preset dev || { counted failed "build of preset dev"; verdict; return 1; }
    fi
    if [ $# -eq 0 ]; then
        test_ctest tidy -L '^tidy$'
        test_ctest unit -L '^unit$'
        test_ctest sim -L '^sim$'
        test_ctest other -LE '^(tidy|unit|sim)$'
        test_fuzz '' "${CHQ_FUZZ_SECONDS:-20}"
        test_scripts e2e
        test_scripts net
    else
        for area in "$@"; do
            case $area in
                tidy | unit | sim) test_ctest "$area" -L "^$area\$" ;;
                fuzz) test_fuzz '' "${CHQ_FUZZ_SECONDS:-20}" ;;
                e2e | net) test_scripts "$area" ;;
            esac
        done
    fi
    verdict
}

# test_ctest AREA CTEST-ARGUMENTS...: run and count tests that ctest knows.
test_ctest() {
    local area=$1 log=$LOGS/$1.log xml=$LOGS/$1.xml all failed skipped name
    shift
    # shellcheck disable=SC2046
    CHQ_LOG_LINES=0 logged "$area tests" "$log" $(steady_addresses) ctest --test-dir build/dev "$@" \
        -j "$CHQ_JOBS" --output-on-failure --no-tests=ignore --output-junit "$xml"
    if [ ! -f "$xml" ]; then
        grep -q 'No tests were found' "$log" || { cat "$log"; counted failed "$area" "ctest did not run"; }
        return
    fi
    all=$(grep -o '^<testcase\|[[:space:]]<testcase' "$xml" | wc -l)
    failed=$(grep -c '<testcase.*status="fail"' "$xml")
    skipped=$(grep -cE '<testcase.*status="(notrun|disabled)"' "$xml")
    if [ "$failed" -gt 0 ]; then
        cat "$log"
        while read -r name; do say "    failed: $name"; done < <(sed -n 's/.*<testcase name="\([^"]*\)".*status="fail".*/\1/p' "$xml")
    fi
    while read -r name; do say "    skipped: $name"; done < <(sed -nE 's/.*<testcase name="([^"]*)".*status="(notrun|disabled)".*/\1/p' "$xml")
    FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped)) PASSED=$((PASSED + all - failed - skipped))
    say "    $area: $((all - failed - skipped)) of $all passed"
}

# test_scripts AREA [NAME]: tests/AREA/NAME.sh, given the build folder; exit 0 passed, 77 skipped with the reason as last
# line. A file for others to source says so in a comment that begins with 'Not a test'.
test_scripts() {
    local area=$1 only=${2:-} script name log rc
    for script in tests/"$area"/*.sh; do
        [ -x "$script" ] && ! head -n 20 "$script" | grep -q '^# Not a test' || continue
        name=$(basename "$script" .sh)
        [ -z "$only" ] || [ "$only" = "$name" ] || continue
        log=$LOGS/$area/$name.log
        CHQ_LOG_LINES=200 logged "$area/$name" "$log" timeout -k 10 "${CHQ_SCRIPT_SECONDS:-600}" \
            "$script" "$PWD/build/dev"
        rc=$?
        case $rc in
            0) counted passed "$area/$name" ;;
            77) counted skipped "$area/$name" "$(tail -n 1 "$log")" ;;
            124 | 137) counted failed "$area/$name" "no end after ${CHQ_SCRIPT_SECONDS:-600} s" ;;
            *) counted failed "$area/$name" "exit $rc, log $log" ;;
        esac
    done
}

# One fuzz target for some seconds; findings and the log stay in the log folder.
fuzz_one() {
    local program=$1 seconds=$2 name corpus rc
    name=$(basename "$program")
    mkdir -p "$LOGS/fuzz/$name" "build/fuzz-corpus/$name"
    corpus=$(find tests/fuzz -type d -name '*.corpus' | while read -r d; do
        [ "fuzz_$(dirname "${d#tests/fuzz/}" | tr / _)_$(basename "$d" .corpus)" = "$name" ] && echo "$d"
    done)
    # shellcheck disable=SC2046,SC2086
    timeout -k 5 $((seconds + 60)) $(steady_addresses) "$program" -max_total_time="$seconds" -rss_limit_mb=2048 \
        -timeout=10 -print_final_stats=1 -artifact_prefix="$LOGS/fuzz/$name/" "build/fuzz-corpus/$name" $corpus \
        >"$LOGS/fuzz/$name.log" 2>&1
    rc=$?
    echo "$rc $name $(sed -n 's/^stat::number_of_executed_units: *//p' "$LOGS/fuzz/$name.log")"
}

# test_fuzz TARGET SECONDS: all targets (or the one named) with the sanitizers, two at a time.
test_fuzz() {
    local only=$1 seconds=$2 programs rc name runs at_once=2 n
    CHQ_LOG_LINES=60 build_preset fuzz fuzzers || { counted failed "build of the fuzz targets"; return; }
    programs=$(find build/fuzz/fuzzers -maxdepth 1 -type f -executable -name "fuzz_*" 2>/dev/null | sort)
    [ -z "$only" ] || programs=$(grep -E "/(fuzz_)?$only\$" <<<"$programs")
    if [ -z "$programs" ]; then
        [ -z "$only" ] || fail "fuzz: there is no target '$only'; there are: $(find build/fuzz/fuzzers -name 'fuzz_*' -printf '%f\n' | sort | paste -sd ' ')"
        say "    fuzz: no targets"
        return
    fi
    n=$(wc -l <<<"$programs")
    say "==> fuzz: $n targets, $seconds s each, $at_once at a time (about $(((n + at_once - 1) / at_once * seconds)) s)"
    export LOGS
    export -f fuzz_one steady_addresses
    mkdir -p "$LOGS/fuzz"
    while read -r rc name runs; do
        if [ "$rc" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
            counted passed "$name"
            say "    [$SECONDS s] $name: $runs runs, nothing found"
        else
            counted failed "$name" "exit $rc; input and log in $LOGS/fuzz"
            tail -n 60 "$LOGS/fuzz/$name.log"
        fi
    done < <(xargs -P $at_once -I{} bash -c 'fuzz_one "$1" "$2"' _ {} "$seconds" <<<"$programs")
}

run_fuzz() {
    local target='' seconds=20
    case $# in
        0) ;;
        1) if [[ $1 =~ ^[0-9]+$ ]]; then seconds=$1; else target=$1; fi ;;
        2) target=$1 seconds=$2 ;;
        *) fail "usage: ./run fuzz [TARGET] [SECONDS]" ;;
    esac
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "fuzz: '$seconds' is not a number of seconds"
    setup_for build test || return 1
    test_fuzz "$target" "$seconds"
    verdict
}

run_net() {
    setup_for build run test || return 1
    build_preset dev || return 1
    [ -z "${1:-}" ] || [ -x "tests/net/$1.sh" ] ||
        fail "net: there is no '$1'; there are: $(find tests/net -name '*.sh' -printf '%f ' 2>/dev/null | sed 's/\.sh//g')"
    test_scripts net "${1:-}"
    verdict
}

# The simulator: clients, relays and a ledger on a virtual clock, from a seed.
run_sim() {
    setup_for build test || return 1
    build_preset dev chq_sim || return 1
    [ $# -gt 0 ] || set -- --seeds 1 100
    exec "$(find build/dev -name chq_sim -type f -executable | head -n 1)" "$@"
}
