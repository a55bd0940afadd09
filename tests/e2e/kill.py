# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the sender, the receiver and both relays at seeded moments while messages flow. Every message that the sender's SDK
took into its outbox arrives exactly once and in order; one whose acknowledgement the kill swallowed arrives at most once.
usage: kill.sh BUILD_DIR [SEED] [MOMENTS]"""
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

LIMIT_S = 280  # for the kills; the rest takes some seconds


class Run:
    def __init__(self, build, seed, moments):
        self.lab = chasqui_lab.Lab(build)
        self.random = random.Random(seed)
        self.moments = moments
        self.number = 0
        self.sure, self.unsure = [], []  # texts with and without acknowledgement
        self.kills = {}

    def setup(self):
        lab = self.lab
        lab.start_ledger()
        for relay in ("north", "south"):
            lab.start_relay(relay, "127.0.0.1")
        for name, relay in (("ana", "north"), ("bo", "south")):
            lab.cli(name, "init", "--invite", lab.invite(relay), "--handle", name)
        lab.cli("ana", "add", "bo")
        self.ana, self.bo = lab.listen("ana"), lab.listen("bo")
        self.ana.wait("ana connects", 30, "ready")
        self.bo.wait("bo connects", 30, "ready")

    def send(self):
        """One message; (text, the wait for its acknowledgement)."""
        self.number += 1
        text = f"m{self.number} " + "x" * self.random.choice((0, 10, 400, 3000))
        since = len(self.ana.events)
        self.ana.say(f"send bo {text}")
        return text, since

    def kill(self, victim):
        self.kills[victim] = self.kills.get(victim, 0) + 1
        if victim == "ana":
            self.ana.kill()
        elif victim == "bo":
            self.bo.kill()
        else:
            self.lab.kill_relay(victim)

    def restart(self, victim):
        if victim == "ana":
            self.ana = self.lab.listen("ana")
        elif victim == "bo":
            self.bo = self.lab.listen("bo")
        else:
            self.lab.restart_relay(victim)

    def moment(self):
        victim = self.random.choices(("ana", "bo", "south", "north"), (4, 4, 3, 1))[0]
        pending = [self.send() for _ in range(self.random.randrange(1, 4))]
        # The moment: from before the first byte is read to well after everything is delivered.
        self.lab.pause.wait(self.random.choice((0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)) * self.random.random() * 2)
        self.kill(victim)
        for text, since in pending:
            try:
                self.ana.wait("outbox", 20, "queued", lambda e, t=text: self.is_ack(e, t), since)
                self.sure.append(text)
            except chasqui_lab.Failed:
                if victim != "ana":
                    raise
                self.unsure.append(text)
        self.restart(victim)

    def is_ack(self, event, text):
        # acknowledgements come in the order of the commands
        if event.get("taken"):
            return event["taken"] == text
        event["taken"] = text
        return True

    def settle(self):
        """Until nothing waits any more."""
        end = time.time() + 90
        while time.time() < end:
            self.ana.quit(20)
            rows = self.history("ana", "bo")
            left = [r for r in rows if r["state"] in ("waiting", "sent")]
            if not left:
                return True
            self.ana = self.lab.listen("ana")
            self.lab.pause.wait(3)
        print(f"FAIL  {len(left)} messages are not delivered after 90 s of peace: "
              + ", ".join(f"{r['text'][:8]}({r['state']})" for r in left[:10]))
        return False

    def history(self, name, other):
        _, out, _ = self.lab.cli(name, "history", other, "--json")
        return [json.loads(line) for line in out.splitlines()]

    def judge(self):
        self.bo.quit(20)
        got = [r["text"] for r in self.history("bo", "ana") if r["state"] == "received"]
        known = set(self.sure) | set(self.unsure)
        lost = [t[:12] for t in self.sure if t not in got]
        double = sorted({t[:12] for t in got if got.count(t) > 1})
        strange = [t[:12] for t in got if t not in known]
        numbers = [int(t.split()[0][1:]) for t in got]
        ok = True
        for what, bad in (("lost", lost), ("doubled", double), ("never sent", strange)):
            if bad:
                print(f"FAIL  {what}: {bad[:10]}")
                ok = False
        if numbers != sorted(numbers):
            print("FAIL  not in the order of sending")
            ok = False
        print(f"{len(self.sure)} acknowledged, {len(self.unsure)} cut off before the acknowledgement, {len(got)} arrived")
        return ok


def main():
    build = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    moments = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    print(f"seed {seed} (again: tests/e2e/kill.sh BUILD_DIR {seed} {moments})", flush=True)
    run = Run(build, seed, moments)
    ok = False
    try:
        run.setup()
        start = time.time()
        for done in range(1, moments + 1):
            run.moment()
            if done % 20 == 0:
                print(f"{done} kills after {time.time() - start:.0f} s: {run.kills}", flush=True)
            if time.time() - start > LIMIT_S:
                print(f"FAIL  only {done} of {moments} kills in {LIMIT_S} s on this machine")
                break
        else:
            ok = True
        ok = run.settle() and run.judge() and ok
    except chasqui_lab.Failed as e:
        print(f"FAIL  {e}")
    if not ok:
        run.lab.keep = True
        print(f"seed {seed}; files in {run.lab.dir}")
    print("exactly once, in order" if ok else "FAILED")
    return 0 if ok else 1


sys.exit(main())
