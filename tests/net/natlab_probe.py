#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a NAT does, seen from inside: `serve NET` in the public namespace, `ask NET OWN` behind the NAT.

The server listens on NET.11 and NET.12, answers "who" with the sender's address, and sends from another port or
another host when told so. `ask` prints the type it saw, with the names of natlab.sh.
"""
import select
import socket
import sys

PORT, OTHER_PORT = 5000, 5001


def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, port))
    return s


def serve(net):
    first, second = udp(f"{net}.11", PORT), udp(f"{net}.12", PORT)
    port, host = udp(f"{net}.11", OTHER_PORT), udp(f"{net}.13", PORT)
    print("ready", flush=True)
    while True:
        for s in select.select([first, second], [], [])[0]:
            word, sender = s.recvfrom(64)
            by = {b"who": s, b"port": port, b"host": host}.get(word, s)
            by.sendto(f"{sender[0]}:{sender[1]}".encode(), sender)


def ask(s, server, word, tries=3):
    for _ in range(tries):
        s.sendto(word, server)
        if select.select([s], [], [], 0.3)[0]:
            return s.recv(64).decode()
    return None


def probe(net, own):
    s = udp("0.0.0.0", 0)
    one, two = ask(s, (f"{net}.11", PORT), b"who"), ask(s, (f"{net}.12", PORT), b"who")
    if one is None or two is None:
        return "udpblocked"
    if one != two:
        return "symmetric"
    fresh = udp("0.0.0.0", 0)
    ask(fresh, (f"{net}.11", PORT), b"who")
    from_port = ask(fresh, (f"{net}.11", PORT), b"port", 1) is not None
    from_host = ask(fresh, (f"{net}.11", PORT), b"host", 1) is not None
    if from_host:
        return "open" if one.startswith(own + ":") else "fullcone"
    return "addr" if from_port else "port"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    print(probe(sys.argv[2], sys.argv[3]))
