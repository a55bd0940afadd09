# SPDX-License-Identifier: Apache-2.0
"""Kill the ledger at random moments while 8 payers submit. After every restart: each answered batch is in the proved
state, each batch counted once (the sink has exactly what was paid), and nothing is there that was not sent."""
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile

build = sys.argv[1]
kills = int(sys.argv[2]) if len(sys.argv) > 2 else 40
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
LEDGER = os.path.join(build, "bin", "chasqui-ledger")
LOAD = os.path.join(build, "tests", "ledger_load")
draw = random.Random(seed)
folder = tempfile.mkdtemp(prefix="chq-ledger-kill-")
chain = os.path.join(folder, "chain")
running = []
acknowledged = {}  # payer -> highest nonce that was answered


def must(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"FAILED: {' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def start():
    """Start the daemon and wait for its word that it is ready."""
    daemon = subprocess.Popen([LEDGER, "run", "--dir", chain], stderr=subprocess.PIPE, text=True)
    running.append(daemon)
    notes = []
    while True:
        line = daemon.stderr.readline()
        if not line:
            raise SystemExit(f"FAILED: the ledger does not start: {''.join(notes)}")
        notes.append(line)
        if "ready at" in line:
            return daemon, notes


def load_until(count):
    """Run the submitter until it reported `count` answers; return it with what it said so far."""
    load = subprocess.Popen([LOAD, "run", chain], stdout=subprocess.PIPE)
    running.append(load)
    said = b""
    while said.count(b"\n") < count:
        if not select.select([load.stdout], [], [], 30)[0]:
            raise SystemExit("FAILED: no answer for 30 s")
        piece = os.read(load.stdout.fileno(), 4096)
        if not piece:
            raise SystemExit(f"FAILED: the submitter ended by itself after {said.count(chr(10).encode())} answers")
        said += piece
    return load, said


def note(said):
    lines = said.decode().split("\n")[:-1]
    for line in lines:
        payer, nonce = map(int, line.split())
        acknowledged[payer] = nonce
    return len(lines)


def check():
    for line in must(LOAD, "check", chain).splitlines():
        payer, nonce, paid = map(int, line.split())
        # nonce is the next one; all that was answered is below it, and at most one more was in flight.
        if not acknowledged.get(payer, 0) < nonce <= acknowledged.get(payer, 0) + 2:
            raise SystemExit(f"FAILED: payer {payer}: answered up to {acknowledged.get(payer)}, the ledger is at {nonce}")
        acknowledged[payer] = nonce - 1


def main():
    answered = torn = 0
    must(LEDGER, "init", "--dir", chain, "--chain-id", "kill-1")
    daemon, _ = start()
    must(LOAD, "setup", chain)
    for _ in range(kills):
        load, said = load_until(draw.randrange(1, 250))
        daemon.kill()
        daemon.wait()
        said += load.stdout.read()
        load.wait()
        answered += note(said)
        daemon, notes = start()
        torn += any(re.search("cut off", line) for line in notes)
        check()
    daemon.terminate()
    if daemon.wait(30) != 0:
        raise SystemExit(f"FAILED: the ledger ended with {daemon.returncode} on SIGTERM")
    print(must(LEDGER, "verify", "--dir", chain).splitlines()[0])
    print(f"{kills} kills (seed {seed}), {answered} batches answered, none lost, none doubled; {torn} torn ends cut off")


try:
    main()
finally:
    for process in running:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
