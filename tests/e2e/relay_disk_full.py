# SPDX-License-Identifier: Apache-2.0
"""The relay's disk fills up under load: requests are refused, nothing that was acknowledged is lost, and with room again it goes on.
usage: relay_disk_full.sh BUILD_DIR"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402


def main():
    failed = []

    def check(what, fine):
        print(f"{'ok   ' if fine else 'FAIL '} {what}")
        if not fine:
            failed.append(what)

    lab = chasqui_lab.Lab(sys.argv[1])
    home = lab.path("relay-north")
    os.mkdir(home)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "none", home], check=False).returncode != 0:
        print("SKIPPED: relay_disk_full cannot mount a small disk")
        return 77
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1", settle_after=1, grant="10")
    relay = lab.relays["north"]
    chain = lab.query("info")["chain_id"]
    filler = os.path.join(home, "filler")
    load = subprocess.Popen([lab.program("relay_load"), "127.0.0.1", str(relay["port"]), chain, "1", "100000", "4000", "8", "500"],
                            stdout=subprocess.PIPE, text=True)
    lab.started.append(load)
    lab.until("the load is served", 20, lambda: lab.relay_status("north")["puts"] > 50)
    with open(filler, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError:
            pass
    log = lab.path("relay-north.log")
    lab.until("the relay says that its disk is full", 20, lambda: "is full" in open(log, errors="replace").read())
    before = lab.relay_status("north")
    check("it still runs and answers", before is not None and not before["disk_broken"])
    os.unlink(filler)
    try:
        lab.until("it stores again", 20, lambda: load.poll() is not None or lab.relay_status("north")["puts"] > before["puts"] + 50)
    except chasqui_lab.Failed:
        print(lab.log_tail("relay-north", 20), lab.relay_status("north"))
        raise
    load.terminate()
    got = json.loads(load.communicate(timeout=60)[0])
    print(f"      {got}")
    check(f"{got['refused']} requests were refused while it was full", got["refused"] > 0)
    check(f"{got['stored']} messages acknowledged, none lost, none doubled", got["lost"] == 0 and got["doubled"] == 0 and got["gaps"] == 0
          and got["strange"] == 0 and load.returncode == 0)
    check("the relay stops cleanly", lab.stop_relay("north") == 0)
    subprocess.run(["umount", home], check=False)
    return 1 if failed else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
