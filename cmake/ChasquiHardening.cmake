# SPDX-License-Identifier: Apache-2.0
# Warning and hardening flags, each probed: a compiler that refuses one builds without it and says so.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

add_library(chq_flags INTERFACE)

function(chq_probe_compile)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "CHQ_HAS${flag}" var)
        set(CMAKE_REQUIRED_FLAGS "-Werror")
        check_c_compiler_flag("${flag}" ${var})
        unset(CMAKE_REQUIRED_FLAGS)
        if(${var})
            target_compile_options(chq_flags INTERFACE "${flag}")
        endif()
    endforeach()
endfunction()

function(chq_probe_link)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "CHQ_LINKS${flag}" var)
        check_linker_flag(C "${flag}" ${var})
        if(${var})
            target_link_options(chq_flags INTERFACE "${flag}")
        endif()
    endforeach()
endfunction()

chq_probe_compile(-Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wpointer-arith -Wimplicit-fallthrough -Wtrampolines -Wbidi-chars=any
    -Werror=format-security -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion)
# clang counts CHQ_ASSERT(!"why") as a conversion.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    chq_probe_compile(-Wno-string-conversion)
endif()
if(CHQ_WERROR)
    chq_probe_compile(-Werror)
endif()
chq_probe_compile(-fstack-clash-protection -fstack-protector-strong -fcf-protection=full
    -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -ftrivial-auto-var-init=zero
    -fstrict-flex-arrays=3)
chq_probe_link(-Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)
target_compile_definitions(chq_flags INTERFACE _GNU_SOURCE)

if(CHQ_SANITIZE)
    target_compile_options(chq_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
        -fno-omit-frame-pointer -O1)
    target_link_options(chq_flags INTERFACE -fsanitize=address,undefined)
else()
    # Fortified calls need an optimiser; the sanitizers have their own checks.
    target_compile_options(chq_flags INTERFACE
        "$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
endif()
if(CHQ_FUZZ)
    target_compile_options(chq_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

include(CheckPIESupported)
check_pie_supported()
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
    set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()
