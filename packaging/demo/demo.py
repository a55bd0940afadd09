# SPDX-License-Identifier: Apache-2.0
"""The demo's story and its report. Every sentence of the report that promises something is checked; a broken promise ends it with 1."""
import argparse
import hashlib
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests", "tools")]

import lab as chasqui_lab  # noqa: E402
import speech  # noqa: E402
import stoi  # noqa: E402

START = time.time()
PROMISES = []


def progress(text):
    print(f"[{time.time() - START:5.1f} s] {text}", flush=True)


def promise(text, kept):
    PROMISES.append((text, bool(kept)))
    return kept


def long_text(size=10240):
    """10 KiB of Chinese, Arabic and emoji."""
    part = "你好，波！我在山的另一边给你写这封长信。 مرحبا يا بو، هذه رسالة طويلة من وراء الجبل. 🏔️🏃‍♀️🦙📨✨ "
    text, n = "", 0
    while True:
        for character in part:
            bytes_of = len(character.encode())
            if n + bytes_of > size:
                return text + "." * (size - n)
            text += character
            n += bytes_of


TO_BO = ["Hello bo, this is ana. You are away, so the relay keeps this for you.",
         "The bridge over the river is mended; the llamas go up tomorrow.",
         long_text(),
         "ナマステ, привет, שלום: and a short one to end with."]
TO_ANA = ["I am here now, and all four came. Thank you!", "Call me when you like 📞"]

ANA_SAYS = "Hello bo, this is ana speaking from behind a symmetric gateway. The runners carry my voice over the mountains."
BO_SAYS = "Good morning ana, this is bo. I hear you well. The harvest was good this year, and the road is dry again."


def milliseconds(seconds):
    return f"{seconds * 1000:.0f} ms"


RELAYS = ("north", "south")
QUANTUM = 65536


def settled(status):
    """Every token that the relay holds is on the ledger, and none is missing for what it carried."""
    return all(c["settled"] == c["tokens"] and c["tokens"] * QUANTUM >= c["carried_bytes"] for c in status["channel_list"])


class Message:
    def __init__(self, sender, receiver, text):
        self.sender, self.receiver, self.text = sender, receiver, text
        self.queued = self.sent = self.delivered = self.received = None


class Story:
    def __init__(self, lab, plain):
        self.lab, self.plain = lab, plain
        self.messages = []
        self.call = {}

    # ---- the stage

    def stage(self):
        lab = self.lab
        lab.start_ledger()
        progress("the ledger runs: one process, one key, a block when there is work")
        where = {name: "127.0.0.1" for name in RELAYS}
        if not self.plain:
            net = os.environ["NATLAB_NET"]
            where = {"north": net + ".11", "south": net + ".12"}
        for name, host in where.items():
            lab.start_relay(name, host, settle_after=1)
        progress("two relays run, registered on the ledger and funded: north and south")
        for name, relay in (("ana", "north"), ("bo", "south")):
            _, out, _ = lab.cli(name, "init", "--invite", lab.invite(relay), "--handle", name)
            promise(f"{name} got the handle and 24 words", "24 words" in out and f"Your handle is {name}" in out)
            progress(f"{name} made an account with home relay {relay}, and wrote down 24 words")
        progress("bo is away: no program of his runs")

    # ---- messages

    def say(self, client, to, text):
        message = Message(client.name, to, text)
        since = len(client.events)
        client.say(f"send {to} {text}")
        message.queued = client.wait("the message goes into the outbox", 10, "queued", since=since)
        self.messages.append(message)
        return message

    def settle(self, client, message, kind, timeout):
        # a receipt can overtake the relay's word: then there is no 'sent'
        kinds = ("sent", "delivered") if kind == "sent" else (kind,)
        found = client.wait(f"the message of {len(message.text.encode())} bytes is {kind}", timeout, None,
                            lambda e: e.get("event") in kinds and e.get("message_id") == message.queued["message_id"])
        setattr(message, kind, found)

    def arrives(self, client, message, timeout):
        message.received = client.wait("a message arrives", timeout, "received",
                                       lambda e: e.get("message_id") == message.queued["message_id"])
        promise(f"{message.receiver} received exactly the {len(message.text.encode())} bytes that {message.sender} wrote",
                message.received.get("text") == message.text)

    def chat(self):
        lab = self.lab
        sound = ["--play", lab.path("ana-says.wav"), "--record", lab.path("ana-heard.wav")]
        self.ana = lab.listen("ana", *sound)
        self.ana.wait("ana connects", 20, "ready")
        self.ana.say("add bo")
        self.ana.wait("ana finds bo on the ledger", 20, "contact", lambda e: e.get("handle") == "bo")
        progress("ana asked the ledger for bo: the answer was proved, bo is a contact")
        outgoing = [self.say(self.ana, "bo", text) for text in TO_BO]
        for message in outgoing:
            self.settle(self.ana, message, "sent", 20)
        progress(f"ana sent {len(outgoing)} messages, one of {len(TO_BO[2].encode())} bytes; bo's relay has them on disk")
        away = [e for e in self.ana.all("delivered")]
        promise("nothing is shown as delivered while bo is away", not away)
        self.bo_starts = time.time()
        self.bo = lab.listen("bo", "--answer", "--play", lab.path("bo-says.wav"), "--record", lab.path("bo-heard.wav"))
        for message in outgoing:
            self.arrives(self.bo, message, 30)
        order = [e["message_id"] for e in self.bo.all("received")]
        promise("bo got each message once, in ana's order", order == [m.queued["message_id"] for m in outgoing])
        progress(f"bo started, and has all {len(outgoing)} messages after {milliseconds(outgoing[-1].received['seen'] - self.bo_starts)}")
        for message in outgoing:
            self.settle(self.ana, message, "delivered", 20)
        progress("ana sees 'delivered' on each")
        for text in TO_ANA:
            message = self.say(self.bo, "ana", text)
            self.arrives(self.ana, message, 20)
            self.settle(self.bo, message, "delivered", 20)
            # ana's receipt can overtake the relay's word that it has the message; 'delivered' says more than 'sent'.
            message.sent = next((e for e in self.bo.all("sent") if e.get("message_id") == message.queued["message_id"]),
                                message.delivered)
        progress("bo answered, and ana has the answers")

    # ---- the call

    def talk(self, seconds):
        progress("ana calls bo")
        since = len(self.ana.events)
        self.ana.say("call bo")
        first = self.ana.wait("the call connects", 30, "call_state", lambda e: e["phase"] == "connected", since)
        progress(f"connected after {first['connected_ms']} ms on the path: {first['way']}")
        end = time.time() + seconds
        shown = first["way"]
        while time.time() < end:
            try:
                state = self.ana.wait("the path changes", max(0.05, end - time.time()), "call_state",
                                      lambda e: e["phase"] == "connected" and e["way"] != shown, since)
            except chasqui_lab.Failed:
                break
            shown = state["way"]
            progress(f"the call moved to the path: {shown}")
            since = self.ana.events.index(state)
        self.ana.say("hangup")
        self.call["ana"] = self.ana.wait("the call ends at ana's", 10, "call_ended")
        self.call["bo"] = self.bo.wait("the call ends at bo's", 10, "call_ended")
        self.call["first"] = first["way"]
        progress("ana hung up")

    def listen_to(self):
        similarity = {}
        for name, other in (("ana", "bo"), ("bo", "ana")):
            result = stoi.compare(self.lab.path(other + "-says.wav"), self.lab.path(name + "-heard.wav"))
            similarity[name] = result["stoi"]
        self.call["stoi"] = similarity

    # ---- the end

    def after(self):
        lab = self.lab
        promise("ana's client left in peace", self.ana.quit() == 0)
        promise("bo's client left in peace", self.bo.quit() == 0)
        numbers = []
        for name, other in (("ana", "bo"), ("bo", "ana")):
            _, out, _ = lab.cli(name, "id", other, "--json")
            numbers.append(chasqui_lab.json.loads(out)["safety_number"])
        promise("both see the same safety number", numbers[0] == numbers[1] and len(numbers[0]) == 60)
        for name in RELAYS:
            lab.until(f"relay {name} settles", 15, lambda n=name: settled(lab.relay_status(n)))
        self.relays = {name: lab.relay_status(name) for name in RELAYS}
        self.channels = {name: [lab.query("channel", c["id"]) for c in r["channel_list"]] for name, r in self.relays.items()}
        self.balances = {name: lab.balance(name) for name in ("ana", "bo")}
        self.balances |= {f"relay {name}": lab.balance(lab.relays[name]["account"]) for name in RELAYS}
        for name in RELAYS:
            promise(f"relay {name} stopped cleanly", lab.stop_relay(name) == 0)
        self.money = lab.ledger_info()
        progress("both left and paid what they owed; the relays put their tokens on the ledger and stopped")


def report_messages(story):
    print("\nMessages")
    homes = {"ana": "north", "bo": "south"}
    for m in story.messages:
        size = len(m.text.encode())
        start = m.queued["seen"]
        sent = m.sent["seen"] - start
        done = m.delivered["seen"] - start
        away = " (bo was away)" if m.receiver == "bo" and start < story.bo_starts else ""
        if away:
            arrived = f"received {milliseconds(m.received['seen'] - story.bo_starts)} after bo started"
        else:
            arrived = f"received after {milliseconds(m.received['seen'] - start)}"
        text = m.text if len(m.text) <= 30 else m.text[:29] + "…"
        print(f"  {m.sender} > relay {homes[m.receiver]} > {m.receiver}  {size:6d} bytes  on the relay's disk after {milliseconds(sent)}, "
              f"{arrived}, 'delivered' after {milliseconds(done)}{away}")
        print(f"      \"{text}\"")
        promise("a message is on the relay's disk, received and delivered", m.sent and m.received and m.delivered)


def report_call(story):
    print("\nCall")
    a, b = story.call["ana"], story.call["bo"]
    ways = [story.call["first"]] + ([a["way"]] if a["way"] != story.call["first"] else [])
    print(f"  path       {' > '.join(ways)} ({a.get('local', '?')} to {a.get('remote', '?')})")
    if ways[-1] == "relay" and not story.plain:
        print("             no direct path exists between these two NATs, so the relay keeps it")
    print(f"  set-up     connected after {a['connected_ms']} ms, first speech heard after {a['first_speech_ms']} ms"
          + (f", direct after {a['direct_ms']} ms" if a["direct_ms"] else ""))
    for name, other, r in (("ana", "bo", a), ("bo", "ana", b)):
        expected = r["packets_received"] + r["packets_lost"]
        loss = 100.0 * r["packets_lost"] / expected if expected else 100.0
        s = story.call["stoi"][name]
        print(f"  {other:>3} > {name:<3}  {r['packets_received']} packets, loss {loss:.2f} %, one way {r['one_way_us'] / 1000:.1f} ms "
              f"+ {r['buffer_us'] / 1000:.1f} ms jitter buffer, jitter {r['jitter_us'] / 1000:.1f} ms, speech similarity (STOI) {s:.3f}")
        promise(f"{name} heard {other}: speech similarity at least 0.9 without loss", s >= 0.9 or (loss > 0.5 and s >= 0.8))
        promise(f"{name} got speech", r["packets_received"] > 200)
    promise("the call began on the relay or a better path, and connected", story.call["first"] in ("relay", "direct"))


def credit(micro):
    return f"{int(micro) / 1e6:.6f}".rstrip("0").rstrip(".")


def report_money(story):
    print("\nRelays")
    for name, r in story.relays.items():
        channels = r["channel_list"]
        tokens = sum(c["tokens"] for c in channels)
        print(f"  {name:<6} carried {r['carried_bytes']} bytes for {len(channels)} payers ({r['puts']} messages in, {r['delivers']} out, "
              f"the rest is the call); paid {tokens} tokens = {r['earned']} credit; settled on the ledger {r['settled']} credit")
        promise(f"relay {name} is paid to the token for what it carried",
                all(c["tokens"] == -(-c["carried_bytes"] // QUANTUM) for c in channels))
        promise(f"relay {name} settled every token", chasqui_lab.micro(r["earned"]) == chasqui_lab.micro(r["settled"]))
        promise(f"relay {name} carried something", r["carried_bytes"] > 0)
    print("\nCredit")
    print("  " + ", ".join(f"{name} {credit(balance)}" for name, balance in story.balances.items())
          + f"; in channels {credit(story.money['deposits'])}")
    m = story.money
    holds = m["issued"] == m["balances"] + m["deposits"] and m["conserved"]
    promise("credit is conserved: issued = balances + deposits + in flight", holds)
    promise("the balances are all there is", sum(story.balances.values()) + m["deposits"] == m["issued"])
    print(f"  conservation at height {m['height']}: issued {credit(m['issued'])} = balances {credit(m['balances'])} + deposits {credit(m['deposits'])}"
          f" + in flight 0: {'holds' if holds else 'BROKEN'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    where = {}
    if not args.plain:
        net = ["ip", "netns", "exec"]
        lab_name = os.environ["NATLAB"]
        where = {"ana": net + [lab_name + "-a"], "bo": net + [lab_name + "-b"], "net": net + [lab_name + "-pub"]}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    lab = chasqui_lab.Lab(args.build, args.directory, where, keep=True)
    story = Story(lab, args.plain)
    try:
        seconds = max(speech.say(ANA_SAYS, lab.path("ana-says.wav"), "en-gb"),
                      speech.say(BO_SAYS, lab.path("bo-says.wav"), "en-us"))
        story.stage()
        story.chat()
        story.talk(seconds + 2)
        story.listen_to()
        story.after()
        report_messages(story)
        report_call(story)
        report_money(story)
    except chasqui_lab.Failed as e:
        print(f"\ndemo: {e}", file=sys.stderr)
        print(f"demo: logs are in {args.directory}", file=sys.stderr)
        return 1
    finally:
        lab.close()
    print(f"\nFiles: {args.directory}: ana-says.wav, bo-heard.wav, bo-says.wav, ana-heard.wav, *.events (all events as JSON), *.log")
    broken = [text for text, kept in PROMISES if not kept]
    for text in broken:
        print(f"NOT KEPT: {text}")
    print(f"{len(PROMISES) - len(broken)} of {len(PROMISES)} promises kept, {time.time() - START:.0f} s")
    return 1 if broken else 0


sys.exit(main())
