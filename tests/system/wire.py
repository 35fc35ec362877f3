# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lookup protocol and the view as bytes (include/nss-sd/wire.h, answer.h, view.h), for tests that break
them on purpose. test_bad_input.py checks these layouts against the real daemon."""
import ipaddress
import socket
import struct
import threading

REQUEST_MAGIC, REPLY_MAGIC, INTEREST_MAGIC = 0x5164736E, 0x4164736E, 0x4964736E
VERSION = 1
FORWARD, REVERSE = 1, 2
FOUND, NO_DATA, ABSENT, UNDECIDED, FOREIGN = range(1, 6)
OK, ERROR_VERSION, ERROR_REQUEST, ERROR_OVERLOAD = range(4)
REQUEST, HEAD, ANSWER = "=IHHBBHH256sH", "=IHHHHI16x", "=IIIBBHHHHHIIIIII16x"


def request(name, *, magic=REQUEST_MAGIC, version=VERSION, size=272, op=FORWARD, family=0, flags=0,
            length=None, tail=b""):
    data = name if isinstance(name, bytes) else name.encode()
    length = len(data) if length is None else length
    return struct.pack(REQUEST, magic, version, size, op, family, flags, length, data, 0) + tail


def interest(name):
    data = name.encode()
    return struct.pack("=IHHHH256s", INTEREST_MAGIC, VERSION, 268, len(data), 0, data)


def answer(name, addresses=(), *, status=ABSENT, **fields):
    """A payload that says what a daemon would say; `fields` overrides numbers of its head."""
    v4 = [a for a in map(ipaddress.ip_address, addresses) if a.version == 4]
    v6 = [a for a in map(ipaddress.ip_address, addresses) if a.version == 6]
    records = b"".join(a.packed + struct.pack("=HHHBB", 1, n, 0, 0, 0) for n, a in enumerate(v4))
    records += b"".join(a.packed + struct.pack("=HHHBB", 1, n, 0, 0, 0) for n, a in enumerate(v6))
    data = name.encode()
    values = dict(sequence=0, size=320 + len(records), flags=0, status4=FOUND if v4 else status,
                  status6=FOUND if v6 else status, limit=8, count4=len(v4), count6=len(v6),
                  name_length=len(data), canonical_length=0, clock=0xFFFFFFFF, fresh_until=0,
                  stale_until=0, refresh_at=0, confirmed_at=0, hash=0)
    values.update(fields)
    return struct.pack(ANSWER, *values.values()) + data.ljust(256, b"\0") + records


def reply(payload, *, magic=REPLY_MAGIC, version=VERSION, size=32, error=OK, payload_size=None):
    payload_size = len(payload) if payload_size is None else payload_size
    return struct.pack(HEAD, magic, version, size, error, 0, payload_size) + payload


def connect(path, timeout=60, kind=socket.SOCK_SEQPACKET):
    connection = socket.socket(socket.AF_UNIX, kind)
    connection.settimeout(timeout)
    connection.connect(str(path))
    return connection


def ask(path, data):
    """One packet to the lookup socket; returns the reply, b"" when the daemon just closes."""
    with connect(path) as connection:
        try:
            connection.send(data)
            return connection.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def reply_error(data):
    return struct.unpack_from(HEAD, data)[3]


class FakeDaemon:
    """Listens on the lookup socket and gives every request the same reply (None: hangs up)."""

    def __init__(self, path):
        path.unlink(missing_ok=True)
        self.reply, self.requests, self._held = None, 0, []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                self.requests += 1
                if self.reply is not None:
                    try:
                        connection.send(self.reply)
                    except OSError:
                        pass

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
