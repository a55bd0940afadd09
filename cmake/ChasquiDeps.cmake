# SPDX-License-Identifier: Apache-2.0
# Outside libraries, all from the distribution but libsodium (see ./run: it puts a private build under build/deps
# where the distribution's is older than 1.0.22).
set(CHQ_DEPS_PREFIX "${CMAKE_SOURCE_DIR}/build/deps" CACHE PATH "Where ./run put privately built libraries")
set(ENV{PKG_CONFIG_PATH} "${CHQ_DEPS_PREFIX}/lib/pkgconfig:$ENV{PKG_CONFIG_PATH}")
find_package(PkgConfig REQUIRED)

# chq_dep(NAME pkg-config-spec...): an imported target PkgConfig::NAME, or a clear stop.
function(chq_dep name)
    pkg_check_modules(${name} IMPORTED_TARGET GLOBAL ${ARGN})
    if(NOT ${name}_FOUND)
        message(FATAL_ERROR "chasqui needs ${ARGN}. Run './run setup' to install what is missing.")
    endif()
endfunction()

chq_dep(SODIUM "libsodium>=1.0.22")
chq_dep(SQLITE sqlite3)
chq_dep(LWS libwebsockets)
chq_dep(OPENSSL openssl)
chq_dep(GLIB glib-2.0 gio-2.0 gio-unix-2.0)
chq_dep(NICE nice)
chq_dep(SRTP libsrtp2)
chq_dep(OPUS opus)
chq_dep(SPEEXDSP speexdsp)
chq_dep(PULSE libpulse)
chq_dep(SECRET libsecret-1)
chq_dep(SYSTEMD libsystemd)
chq_dep(JANSSON jansson)
