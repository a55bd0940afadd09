# SPDX-License-Identifier: Apache-2.0
# ./run bench [NAME]: NAME is a folder of tests/bench, or the start of a benchmark's name. Every tests/bench/AREA/bench.sh
# gets the release build (and NAME, also as CHQ_BENCH_ONLY) and prints one JSON object a line.

run_bench() {
    local json=no only='' arg script area want='*' log out=build/bench/results.jsonl rc=0
    for arg in "$@"; do
        case $arg in
            --json) json=yes ;;
            --markdown) json=markdown ;;
            -*) fail "usage: ./run bench [NAME] [--json | --markdown]" ;;
            *) only=$arg ;;
        esac
    done
    {
        setup_for build run test && build_preset release || return 1
    } >&2
    mkdir -p build/bench
    : >$out
    if [ -n "$only" ] && [ -d "tests/bench/$only" ]; then want=$only only=''; fi
    # shellcheck disable=SC2231
    for script in tests/bench/$want/bench.sh; do
        [ -x "$script" ] || continue
        area=$(basename "$(dirname "$script")")
        log=build/bench/$area.jsonl
        CHQ_BENCH_ONLY=$only logged "bench $area" build/logs/bench-"$area".log \
            bash -c '"$1" "$2" "$3" >"$4"' _ "$script" "$PWD/build/release" "$only" "$log" >&2 || rc=1
        [ ! -f "$log" ] || cat "$log" >>$out
    done
    /usr/bin/python3 packaging/run.d/bench_table.py "$out" "$only" "$json" || rc=1
    return $rc
}
