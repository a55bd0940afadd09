#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Show that a check can fail: feed it bad trees, and a good one. usage: selftest.py CHECK [COMPILER]"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

# A bad word is written in two pieces, so that this file passes the checks it tests.
GOOD = {
    "core/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nforeach(part base crypto wire)\nendforeach()\n",
    "core/base/a.h": SPDX + "int chq_a(int x);\n",
    "core/wire/b.c": SPDX + '#include "core/base/a.h"\nint chq_b(void)\n{\n    /* not str' + 'cpy() */\n    return chq_a(1);\n}\n',
    "ledger/light/l.h": SPDX + '#include "core/base/a.h"\n',
    "relay/web/w.c": SPDX + '#include "ledger/light/l.h"\n',
    "p2p/ice/i.c": SPDX + "#include <nice/agent.h>\n",
    "tests/e2e/t.sh": "#!/bin/bash\n# SPDX-License-Identifier: Apache-2.0\nuntil test -e x; do sleep 0.1; done\n",
    "README.md": "See [the header](core/base/a.h) and [a site](https://example.org/).\n",
}
BAD = {
    "folder_cycles": [{"core/base/a.h": SPDX + '#include "core/wire/w.h"\n',
                       "core/wire/w.h": SPDX + '#include "core/base/a.h"\n'}],
    "header_cycles": [{"core/base/a.h": '#include "core/base/z.h"\n', "core/base/z.h": '#include "core/base/a.h"\n'},
                      {"core/base/a.h": '#include "core/base/a.h"\n'}],
    "may_use": [{"core/base/x.c": '#include "ledger/light/l.h"\n'},
                {"core/base/x.c": '#include "core/wire/w.h"\n', "core/wire/w.h": ""},
                {"relay/turn/x.c": '#include "ledger/engine/e.h"\n'},
                {"relay/turn/x.c": '#include "ledger/state/apply.h"\n'},
                {"client/cli/x.c": '#include "relay/turn/t.h"\n'},
                {"p2p/ice/x.c": '#include "i.h"\n'},
                {"client/sdk/CMakeLists.txt": "chq_library(client_sdk DEPS core_base ledger_engine)\n"}],
    "glib": [{"core/base/x.c": "#include <glib.h>\n"}, {"relay/web/x.c": "#include <gio/gio.h>\n"},
             {"p2p/path/x.c": "#include <nice/agent.h>\n"}],
    "banned": [{"client/cli/x.c": f"int f(char *a){{ str{w}; }}\n"} for w in ("cpy(a, a)", "cat(a, a)", "tok(a, a)")]
              + [{"core/base/x.c": f"int f(char *a){{ return {w}(a); }}\n"} for w in ("at" + "oi", "ge" + "ts", "alloc" + "a")],
    "sleep": [{"tests/unit/core/base/x_test.c": "void f(void){ usl" + "eep(10); }\n"},
              {"tests/net/x.sh": "#!/bin/bash\nsl" + "eep 2\n"}, {"tests/e2e/x.py": "import time\ntime.sl" + "eep(1)\n"}],
    "spdx": [{"core/base/x.c": "int x;\n"}, {"tests/e2e/x.sh": "#!/bin/sh\ntrue\n"}, {"client/tool": "#!/bin/bash\ntrue\n"}],
    "format": [{"core/base/x.c": SPDX + "int f( void ){return 1;}\n"}],
    "places": [{"README.md": "It is in /wo" + "rk/main.\n"}, {"packaging/x.sh": "curl http://deb.deb" + "ian.org/x\n"},
               {"docs/x.md": "see https://registry.npm" + "js.org/x\n"}],
    "unfinished": [{"core/base/x.c": "/* TO" + "DO: later */\n"}, {"docs/x.md": "FIX" + "ME\n"}],
    "scripts": [{"tests/e2e/x.sh": "#!/bin/bash\nif true; then\n"}, {"tests/e2e/x.py": "def f(:\n"}],
    "links": [{"README.md": "[gone](docs/gone.md)\n"}],
}
# Compiled offences: (flags, source, where it goes)
BUILT = {
    "symbols": [("core_base", "extern long time(long *); long chq_x(void) { return time(0); }"),
                ("core_session", "extern int socket(int, int, int); int chq_x(void) { return socket(1, 1, 0); }"),
                ("relay_turn", "extern int chq_system_random(void); int chq_x(void) { return chq_system_random(); }"),
                ("core_crypto", "extern void crypto_secretbox_keygen(void *); void chq_x(void) { crypto_secretbox_keygen(0); }"),
                ("core_wire", "extern void randombytes_buf(void *); void chq_x(void) { randombytes_buf(0); }")],
    "hardening": [["-no-pie"], ["-pie", "-Wl,-z,norelro"], ["-pie", "-Wl,-z,lazy"], ["-pie", "-Wl,-z,execstack"]],
}
GOOD_LINK = ["-fPIE", "-pie", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]


def write(root, files):
    shutil.copy(os.path.join(HERE, "../../.clang-format"), root)
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        if text.startswith("#!"):
            os.chmod(path, 0o755)


def run(check, root, build=""):
    result = subprocess.run([sys.executable, os.path.join(HERE, "tidy.py"), check, root, build or os.path.join(root, "build")],
                            capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def compiled(check, compiler, item, root):
    """Build a library or a program with the offence (item None: without one)."""
    source, build = os.path.join(root, "x.c"), os.path.join(root, "build")
    os.makedirs(os.path.join(build, "lib"))
    os.makedirs(os.path.join(build, "bin"))
    if check == "symbols":
        library, text = item or ("core_base", "extern void *malloc(unsigned long); void *chq_x(void) { return malloc(1); }")
        write(root, {"x.c": text + "\n"})
        subprocess.run([compiler, "-c", "-fno-builtin", source, "-o", source + ".o"], check=True)
        subprocess.run(["ar", "rcs", os.path.join(build, "lib", f"lib{library}.a"), source + ".o"], check=True)
    else:
        write(root, {"x.c": "int main(void) { return 0; }\n"})
        flags = GOOD_LINK + (item or [])
        subprocess.run([compiler] + flags + [source, "-o", os.path.join(build, "bin", "x")], check=True)
    os.unlink(source)
    return build


def main(check, compiler):
    failures, count = [], 0
    cases = [None] + BUILT.get(check, []) if check in BUILT else [{}] + BAD[check]
    for case in cases:
        with tempfile.TemporaryDirectory() as root:
            build = ""
            if check in BUILT:
                build = compiled(check, compiler, case, root)
            else:
                write(root, {**GOOD, **case})
            code, said = run(check, root, build)
            count += 1
            if code != (1 if case else 0):
                failures.append(f"case {case}: exit {code}, said: {said}")
    print("\n".join(failures) or f"{check}: refuses {count - 1} bad trees, passes a good one")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in {**BAD, **BUILT}:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cc"))
