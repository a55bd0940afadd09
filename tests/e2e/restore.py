# SPDX-License-Identifier: Apache-2.0
"""The 24 words bring an account back: same account, handle and credit on a new machine, and messages reach it.
usage: restore.sh BUILD_DIR"""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402


def main():
    failed = []

    def check(what, fine, detail=""):
        print(f"{'ok   ' if fine else 'FAIL '} {what}" + (f": {detail}" if not fine else ""), flush=True)
        if not fine:
            failed.append(what)

    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1")
    invite = lab.invite("north")
    _, out, _ = lab.cli("ana", "init", "--invite", invite, "--handle", "ana", "--json")
    words = next(e["words"] for e in map(json.loads, out.splitlines()) if e["event"] == "words")
    lab.cli("bo", "init", "--invite", invite, "--handle", "bo")
    lab.cli("ana", "add", "bo")
    account = json.loads(lab.cli("ana", "id", "--json")[1])["account"]
    credit = lab.balance("ana")
    shutil.rmtree(lab.path("ana")) if os.path.isdir(lab.path("ana")) else os.unlink(lab.path("ana"))

    some = words.split()
    rows = [
        (1, "23 words", " ".join(some[:23]), "24"),
        (2, "a word that is none", " ".join(["llama"] + some[1:]), "word 1"),
        (3, "two words swapped", " ".join(some[1::-1] + some[2:]) if some[0] != some[1] else "", "swapped"),
        (4, "nothing", "", "24"),
    ]
    for number, what, text, says in rows:
        code, out, err = lab.cli("bad", "init", "--invite", invite, "--handle", "ana", "--words-file", "-",
                                 stdin=text.encode(), check=False)
        check(f"{number} {what} is refused with words", code == 2 and says in err and not os.path.exists(lab.path("bad")), f"{code} {out} {err}")
    code, out, err = lab.cli("other", "init", "--invite", invite, "--handle", "bo", "--words-file", "-",
                             stdin=words.encode(), check=False)
    check("5 with another's handle the account still comes back as itself",
          code == 0 and json.loads(lab.cli("other", "id", "--json")[1])["handle"] == "ana", f"{code} {out} {err}")

    code, out, err = lab.cli("ana2", "init", "--invite", invite, "--handle", "ana", "--words-file", "-",
                             stdin=words.upper().encode(), check=False)
    check("the account comes back", code == 0, f"{code} {out} {err}")
    me = json.loads(lab.cli("ana2", "id", "--json")[1])
    check("it is the same account with its handle", me["account"] == account and me["handle"] == "ana" and me["registered"], str(me))
    check("no credit is lost but what new channels hold", 0 < lab.balance("ana") <= credit)
    lab.cli("bo", "add", "ana")
    ana, bo = lab.listen("ana2"), lab.listen("bo")
    ana.wait("ana listens", 20, "ready")
    bo.say("send ana welcome back")
    ana.wait("a message reaches the new device", 40, "received", lambda e: e["text"] == "welcome back")
    ana.say("send bo it is good to be here")
    bo.wait("and one comes back", 40, "received", lambda e: e["text"] == "it is good to be here")
    check("messages reach the new device and come from it", True)
    check("both quit", ana.quit() == 0 and bo.quit() == 0)
    print("passed" if not failed else "FAILED: " + ", ".join(failed))
    return 1 if failed else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
