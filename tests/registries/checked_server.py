# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server that health checks look at, and that does as a file says: checked_server.py PORT BEHAVIOUR LOG
[CERTIFICATE]. BEHAVIOUR holds a word: a status (200), `hang` (before the
head), `stall` (within the body), `close`, `garbage`, `short` (a body that is cut off), `endless` (a body without
end), `to=URL` (a redirect), `flap` (200 and 503 in turn). The path /ok is always well. LOG gets each request."""
import itertools
import pathlib
import socket
import ssl
import sys
import threading

PORT, BEHAVIOUR, LOG = int(sys.argv[1]), pathlib.Path(sys.argv[2]), open(sys.argv[3], "a", buffering=1)
TURNS = itertools.cycle(("200", "503"))
OVER = threading.Event()  # never set: who waits for it hangs


def head(status, *lines):
    return "\r\n".join([f"HTTP/1.1 {status} Reason", *lines, "", ""]).encode()


def whole(status, body=b"all is told\nmore\n"):
    return head(status, f"Content-Length: {len(body)}", "Content-Type: text/plain") + body


def endless(connection):
    connection.sendall(head(200, "Content-Type: text/plain"))
    while True:
        connection.sendall(b"x" * 65536)


def serve(connection, word, text):
    if text.split(" ")[1] == "/ok":
        word = "200"
    if word == "flap":
        word = next(TURNS)
    if word == "hang":
        OVER.wait()
    elif word == "stall":
        connection.sendall(head(200, "Content-Length: 100"))
        OVER.wait()
    elif word == "garbage":
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    elif word == "short":
        connection.sendall(head(200, "Content-Length: 100") + b"x")
    elif word == "endless":
        endless(connection)
    elif word.startswith("to="):
        connection.sendall(head(302, f"Location: {word[3:]}", "Content-Length: 0"))
    elif word != "close":
        connection.sendall(whole(word))


def take(connection, word):
    try:
        if len(sys.argv) > 4:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[4])
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            text = ""
            while "\r\n\r\n" not in text:
                data = connection.recv(4096)
                if not data:
                    return
                text += data.decode("latin-1")
            LOG.write(text.replace("\r\n", "|") + "\n")
            serve(connection, word, text)
    except OSError as error:
        LOG.write(f"error: {error}\n")


def main():
    with socket.create_server(("127.0.0.1", PORT), backlog=128) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            words = BEHAVIOUR.read_text().split()
            threading.Thread(target=take, args=(connection, words[0]), daemon=True).start()


main()
