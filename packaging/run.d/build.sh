# SPDX-License-Identifier: Apache-2.0
# ./run build: configure once, build what changed.

# build_preset PRESET [TARGET]
build_preset() {
    local preset=$1 target=${2:-all}
    case $preset in release | dev | fuzz) ;; *) fail "build: there is no preset '$preset'; use release, dev or fuzz" ;; esac
    if [ ! -f "build/$preset/build.ninja" ] ||
        ! grep -qsx "CHQ_DEPS_PREFIX:[A-Z]*=$CHQ_DEPS_PREFIX" "build/$preset/CMakeCache.txt"; then
        logged "configure $preset" "build/logs/configure-$preset.log" \
            cmake --preset "$preset" -DCHQ_DEPS_PREFIX="$CHQ_DEPS_PREFIX" || return 1
    fi
    CHQ_LOG_LINES=60 logged "build $preset" "build/logs/build-$preset.log" \
        cmake --build --preset "$preset" --target "$target" --parallel "$CHQ_JOBS"
}
