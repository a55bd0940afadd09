# SPDX-License-Identifier: Apache-2.0
"""Two accounts for the app of library.sh, and its run."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import lab as chasqui_lab  # noqa: E402

lab = chasqui_lab.Lab(sys.argv[1])
try:
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1")
    for name in ("ana", "bo"):
        lab.cli(name, "init", "--invite", lab.invite("north"), "--handle", name)
    code, out, err = lab.run([sys.argv[2], lab.path("ana"), lab.path("bo"), lab.passphrase], check=False)
    print((out + err).strip())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    code = 1
sys.exit(code)
