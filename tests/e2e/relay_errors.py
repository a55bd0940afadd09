# SPDX-License-Identifier: Apache-2.0
"""What an operator can do wrong with chasqui-relay, and what it says: the exit code, what is wrong and what to do.
usage: relay_errors.sh BUILD_DIR"""
import os
import re
import shutil
import socket
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

FAILED = []


def main():
    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    home = lab.path("r")
    numbers = iter(range(1, 100))

    def row(what, code, says, *arguments, directory=home):
        n = next(numbers)
        got, out, err = lab.run([lab.program("chasqui-relay"), *arguments, *(["--dir", directory] if directory else [])], timeout=20, check=False)
        fine = got == code and all(re.search(s, out + err) for s in says)
        print(f"{'ok   ' if fine else 'FAIL '} {n:2} {what}")
        if not fine:
            FAILED.append(what)
            print(f"        exit {got}, wanted {code}; says: {(out + err).strip()[:400]}")

    row("no verb", 2, ["usage: chasqui-relay VERB"], directory=None)
    row("help", 0, ["usage: chasqui-relay VERB", "A first relay"], "--help", directory=None)
    row("unknown verb", 2, ["there is no verb 'serve'", "--help"], "serve")
    row("unknown option", 2, ["--prot", "--help"], "init", "--prot", "1")
    row("one word too much", 2, ["'now' is too much"], "run", "now")
    row("no such directory", 1, ["No such file", "chasqui-relay init"], "run")
    row("init without a ledger", 2, ["--ledger SOCKET"], "init")
    row("init with a ledger that does not run", 1, ["cannot be reached", "chasqui-ledger run"], "init", "--ledger", lab.path("nothing"))
    row("init with what is no address", 1, ["path of a socket", "numeric IPv4"], "init", "--ledger", "example.org:77")
    for option, value, says in (("--port", "0", "1 to 65535"), ("--price", "-1", "at most 6 places"), ("--quantum", "10", "from 65536"),
                                ("--allow-peer", "10.0.0.0", "a prefix, as"), ("--settle-after", "x", "a number from 1")):
        row(f"init {option} {value}", 2, [f"{option} {value}: it takes", says], "init", "--ledger", lab.ledger_socket, option, value)
    tcp, udp = chasqui_lab.free_ports(2)
    row("init", 0, ["account [0-9a-f]{64}", "chasqui-relay run --dir"], "init", "--ledger", lab.ledger_socket, "--port", str(tcp), "--turn-port", str(udp))
    row("init where a relay is", 1, ["there already", "another --dir"], "init", "--ledger", lab.ledger_socket)
    row("status of what does not run", 1, ["no relay runs in", "chasqui-relay run"], "status")
    row("invite needs no running relay", 0, ["chasqui:"], "invite")

    with socket.socket() as busy:
        busy.bind(("0.0.0.0", tcp))
        busy.listen()
        row("TCP port in use", 1, [f"TCP port {tcp}: Address already in use", r"\[relay\] port"], "run")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.bind(("0.0.0.0", udp))
        row("UDP port in use", 1, [f"{udp}: Address already in use", r"\[turn\]"], "run")
    for name in ("account.key", "tls.key"):
        path = os.path.join(home, name)
        os.chmod(path, 0o644)
        row(f"{name} that others can read", 1, ["mode 644", f"chmod 600 {path}"], "run")
        os.chmod(path, 0o600)
    shutil.move(os.path.join(home, "tls.key"), home + "/away")
    row("tls.key missing", 1, ["tls.key: No such file"], "run")
    shutil.move(home + "/away", os.path.join(home, "tls.key"))

    conf = os.path.join(home, "relay.conf")
    good = open(conf).read()
    for what, old, new, says in (
            ("a port that is none", f"port = {tcp}", "port = abc", [r"line \d+: \[relay\] port = abc: it takes a number from 1 to 65535"]),
            ("an unknown key", f"port = {tcp}", "prot = 1", [r"line \d+: \[relay\] has no key 'prot'; it takes host port"]),
            ("a foreign relay_address", "relay_address = 127.0.0.1", "relay_address = 203.0.113.9", ["not a numeric address of this machine"]),
            ("a static user that nobody pays", "static_unmetered = no", "static_user = u:p", ["static_unmetered = yes"]),
            ("a ledger without validator", "validator = ", "# validator = ", ["validator is missing"])):
        assert old in good, old
        open(conf, "w").write(good.replace(old, new, 1))
        row(what, 1, says, "run")
    open(conf, "w").write(good)

    running = lab.spawn("r", [lab.program("chasqui-relay"), "run", "--dir", home])
    lab.until("the relay runs", 20, lambda: lab.run([lab.program("chasqui-relay"), "status", "--dir", home], check=False)[0] == 0)
    row("status for people", 0, ["account", "carried", "calls"], "status")
    row("status for programs", 0, [r'^\{"account"'], "status", "--json")
    row("the same relay twice", 1, ["is locked", "running already"], "run")
    lab.end(running)

    database = os.path.join(home, "relay.db")
    saved = open(database, "rb").read()

    def put(content):
        for name in os.listdir(home):
            if name.startswith("relay.db"):
                os.unlink(os.path.join(home, name))
        open(database, "wb").write(content)

    put(b"this is not a database at all, whatever its name says" * 100)
    row("a database that is none", 1, ["not a database", "copy of it, or move it away"], "run")
    put(saved[:8192] + b"\x55" * 4096 + saved[12288:])
    row("a damaged database", 1, ["damaged", "copy of it, or move it away"], "run")
    put(b"")
    os.unlink(database)
    sqlite3.connect(database).execute("CREATE TABLE x(a)").connection.close()
    row("somebody else's database", 1, ["is not a relay's database"], "run")
    print("passed" if not FAILED else f"{len(FAILED)} FAILED")
    return 1 if FAILED else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
