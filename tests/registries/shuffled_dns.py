# SPDX-License-Identifier: LGPL-2.1-or-later
"""A DNS server as simple as can be: shuffled_dns.py NAME=ADDRESS,ADDRESS... answers every question on
127.0.0.1:53 with all addresses of the name, each time in another random order. Prints "ready"."""
import ipaddress
import random
import socket
import struct
import sys

A, AAAA = 1, 28


def records(word):
    name, addresses = word.split("=")
    packed = [ipaddress.ip_address(one).packed for one in addresses.split(",")]
    return name.encode(), {A: [one for one in packed if len(one) == 4],
                           AAAA: [one for one in packed if len(one) == 16]}


def answer(table, query):
    """The address records have the name of the question, as a pointer. glibc takes UDP answers of any size."""
    end, labels = 12, []
    while query[end]:
        labels.append(query[end + 1:end + 1 + query[end]])
        end += 1 + query[end]
    kind, = struct.unpack_from("!H", query, end + 1)
    found = list(table.get(b".".join(labels).lower(), {}).get(kind, ()))
    random.shuffle(found)
    head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, 0)
    return head + query[12:end + 5] + b"".join(
        struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(one)) + one for one in found)


def main():
    table = dict(records(word) for word in sys.argv[1:])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    server.bind(("127.0.0.1", 53))
    print("ready", flush=True)
    while True:
        query, sender = server.recvfrom(4096)
        server.sendto(answer(table, query), sender)


main()
