# SPDX-License-Identifier: Apache-2.0
"""A ledger, relays and clients as real processes, for end-to-end tests and the demo. Everything that is started is ended."""
import atexit
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


class Failed(Exception):
    """Something promised did not happen."""


def micro(credit):
    """Decimal credit as microcredit."""
    whole, _, part = str(credit).partition(".")
    return int(whole) * 1000000 + int((part + "000000")[:6])


def free_ports(n):
    """Ports that nothing uses now, below the range that the kernel and TURN give out."""
    import random
    found = []
    while len(found) < n:
        port = random.randrange(20000, 30000)
        with socket.socket() as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            try:
                t.bind(("127.0.0.1", port))
                u.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


class Client:
    """One `chasqui listen --json` and what it said."""

    def __init__(self, lab, name, extra=()):
        self.lab, self.name = lab, name
        self.events, self.changed = [], threading.Condition()
        self.log = open(lab.path(name + ".err"), "ab")
        self.process = subprocess.Popen(
            lab.client_command(name, "listen", "--json", *extra), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, env=lab.env, start_new_session=True)
        lab.started.append(self.process)
        self.ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with open(self.lab.path(self.name + ".events"), "ab") as copy:
            for line in self.process.stdout:
                copy.write(line)
                copy.flush()
                try:
                    event = json.loads(line)
                except ValueError:
                    event = {"event": "broken", "line": line.decode("utf-8", "replace")}
                event["seen"] = time.time()
                with self.changed:
                    self.events.append(event)
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def say(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name}'s client is gone; see {self.lab.path(self.name + '.err')}") from None

    def wait(self, what, timeout, kind=None, test=lambda e: True, since=0):
        """The first event of that kind that passes the test, from number `since` on."""
        end = time.time() + timeout
        with self.changed:
            at = since
            while True:
                while at < len(self.events):
                    event = self.events[at]
                    at += 1
                    if (kind is None or event.get("event") == kind) and test(event):
                        return event
                left = end - time.time()
                if left <= 0 or (self.ended and at >= len(self.events)):
                    raise Failed(f"{self.name}: {what} did not happen"
                                 + (" (its client ended)" if self.ended else f" in {timeout} s")
                                 + "; last events: " + json.dumps(self.events[-4:], ensure_ascii=False)[:600])
                self.changed.wait(left)

    def all(self, kind):
        with self.changed:
            return [e for e in self.events if e.get("event") == kind]

    def quit(self, timeout=15):
        """Leave in peace: pays what is owed."""
        try:
            self.say("quit")
        except Failed:
            pass
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{self.name}'s client did not leave in {timeout} s") from None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Lab:
    """`where`: name -> command prefix that runs in that name's network namespace; `hosts`: relay -> its address."""

    def __init__(self, build, directory=None, where=None, keep=False):
        self.build = os.path.abspath(build)
        self.own_directory = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="chasqui-lab.")
        self.keep = keep
        self.where = where or {}
        self.started = []
        self.relays = {}
        self.pause = threading.Event()
        self.passphrase = "correct horse battery staple"
        self.env = dict(os.environ, CHASQUI_PASSPHRASE=self.passphrase, LC_ALL="C.UTF-8")
        atexit.register(self.close)
        # a time limit ends us by SIGTERM: then too, nothing stays behind
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def program(self, name):
        return os.path.join(self.build, "bin", name)

    def prefix(self, name):
        return list(self.where.get(name, []))

    def run(self, command, timeout=60, check=True, where=None, stdin=None):
        """Run to the end; return (exit code, stdout, stderr)."""
        done = subprocess.run(self.prefix(where) + command, env=self.env, timeout=timeout, input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)[:300]} ended with {done.returncode}: {err.strip() or out.strip()}")
        return done.returncode, out, err

    def spawn(self, name, command, where=None):
        log = open(self.path(name + ".log"), "ab")
        process = subprocess.Popen(self.prefix(where) + command, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True)
        self.started.append(process)
        return process

    def until(self, what, timeout, test):
        end = time.time() + timeout
        while time.time() < end:
            result = test()
            if result:
                return result
            self.pause.wait(0.02)
        raise Failed(f"{what} did not happen in {timeout} s; logs in {self.dir}")

    def log_tail(self, name, lines=5):
        try:
            with open(self.path(name + ".log"), errors="replace") as f:
                return "".join(f.readlines()[-lines:]).strip()
        except OSError:
            return ""

    # ---- clients

    def client_command(self, name, *arguments):
        return self.prefix(name) + [self.program("chasqui"), *arguments, "--profile", self.path(name)]

    def cli(self, name, *arguments, timeout=60, check=True, stdin=None):
        return self.run([self.program("chasqui"), *arguments, "--profile", self.path(name)], timeout, check, name, stdin)

    def listen(self, name, *extra):
        return Client(self, name, extra)

    # ---- the ledger

    def start_ledger(self):
        self.ledger_dir = self.path("ledger")
        self.ledger_socket = os.path.join(self.ledger_dir, "ledger.sock")
        self.run([self.program("chasqui-ledger"), "init", "--dir", self.ledger_dir, "--chain-id", "lab-1"])
        return self.restart_ledger()

    def restart_ledger(self):
        self.ledger = self.spawn("ledger", [self.program("chasqui-ledger"), "run", "--dir", self.ledger_dir], "net")
        self.until("the ledger answers", 20, lambda: self.ledger.poll() is not None or self.query("info", check=False))
        if self.ledger.poll() is not None:
            raise Failed(f"the ledger ended: {self.log_tail('ledger')}")
        return self.ledger

    def query(self, *what, check=True):
        code, out, _ = self.run([self.program("chasqui-ledger"), "query", *what, "--dir", self.ledger_dir, "--json"], check=check)
        return json.loads(out) if code == 0 else None

    def ledger_info(self):
        """Issued, balances and deposits in microcredit, the ledger's own verdict, and its height."""
        info = self.query("info")
        return {name: micro(info[name]) for name in ("issued", "balances", "deposits")} | {
            "conserved": info["conserved"], "height": info["height"]}

    def balance(self, handle_or_account):
        return micro(self.query("account", handle_or_account)["balance"])

    def issue(self, account, amount):
        self.run([self.program("chasqui-ledger"), "issue", "--dir", self.ledger_dir, "--to", account, "--amount", amount])

    # ---- relays

    def start_relay(self, name, host, settle_after=5, grant="1", fund="100"):
        """Make a relay, give it credit for starting allowances, run it, and wait until it is registered."""
        port, turn = free_ports(2)
        home = self.path("relay-" + name)
        loopback = host.startswith("127.")
        _, out, _ = self.run([self.program("chasqui-relay"), "init", "--dir", home, "--ledger", self.ledger_socket, "--host", host,
                              "--bind", host, "--port", str(port), "--turn-port", str(turn), "--settle-after", str(settle_after),
                              "--grant", grant, "--allow-peer", "127.0.0.0/8" if loopback else host.rsplit(".", 1)[0] + ".0/24",
                              "--region", name], where="net")
        account = next(line.split()[1] for line in out.splitlines() if line.startswith("account "))
        self.relays[name] = {"host": host, "port": port, "turn": turn, "home": home, "account": account}
        self.restart_relay(name)
        self.issue(account, fund)
        return self.relays[name]["process"]

    def restart_relay(self, name):
        relay = self.relays[name]
        relay["process"] = self.spawn("relay-" + name, [self.program("chasqui-relay"), "run", "--dir", relay["home"]], "net")
        self.until(f"relay {name} is registered", 20, lambda: self._registered(name))
        return relay["process"]

    def _registered(self, name):
        if self.relays[name]["process"].poll() is not None:
            raise Failed(f"relay {name} ended: {self.log_tail('relay-' + name)}")
        status = self.relay_status(name, check=False)
        return status is not None and status["registered"] and status["ledger_reached"]

    def relay_status(self, name, check=True):
        code, out, _ = self.run([self.program("chasqui-relay"), "status", "--json", "--dir", self.relays[name]["home"]], check=check)
        return json.loads(out) if code == 0 else None

    def invite(self, name):
        return self.run([self.program("chasqui-relay"), "invite", "--dir", self.relays[name]["home"]])[1].strip()

    def stop_relay(self, name):
        return self.end(self.relays[name]["process"], 20)

    def kill_relay(self, name):
        process = self.relays[name]["process"]
        process.send_signal(signal.SIGKILL)
        process.wait()

    # ---- the end

    def end(self, process, timeout=10):
        """Ask it to stop, and wait; kill it when it does not. Return its exit code."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.started = []
        if self.own_directory and not self.keep and os.path.isdir(self.dir):
            shutil.rmtree(self.dir, ignore_errors=True)
