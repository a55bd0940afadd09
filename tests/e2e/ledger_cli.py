# SPDX-License-Identifier: Apache-2.0
"""What chasqui-ledger tells people: the way through, and every wrong turn with its reason and exit status."""
import glob
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile

LEDGER = os.path.join(sys.argv[1], "bin", "chasqui-ledger")
folder = tempfile.mkdtemp(prefix="chq-ledger-cli-")
chain = os.path.join(folder, "chain")
checks = 0
running = []


def run(*words, status=0, says="", env=None):
    global checks
    done = subprocess.run([LEDGER, *words], capture_output=True, text=True, timeout=60, env=env)
    text = done.stdout + done.stderr
    if done.returncode != status or says not in text or "Sanitizer" in text:
        raise SystemExit(f"FAILED: chasqui-ledger {' '.join(words)}: exit {done.returncode}, wanted {status} and "
                         f"'{says}': {text}")
    checks += 1
    return done.stdout


def start(*words):
    daemon = subprocess.Popen([LEDGER, "run", "--dir", chain, *words], stderr=subprocess.PIPE, text=True)
    running.append(daemon)
    for line in daemon.stderr:
        if "ready at" in line:
            return daemon
    raise SystemExit("FAILED: the ledger does not start")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stop(daemon):
    daemon.terminate()
    if daemon.wait(30) != 0:
        raise SystemExit(f"FAILED: the ledger ended with {daemon.returncode}")


def frames(data, want=1):
    """Send bytes to the ledger's socket; return the frames that come back before it closes or `want` are there."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(os.path.join(chain, "ledger.sock"))
    s.sendall(data)
    got, replies = b"", []
    while len(replies) < want:
        while len(got) >= 4 and len(got) >= 4 + struct.unpack(">I", got[:4])[0]:
            size = struct.unpack(">I", got[:4])[0]
            replies.append(got[4:4 + size])
            got = got[4 + size:]
        if len(replies) >= want:
            break
        piece = s.recv(65536)
        if not piece:
            break
        got += piece
    s.close()
    return replies


def wrong_usage():
    run(status=2, says="usage:")
    run("--help", says="A first chain")
    run("dance", "--dir", chain, status=2, says="no such verb")
    run("run", status=2, says="--dir")
    run("init", "--dir", chain, status=2, says="--chain-id")
    run("init", "--dir", chain, "--chain-id", "no spaces", status=2, says="letters")
    run("init", "--dir", os.path.join(folder, "a", "b"), "--chain-id", "x", status=1, says="cannot make the folder")
    run("run", "--dir", os.path.join(folder, "none"), status=1, says="there is no folder")
    run("run", "--dir", folder, status=1, says="not a Chasqui ledger")
    run("query", "moon", "--dir", chain, status=2, says="query takes")
    run("issue", "--dir", chain, status=2, says="usage")


def the_way_through():
    made = json.loads(run("init", "--dir", chain, "--chain-id", "cli-1", "--json"))
    run("init", "--dir", chain, "--chain-id", "cli-2", status=1, says="holds a chain already")
    run("query", "info", "--dir", chain, status=1, says="no ledger answers")
    daemon = start("--listen", f"127.0.0.1:{free_port()}")
    mode = stat.S_IMODE(os.stat(os.path.join(chain, "ledger.sock")).st_mode)
    if mode != 0o600:
        raise SystemExit(f"FAILED: the socket's mode is {mode:o}")
    run("run", "--dir", chain, status=1, says="another chasqui-ledger is running")
    run("verify", "--dir", chain, status=1, says="another chasqui-ledger is running")
    run("issue", "--dir", chain, "--to", made["issuer"], "--amount", "1.0000001", status=2, says="6 decimal places")
    run("issue", "--dir", chain, "--to", made["issuer"], "--amount", "0", status=2, says="above 0")
    run("issue", "--dir", chain, "--to", "nobody", "--amount", "1", status=1, says="nobody has the handle")
    run("issue", "--dir", chain, "--to", "ab" * 32, "--amount", "1", status=1, says="no such receiver")
    run("issue", "--dir", chain, "--to", made["issuer"], "--amount", "5000000000000", status=1, says="refused")
    run("issue", "--dir", chain, "--to", made["issuer"], "--amount", "12.5", says="issued 12.5 credit")
    account = json.loads(run("query", "account", made["issuer"], "--dir", chain, "--json"))
    info = json.loads(run("query", "info", "--dir", chain, "--json"))
    if account["balance"] != "12.5" or info["issued"] != "12.5" or info["conserved"] is not True:
        raise SystemExit(f"FAILED: {account} {info}")
    run("query", "relay", made["issuer"], "--dir", chain, status=1, says="no such relay")
    run("query", "channel", "12", "--dir", chain, status=1, says="64 hexadecimal digits")
    bad_frames()
    stop(daemon)
    run("verify", "--dir", chain, says="conserved   yes")


def bad_frames():
    global checks
    info = b"\xa1\x00\x01"
    for name, data, want, good in [
            ("rubbish", struct.pack(">I", 3) + b"abc", 1, lambda r: r[0][:5] == b"\xa3\x00\x00\x01\x02"),
            ("too long", struct.pack(">I", 2 << 20), 2, lambda r: len(r) == 1 and r[0][:5] == b"\xa3\x00\x00\x01\x04"),
            ("empty frame", struct.pack(">I", 0), 1, lambda r: len(r) == 1),
            ("two in one piece", 2 * (struct.pack(">I", 3) + info), 2, lambda r: len(r) == 2 and r[0] == r[1]),
            ("bad batch", struct.pack(">I", 6) + b"\xa2\x00\x02\x01\x41\x07", 1, lambda r: r[0][:5] == b"\xa3\x00\x02\x01\x02"),
    ]:
        replies = frames(data, want)
        if not good(replies):
            raise SystemExit(f"FAILED: {name}: {replies}")
        checks += 1
    crowd = []
    for _ in range(300):  # more than the ledger takes; it must go on
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(chain, "ledger.sock"))
        crowd.append(s)
    for s in crowd:
        s.close()
    run("query", "info", "--dir", chain, says="cli-1")


def damage():
    run("run", "--dir", chain, "--listen", "0.0.0.0:7400", status=1, says="loopback")
    run("run", "--dir", chain, "--socket", os.path.join(folder, "s" * 200), status=1, says="too long")
    config = os.path.join(chain, "ledger.conf")
    for wrong in ["sockets = /x", "listen", "listen = 127.0.0.1:1\nlisten = 127.0.0.1:2", "log = loud", "= 3"]:
        with open(config, "w", encoding="utf-8") as f:
            f.write("# a comment\n" + wrong + "\n")
        run("run", "--dir", chain, status=1, says="ledger.conf, line")
    elsewhere = os.path.join(folder, "other.sock")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"socket = {elsewhere}\n; no more\nlog = info")
    daemon = start()
    run("query", "info", "--dir", chain, "--socket", elsewhere, says="cli-1")
    stop(daemon)
    os.chmod(os.path.join(chain, "validator.key"), 0o644)
    run("run", "--dir", chain, status=1, says="chmod 600")
    os.chmod(os.path.join(chain, "validator.key"), 0o600)
    journal = glob.glob(os.path.join(chain, "journal-*"))[0]
    with open(journal, "r+b") as f:
        f.seek(100)
        byte = f.read(1)
        f.seek(100)
        f.write(bytes([byte[0] ^ 1]))
    run("run", "--dir", chain, status=1, says="corrupted at byte")
    run("verify", "--dir", chain, status=1, says="corrupted at byte")
    with open(os.path.join(chain, "snapshot.sqlite"), "r+b") as f:
        f.write(b"not a database at all")
    run("run", "--dir", chain, status=1, says="snapshot")


try:
    wrong_usage()
    the_way_through()
    damage()
    print(f"{checks} answers of chasqui-ledger are as they should be")
finally:
    for process in running:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
