# SPDX-License-Identifier: Apache-2.0
# ./run setup: distribution packages from packaging/packages.txt, then libsodium from packaging/libsodium.pins.

APT_OPTIONS=(-o DPkg::Lock::Timeout=900 -o Dpkg::Use-Pty=0 -q -y --no-install-recommends --no-remove)

# setup_for [PURPOSE...]: everything for these purposes, or for all.
setup_for() {
    local purpose
    [ $# -gt 0 ] || set -- build run test
    for purpose in "$@"; do
        case $purpose in build | run | test) ;; *) fail "setup: '$purpose' is not a purpose; use build, run or test" ;; esac
    done
    mkdir -p build/logs 2>/dev/null && [ -w build/logs ] ||
        fail "cannot write to build/: it belongs to another user (was ./run started with sudo before?)"
    setup_packages "$@" && setup_sodium
}

# missing_packages KIND PURPOSE...: the packages that are not installed; KIND is needed or optional.
missing_packages() {
    local wanted kind=$1
    shift
    wanted=$(awk -v purposes=" $* " -v kind="$kind" \
        '/^[^#]/ && NF >= 2 && index(purposes, " " $1 " ") && (kind == "optional") == ($3 == "optional") { print $2 }' \
        packaging/packages.txt | sort -u)
    [ -n "$wanted" ] || return 0
    # shellcheck disable=SC2086
    dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
        awk '$2 == "installed" { print $1 }' | sort -u | comm -13 - <(printf '%s\n' "$wanted")
}

setup_packages() {
    local missing optional
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        warn "no apt-get here: install the equivalents of packaging/packages.txt by hand; going on with what is there"
        return 0
    fi
    missing=$(missing_packages needed "$@" | paste -sd ' ')
    optional=$(missing_packages optional "$@" | paste -sd ' ')
    [ "$optional" != "$(cat build/optional-refused 2>/dev/null)" ] || optional='' # asked before, to no avail
    if [ -z "$missing$optional" ]; then
        say "packages for $*: all installed"
        return 0
    fi
    say "packages for $*: missing $missing${optional:+ (and to test against: $optional)}"
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        [ -n "$missing" ] || return 0
        fail "installing packages needs root and there is no sudo; as root run: apt-get install $missing"
    fi
    logged "refresh the package lists" build/logs/apt-update.log as_root apt-get update -q -o DPkg::Lock::Timeout=900 ||
        warn "going on with the package lists that are there"
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086
        logged "install $(wc -w <<<"$missing") packages" build/logs/apt-install.log install_quietly $missing ||
            fail "a package could not be installed; if this is not Debian 12, adapt packaging/packages.txt"
        missing=$(missing_packages needed "$@" | paste -sd ' ')
        [ -z "$missing" ] || fail "still not installed: $missing"
    fi
    if [ -n "$optional" ]; then
        # shellcheck disable=SC2086
        logged "install to test against: $optional" build/logs/apt-optional.log install_quietly $optional || {
            warn "going on without; the tests that want $optional will be skipped"
            missing_packages optional "$@" | paste -sd ' ' >build/optional-refused
        }
    fi
}

# Install, but remove nothing and start no server: a program to test against must neither listen on this machine nor
# take the place of the desktop's sound server. A unit that is masked here can be unmasked by systemctl.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d ours=no rc unit
    for unit in coturn:system/coturn.service pulseaudio:user/pulseaudio.service pulseaudio:user/pulseaudio.socket; do
        if [[ " $* " == *" ${unit%%:*} "* ]] && [ ! -e "/etc/systemd/${unit#*:}" ]; then
            as_root mkdir -p "/etc/systemd/$(dirname "${unit#*:}")"
            as_root ln -s /dev/null "/etc/systemd/${unit#*:}"
            echo "masked ${unit#*:}"
        fi
    done
    if [ ! -e $policy ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${APT_OPTIONS[@]}" "$@"
    rc=$?
    [ $ours = no ] || as_root rm -f $policy
    return $rc
}

sodium_is_there() { PKG_CONFIG_PATH=$CHQ_DEPS_PREFIX/lib/pkgconfig pkg-config --exists 'libsodium >= 1.0.22'; }

setup_sodium() {
    local version sha256 bytes source url ready=
    command -v pkg-config >/dev/null || fail "pkg-config is missing: run './run setup build'"
    if sodium_is_there; then
        say "libsodium: $(PKG_CONFIG_PATH=$CHQ_DEPS_PREFIX/lib/pkgconfig pkg-config --modversion libsodium) is there"
        return 0
    fi
    say "libsodium: the system has $(pkg-config --modversion libsodium 2>/dev/null || echo none), Chasqui needs 1.0.22"
    mkdir -p build/deps-src
    while read -r version sha256 bytes source url; do
        if sodium_archive "$version" "$sha256" "$bytes" "$source" "$url"; then
            ready=$version
            break
        fi
    done < <(grep -v '^#' packaging/libsodium.pins)
    [ -n "$ready" ] || fail "no pinned libsodium could be fetched. Put one of these files into build/deps-src yourself and run \
again: $(grep -v '^#' packaging/libsodium.pins | awk '{ print "libsodium-" $1 ".tar.gz (sha256 " $2 ") from " $5 }' | paste -sd ' ')"
    logged "build libsodium $ready" build/logs/libsodium.log sodium_build "$ready" || fail "libsodium did not build"
    sodium_is_there || fail "libsodium was built but pkg-config does not find it under $CHQ_DEPS_PREFIX"
}

matches_pin() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# sodium_archive VERSION SHA256 BYTES SOURCE URL: put the pinned archive into build/deps-src, from upstream or the distribution.
sodium_archive() {
    local version=$1 sha256=$2 bytes=$3 source=$4 url=$5 file=build/deps-src/libsodium-$1.tar.gz start=$SECONDS
    if matches_pin "$file" "$sha256"; then
        say "libsodium $version: the archive is there"
        return 0
    fi
    rm -f "$file"
    if curl --fail --silent --show-error --location --connect-timeout 5 --max-time 120 --speed-limit 2000 \
        --speed-time 8 --max-filesize $((bytes * 2)) --output "$file" "$url" 2>build/logs/curl.log; then
        if matches_pin "$file" "$sha256"; then
            say "libsodium $version: fetched from upstream in $((SECONDS - start)) s, hash as pinned"
            return 0
        fi
        say "libsodium $version: upstream's archive does not have the pinned hash, not used"
        rm -f "$file"
    else
        say "libsodium $version: upstream cannot be reached ($((SECONDS - start)) s: $(tail -n 1 build/logs/curl.log))"
    fi
    start=$SECONDS
    if logged "libsodium $version: the distribution's source package" build/logs/apt-source.log sodium_apt_source "$source" \
        && mv -f build/deps-src/apt/libsodium_"$version".orig.tar.gz "$file" && matches_pin "$file" "$sha256"; then
        rm -rf build/deps-src/apt
        say "libsodium $version: fetched as source package in $((SECONDS - start)) s, hash as pinned"
        return 0
    fi
    rm -f "$file"
    say "libsodium $version: not from the distribution either"
    return 1
}

# Fetch a source package of the distribution's newest branch through a private apt tree, so that the machine's own
# apt is left as it is. The place to fetch from is the one the machine uses.
sodium_apt_source() {
    local source=$1 top=$PWD/build/deps-src/apt mirror signed=
    command -v apt-get >/dev/null || { echo "no apt-get on this machine"; return 1; }
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    [ -n "$mirror" ] || { echo "apt on this machine has no source to take packages from"; return 1; }
    [ ! -f /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] '
    rm -rf "$top"
    mkdir -p "$top"/state/lists/partial "$top"/cache/archives/partial "$top"/none
    : >"$top/state/status"
    echo "deb-src ${signed}${mirror} sid main" >"$top/sources.list"
    cat >"$top/apt.conf" <<C
Dir::State "$top/state";
Dir::State::status "$top/state/status";
Dir::Cache "$top/cache";
Dir::Etc::sourcelist "$top/sources.list";
Dir::Etc::sourceparts "$top/none";
APT::Sandbox::User "$(id -un)";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::http::Timeout "15";
Acquire::Retries "1";
C
    (
        cd "$top" || exit 1
        export APT_CONFIG=$top/apt.conf
        apt-get update -q || exit 1
        apt-get source --download-only -q "libsodium=$source" || apt-get source --download-only -q libsodium
    )
}

sodium_build() {
    local dir=build/deps-src/libsodium-$1
    rm -rf "$dir"
    mkdir -p "$dir" "$CHQ_DEPS_PREFIX" || return 1
    tar -xzf "build/deps-src/libsodium-$1.tar.gz" -C "$dir" --strip-components=1 || return 1
    (
        cd "$dir" || exit 1
        ./configure --prefix="$CHQ_DEPS_PREFIX" --disable-shared --enable-static --with-pic --disable-dependency-tracking &&
            make -j"$CHQ_JOBS" && make install
    ) && rm -rf "$dir"
}
