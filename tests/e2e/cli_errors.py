# SPDX-License-Identifier: Apache-2.0
"""Every way to go wrong at the terminal: a numbered table of what is done, the exit code and what the message must say.
usage: cli_errors.sh BUILD_DIR"""
import base64
import os
import re
import shutil
import subprocess
import sys
import wave

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

DONE, FAILED, USAGE, PROFILE, PASSPHRASE, RELAY, NOT_FOUND, CREDIT, DISK, TIME, DECEIVED = range(11)


class Table:
    def __init__(self, lab):
        self.lab, self.number, self.bad = lab, 0, 0

    def row(self, what, code, says, command, profile=None, env=None, stdin=b"", wrap=()):
        """Run `chasqui COMMAND`; all of `says` must be on stderr (any case), and nothing may crash."""
        self.number += 1
        arguments = list(wrap) + [self.lab.program("chasqui"), *command]
        if profile is not None:
            arguments += ["--profile", profile]
        done = subprocess.run(arguments, env=dict(self.lab.env, **(env or {})), input=stdin, timeout=60, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        err = done.stderr.decode("utf-8", "replace")
        missing = [s for s in says if not re.search(s, err, re.I)]
        ok = done.returncode == code and not missing
        self.bad += not ok
        print(f"{self.number:2} {'ok  ' if ok else 'FAIL'} {what}: exit {done.returncode}, {err.strip()[:230]!r}", flush=True)
        if not ok:
            print(f"   expected exit {code} and {says}; stdout {done.stdout[:300]!r}")
        return done.stdout.decode("utf-8", "replace")


def damage(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def copy_profile(lab, name, to):
    shutil.rmtree(lab.path(to), ignore_errors=True)
    shutil.copytree(lab.path(name), lab.path(to))
    return lab.path(to)


def wrong_pin(link):
    """The same invitation with another TLS key: the pin is the last 32 bytes."""
    raw = link.split(":", 1)[1]
    data = bytearray(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    data[-1] ^= 1
    return "chasqui:" + base64.urlsafe_b64encode(bytes(data)).decode().rstrip("=")


def usage_rows(t):
    t.row("unknown command", USAGE, ["no command 'sned'", "did you mean 'send'"], ["sned", "bo", "hi"])
    t.row("unknown command, nothing near", USAGE, ["no command 'frobnicate'", "help"], ["frobnicate"])
    t.row("unknown option", USAGE, ["--jsno", "did you mean '--json'"], ["listen", "--jsno"])
    t.row("option without its value", USAGE, ["--handle", "needs a value"], ["init", "--handle"])
    t.row("number that is none", USAGE, ["--last", "number"], ["history", "bo", "--last", "few"])
    t.row("missing argument", USAGE, ["takes HANDLE TEXT", "usage: chasqui send"], ["send", "bo"])
    t.row("too many arguments", USAGE, ["4 given"], ["send", "bo", "one", "two", "three"])
    t.row("init without a link", USAGE, ["--invite LINK", "chasqui-relay invite"], ["init", "--handle", "ana"])
    t.row("amount that is none", USAGE, ["no amount", "6 places"], ["pay", "bo", "1.2345678"])


def profile_rows(t, lab):
    t.row("no profile", PROFILE, ["no profile", "chasqui init"], ["contacts"], lab.path("nowhere"))
    os.makedirs(lab.path("foreign"))
    with open(lab.path("foreign", "profile.db"), "w") as f:
        f.write("bread, milk, eggs\n" * 40)
    t.row("foreign file", PROFILE, ["not a profile of Chasqui", "--profile"], ["contacts"], lab.path("foreign"))
    t.row("profile unreadable (a file in its place)", PROFILE, ["no profile|not a"], ["contacts"], "/dev/null")
    path = copy_profile(lab, "ana", "damaged")
    size = os.path.getsize(path + "/profile.db")
    damage(path + "/profile.db", size // 2, os.urandom(600))
    t.row("damaged database", PROFILE, ["damaged", "24 words"], ["contacts"], path)
    path = copy_profile(lab, "ana", "cut")
    os.truncate(path + "/profile.db", size // 2)
    t.row("database cut short", PROFILE, ["damaged", "24 words"], ["contacts"], path)
    path = copy_profile(lab, "ana", "newer")
    damage(path + "/profile.db", 60, b"\0\0\0\x63")
    t.row("profile of a newer version", PROFILE, ["newer version", "install"], ["contacts"], path)
    user = lab.listen("ana")
    user.wait("ana connects", 20, "ready")
    t.row("profile in use", PROFILE, [f"in use by pid {user.process.pid}"], ["contacts"], lab.path("ana"))
    user.quit()
    t.row("a second init", PROFILE, ["already"], ["init", "--invite", lab.invite("north"), "--handle", "eve"], lab.path("ana"))


def secret_rows(t, lab):
    t.row("wrong passphrase", PASSPHRASE, ["wrong passphrase", "try again"], ["contacts"], lab.path("ana"),
          {"CHASQUI_PASSPHRASE": "correct house"})
    t.row("empty passphrase", PASSPHRASE, ["empty passphrase"], ["contacts"], lab.path("ana"), {"CHASQUI_PASSPHRASE": ""})
    t.row("passphrase file that is not there", PASSPHRASE, ["cannot be read", "no such file"],
          ["contacts", "--passphrase-file", lab.path("none")], lab.path("ana"))
    t.row("no passphrase and no terminal", PASSPHRASE, ["--passphrase-file", "CHASQUI_PASSPHRASE"], ["contacts"], lab.path("ana"),
          wrap=["env", "-u", "CHASQUI_PASSPHRASE"])
    t.row("keyring that is not there", PASSPHRASE, ["keyring", "passphrase"],
          ["init", "--keyring", "--invite", lab.invite("north"), "--handle", "kim"], lab.path("kim"),
          {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"})


def disk_rows(t, lab):
    t.row("directory that cannot be made", DISK, ["another directory"],
          ["init", "--invite", lab.invite("north"), "--handle", "dan"], "/proc/chasqui")
    path = copy_profile(lab, "ana", "full")
    big = "x" * 12000
    t.row("full disk: the message is refused, nothing is lost", DISK, ["full", "room"], ["send", "bo", big], path,
          wrap=["prlimit", f"--fsize={os.path.getsize(path + '/profile.db') // 4096 * 4096}", "env", "-i",
                f"CHASQUI_PASSPHRASE={lab.passphrase}", "LC_ALL=C.UTF-8"] if shutil.which("prlimit") else [])
    code, _, err = lab.run([lab.program("chasqui"), "contacts", "--profile", path], check=False)
    ok = code == 0
    t.bad += not ok
    print(f"   {'ok  ' if ok else 'FAIL'} and with room again the profile is whole {err.strip()[:200]}")


def people_rows(t, lab):
    link = lab.invite("north")
    t.row("no invitation link", USAGE, ["not an invitation link", "operator"],
          ["init", "--invite", "https://example.org", "--handle", "eve"], lab.path("eve"))
    t.row("malformed handle", NOT_FOUND, ["2 to 32 characters"], ["init", "--invite", link, "--handle", "Eve!"], lab.path("eve"))
    t.row("handle taken", NOT_FOUND, ["taken|belongs to", "another"], ["init", "--invite", link, "--handle", "ana"],
          lab.path("eve"))
    if os.path.exists(lab.path("eve", "profile.db")):
        t.bad += 1
        print("   FAIL a profile was left behind")
    t.row("nobody has that handle", NOT_FOUND, ["nobody"], ["add", "zoe"], lab.path("ana"))
    t.row("malformed contact", NOT_FOUND, ["2 to 32 characters"], ["add", "..zoe"], lab.path("ana"))
    t.row("not a contact", NOT_FOUND, ["no contact zoe", "chasqui add zoe"], ["send", "zoe", "hi"], lab.path("ana"))
    t.row("message too long", USAGE, ["12289 bytes", "12288"], ["send", "bo", "x" * 12289], lab.path("ana"))
    t.row("message too long on standard input", USAGE, ["12288"], ["send", "bo", "-"], lab.path("ana"), stdin=b"x" * 20000)
    t.row("not UTF-8", USAGE, ["UTF-8"], ["send", "bo", "-"], lab.path("ana"), stdin=b"\xff\xfe")
    t.row("empty message", USAGE, ["not empty"], ["send", "bo", ""], lab.path("ana"))
    t.row("not enough credit", CREDIT, ["credit"], ["pay", "bo", "1000000"], lab.path("ana"))
    t.row("sound file that is not there", FAILED, ["none.wav cannot be read"], ["call", "bo", "--play", lab.path("none.wav")], lab.path("ana"))
    with wave.open(lab.path("stereo.wav"), "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(44100)
        f.writeframes(b"\0" * 44100)
    t.row("sound file of another kind", FAILED, ["48 kHz mono"], ["call", "bo", "--play", lab.path("stereo.wav")], lab.path("ana"))
    t.row("another TLS key", RELAY, ["another TLS key", "nothing was sent"],
          ["init", "--invite", wrong_pin(link), "--handle", "eve", "--wait=5"], lab.path("pin"))


def relay_rows(t, lab):
    lab.kill_relay("south")
    host = lab.relays["south"]["host"] + ":" + str(lab.relays["south"]["port"])
    t.row("relay not reachable: says which, keeps the message", RELAY, ["outbox", re.escape(host)], ["send", "bo", "kept"],
          lab.path("ana"))
    lab.kill_relay("north")
    t.row("home relay not reachable: says which", RELAY, [str(lab.relays["north"]["port"])], ["add", "yan", "--wait=3"], lab.path("ana"))
    lab.restart_relay("north")
    lab.restart_relay("south")
    lab.cli("ana", "send", "bo", "after", "--wait=1", check=False)
    bo = lab.listen("bo")
    bo.wait("the later message", 30, "received", lambda e: e["text"] == "after")
    got = [e["text"] for e in bo.all("received")]
    ok = got == ["kept", "after"]
    t.bad += not ok
    print(f"   {'ok  ' if ok else 'FAIL'} the kept message left later, in order: {got}")
    bo.quit()


def main():
    lab = chasqui_lab.Lab(sys.argv[1])
    t = Table(lab)
    usage_rows(t)
    lab.start_ledger()
    for relay in ("north", "south"):
        lab.start_relay(relay, "127.0.0.1")
    for name, relay in (("ana", "north"), ("bo", "south")):
        lab.cli(name, "init", "--invite", lab.invite(relay), "--handle", name)
    lab.cli("ana", "add", "bo")
    profile_rows(t, lab)
    secret_rows(t, lab)
    disk_rows(t, lab)
    people_rows(t, lab)
    relay_rows(t, lab)
    print(f"{t.number} rows, {t.bad} failed")
    return 1 if t.bad else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
