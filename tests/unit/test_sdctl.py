#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""sdctl against a scripted daemon: what it sends, what it prints, how it ends.

Runs ./sdctl of the build directory. No daemon, no terminal but a pseudo one, no network.
"""

import json
import os
import pty
import shutil
import socket
import subprocess
import tempfile
import textwrap
import threading
import unittest

SDCTL = os.path.abspath(os.environ.get("SDCTL", "./sdctl"))
SECOND = 1_000_000


class Daemon:
    """Listens on DIR/control and answers each call with the next scripted reply."""

    def __init__(self, directory):
        self.calls = []
        self.replies = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(os.path.join(directory, "control"))
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                data = b""
                while not data.endswith(b"\0"):
                    chunk = connection.recv(65536)
                    if not chunk:
                        break
                    data += chunk
                if not data:  # somebody who only tries whether the socket listens
                    continue
                self.calls.append(json.loads(data[:-1]))
                reply = self.replies.pop(0) if self.replies else b""
                if isinstance(reply, dict):
                    reply = json.dumps(reply).encode() + b"\0"
                # In two pieces: a reply has no right to arrive at once.
                for piece in filter(None, (reply[:7], reply[7:])):
                    connection.sendall(piece)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def endpoint(name, addresses, **more):
    return {"name": name, "node": None, "addresses": addresses, "target": None, "ports": [],
            "tags": [], "health": "passing", "weight": 1, "priority": 0, "zone": None,
            "used": True, "reason": None, **more}


def answer(**more):
    return {"parameters": {"answer": {
        "name": "orders.service.consul", "canonical": None, "registry": "consul",
        "key": "orders", "selector": None, "state": "fresh", "status4": "found",
        "status6": "no-data", "age_usec": 2 * SECOND, "fresh_for_usec": -1,
        "stale_for_usec": -1, "limit": 8, "addresses": ["10.0.0.1"],
        "endpoints": [endpoint("orders-1", ["10.0.0.1"])], "error": None, **more}}}


def port(number, name="", protocol="tcp"):
    return {"name": name, "protocol": protocol, "number": number}


class SdctlTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="sdctl-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.daemon = Daemon(self.directory)
        self.addCleanup(self.daemon.close)

    def run_sdctl(self, *arguments, replies=(), terminal=False, **environment):
        """Returns (exit status, stdout, stderr)."""
        self.daemon.replies = list(replies)
        self.daemon.calls = []
        environ = {name: value for name, value in os.environ.items()
                   if name not in ("NO_COLOR", "TERM")}
        environ.update({"NSS_SD_RUNTIME_DIRECTORY": self.directory, "TERM": "xterm",
                        "LC_ALL": "C", **environment})
        command = [SDCTL, *arguments]
        if not terminal:
            done = subprocess.run(command, env=environ, capture_output=True, timeout=60,
                                  check=False)
            return done.returncode, done.stdout.decode(), done.stderr.decode()
        leader, follower = pty.openpty()
        with subprocess.Popen(command, env=environ, stdout=follower) as process:
            os.close(follower)
            output = b""
            try:
                while chunk := os.read(leader, 65536):
                    output += chunk
            except OSError:  # the end of a pseudo terminal
                pass
            os.close(leader)
            return process.wait(timeout=60), output.decode().replace("\r\n", "\n"), ""

    def check(self, arguments, reply, expected, status=0, **more):
        """Runs with one reply and compares all of stdout with `expected`, indentation taken off."""
        done = self.run_sdctl(*arguments, replies=[reply], **more)
        self.assertEqual(done[1], textwrap.dedent(expected).lstrip("\n"), done[2])
        self.assertEqual(done[0], status, done[2])
        return done

    def fails(self, *arguments, replies=(), **more):
        done = self.run_sdctl(*arguments, replies=replies, **more)
        self.assertEqual(done[0], 1)
        self.assertEqual(done[1], "")
        self.assertTrue(done[2].startswith("sdctl: ") and done[2].endswith("\n"))
        self.assertEqual(done[2].count("\n"), 1)
        return done[2]

    def check_call(self, method, parameters):
        self.assertEqual(self.daemon.calls, [{"method": "io.nss-sd.Control." + method,
                                              "parameters": parameters}])


class Query(SdctlTest):
    ENDPOINTS = [
        endpoint("orders-1", ["10.0.0.1", "2001:db8::1"], ports=[port(8080), port(9090, "admin")],
                 weight=10, zone="eu-1a"),
        endpoint("orders-2", ["10.0.0.2"], ports=[port(8080)], weight=10),
        endpoint("orders-3", ["10.0.0.3"], health="critical", used=False, reason="critical"),
        endpoint("orders-4", [], target="db.example.com", used=False, reason="not resolved yet"),
    ]

    def test_table_with_one_row_an_address_and_the_reason_of_those_not_used(self):
        self.check(["query", "orders.service.consul"],
                   answer(endpoints=self.ENDPOINTS, status6="found",
                          addresses=["10.0.0.1", "2001:db8::1", "10.0.0.2"]), """
            ADDRESS         PORT              HEALTH    WEIGHT  ZONE   INSTANCE  USED
            10.0.0.1        8080, admin 9090  passing       10  eu-1a  orders-1  yes
            2001:db8::1     8080, admin 9090  passing       10  eu-1a  orders-1  yes
            10.0.0.2        8080              passing       10  -      orders-2  yes
            10.0.0.3        -                 critical       1  -      orders-3  no: critical
            db.example.com  -                 passing        1  -      orders-4  no: not resolved yet

            orders.service.consul: 3 addresses, fresh, confirmed 2s ago by registry consul
            """)
        self.check_call("Query", {"name": "orders.service.consul", "family": 0})

    def test_one_family(self):
        self.check(["query", "-6", "--no-legend", "orders.service.consul"],
                   answer(endpoints=self.ENDPOINTS, status4="foreign", status6="found",
                          addresses=["2001:db8::1"]), """
            2001:db8::1     8080, admin 9090  passing  10  eu-1a  orders-1  yes
            db.example.com  -                 passing   1  -      orders-4  no: not resolved yet
            orders.service.consul: 1 address, fresh, confirmed 2s ago by registry consul
            """)
        self.check_call("Query", {"name": "orders.service.consul", "family": 6})

    def last_line(self, status=0, **more):
        done = self.run_sdctl("query", "x", replies=[answer(**more)])
        self.assertEqual(done[0], status)
        return done[1].splitlines()[-1]

    def test_line_of_what_is_found(self):
        name = "orders.service.consul: "
        self.assertEqual(
            self.last_line(state="stale", age_usec=7384 * SECOND, stale_for_usec=3600 * SECOND,
                           error="connection refused"),
            name + "1 address, stale, confirmed 2h 3min ago by registry consul, served for another "
                   "1h; last error: connection refused")
        self.assertEqual(
            self.last_line(state="stale", age_usec=7384 * SECOND, stale_for_usec=3600 * SECOND,
                           stale_since_usec=7200 * SECOND, restored=True, registry_state="down",
                           registry_state_for_usec=7200 * SECOND),
            name + "1 address, stale for 2h, confirmed 2h 3min ago by registry consul (down for "
                   "2h), read from disk, served for another 1h")
        self.assertEqual(
            self.last_line(canonical="a.example.com", age_usec=None, status6="undecided",
                           addresses=["10.0.0.1", "10.0.0.2", "10.0.0.3"], limit=2),
            name + "an alias of a.example.com, 3 addresses (a lookup gets 2 of them), fresh from "
                   "registry consul; IPv6 is undecided")

    def test_line_of_what_is_not_found(self):
        nothing = {"addresses": [], "endpoints": []}
        name = "orders.service.consul: "
        self.assertEqual(
            self.last_line(1, status4="absent", status6="absent", state="absent", **nothing),
            name + "no such name, absent, confirmed 2s ago by registry consul")
        self.assertEqual(
            self.last_line(1, status4="no-data", status6="no-data", state="empty", **nothing),
            name + "exists, but has no address to use, empty, confirmed 2s ago by registry consul")
        self.assertEqual(
            self.last_line(1, status4="undecided", status6="undecided", state="unknown",
                           age_usec=None, error="HTTP status 500", **nothing),
            name + "not known now, and programs are told to try again, unknown from registry "
                   "consul; last error: HTTP status 500")
        self.assertEqual(
            self.last_line(1, status4="foreign", status6="foreign", state=None, registry=None,
                           age_usec=None, name="", **nothing),
            "x: not a name of nss-sd: no registry has its domain, so programs ask the next "
                   "service in nsswitch.conf (DNS)")

    def test_instances_that_the_reply_had_no_room_for_are_counted(self):
        done = self.run_sdctl("query", "x", replies=[answer(endpoints_more=59000)])
        self.assertIn("\n... and 59000 more instances\n", done[1])

    def test_several_names_fail_if_one_does(self):
        done = self.run_sdctl("query", "a", "b",
                              replies=[answer(status4="absent", status6="absent", endpoints=[],
                                              addresses=[]), answer()])
        self.assertEqual(done[0], 1)
        self.assertEqual([call["parameters"]["name"] for call in self.daemon.calls], ["a", "b"])

    def test_address(self):
        self.check(["query", "10.0.0.5"], {"parameters": {"name": "db-0.db", "registry": "k8s"}},
                   "10.0.0.5: db-0.db, from registry k8s\n")
        self.check_call("QueryAddress", {"address": "10.0.0.5"})
        self.check(["query", "::5"], {"parameters": {"name": None, "registry": None}},
                   "::5: no registry with Reverse=yes knows a name of it\n", 1)

    def test_terminal_is_safe_from_registries(self):
        hostile = "\x1b]0;pwn\x07\x9b31m\u202eevil\nnext\t\x7f"
        done = self.check(["query", "--no-legend", "x"], answer(
            error=hostile, endpoints=[endpoint(hostile, ["10.0.0.1"], reason=hostile)]), r"""
            10.0.0.1  -  passing  1  -  \x1b]0;pwn\x07\x9b31m\u202eevil\x0anext\x09\x7f  yes
            orders.service.consul: 1 address, fresh, confirmed 2s ago by registry consul; """
                          r"""last error: \x1b]0;pwn\x07\x9b31m\u202eevil\x0anext\x09\x7f
            """)
        self.assertEqual(done[2], "")
        done = self.run_sdctl("query", "x", "--json", replies=[answer(error="\x1b\u202e\x9b")])
        self.assertTrue(done[1].isascii() and "\x1b" not in done[1])

    def test_width_counts_characters(self):
        self.check(["query", "--no-legend", "x"], answer(endpoints=[
            endpoint("käse", ["10.0.0.1"]), endpoint("quark", ["10.0.0.2"])]), """
            10.0.0.1  -  passing  1  -  käse   yes
            10.0.0.2  -  passing  1  -  quark  yes
            orders.service.consul: 1 address, fresh, confirmed 2s ago by registry consul
            """)


class Tables(SdctlTest):
    STATUS = {"parameters": {
        "version": "0.1.0", "pid": 77, "uptime_usec": 125 * SECOND, "view": "/run/nss-sd/view",
        "lookups": 12, "connections": 3, "zone": None, "log_level": "info",
        "ranks": {"gai_conf": "/etc/gai.conf", "gai_lines": 0, "prefixes_known": True,
                  "interface_addresses": 4, "addresses": 40, "unreachable": 0},
        "snapshot": {"persist": True, "directory": "/var/lib/nss-sd/snapshot", "files": 2,
                     "size": 3000, "written_usec": 4 * SECOND, "error": None,
                     "error_for_usec": None},
        "registries": [
            {"name": "consul", "type": "consul", "domains": ["consul"], "state": "up",
             "state_for_usec": 7200 * SECOND, "last_news_usec": 5, "last_error": None,
             "last_error_usec": None, "services": 12, "stale": 0, "expired": 0,
             "stale_since_usec": None, "first_expires_usec": None, "details": {}},
            {"name": "prod", "type": "eureka", "domains": ["eureka"], "state": "down",
             "state_for_usec": 90 * SECOND, "last_news_usec": None,
             "last_error": "connection refused", "last_error_usec": 61 * SECOND, "services": 40,
             "stale": 30, "expired": 1, "stale_since_usec": 3 * 86400 * SECOND,
             "first_expires_usec": 51 * 3600 * SECOND, "details": {"servers": []}}]}}

    def test_status(self):
        self.check(["status"], self.STATUS, """
                 Version: 0.1.0
                  Daemon: process 77
             Running for: 2min 5s
                    View: /run/nss-sd/view
                    Zone: -
                 Lookups: 12, 3 connections now
                  Checks: -
                   Ranks: by kernel routes and glibc's own rules
                Snapshot: /var/lib/nss-sd/snapshot: 2 files of 3 KiB, written 4s ago
               Log level: info

            NAME    TYPE    STATE              LAST NEWS  SERVICES  STALE      LAST ERROR
            consul  consul  up for 2h          now              12  0          -
            prod    eureka  down for 1min 30s  never            40  31 for 3d  connection refused (1min 1s ago)

            2 registries.
            prod: 30 services are served stale, the first expires in 2d 3h.
            prod: 1 service has expired: lookups of it fail.
            """.replace("            ", "", 1).replace("\n            ", "\n"))
        self.check_call("Status", {})

    def test_status_tells_where_the_host_is_and_who_says_so(self):
        for change, words in (
                ({"zone": "eu-1a", "region": None, "zone_from": "registry consul"},
                 "Zone: eu-1a (from registry consul)\n"),
                ({"zone": "eu-1a", "region": "eu-1", "zone_from": "the metadata of EC2"},
                 "Zone: eu-1a, region eu-1 (from the metadata of EC2)\n"),
                ({"zone": None, "region": "eu-1", "zone_from": "registry cloudmap"},
                 "Zone: unknown, region eu-1 (from registry cloudmap)\n")):
            status = {"parameters": dict(self.STATUS["parameters"], **change)}
            self.assertIn(words, self.run_sdctl("status", replies=[status])[1])

    def test_status_tells_of_checks_by_policy(self):
        vetoes = {"services": 1, "endpoints": 3, "failing": 0, "failing_services": 0, "full": False}
        for change, words in (
                ({}, "Checks: 3 instances of 1 service by policy, all pass\n"),
                ({"failing": 1}, "Checks: 1 of 3 instances of 1 service fails\n"),
                ({"endpoints": 4096, "services": 2, "failing": 7, "failing_services": 1, "full": True},
                 "Checks: 7 of 4096 instances of 2 services fail; of 1 service all fail, and none is "
                 "left out; there may be no more of them\n")):
            status = {"parameters": dict(self.STATUS["parameters"], vetoes=dict(vetoes, **change))}
            self.assertIn(words, self.run_sdctl("status", replies=[status])[1])

    def test_status_tells_what_addresses_are_ranked_by(self):
        ranks = self.STATUS["parameters"]["ranks"]
        for change, words in (
                ({"gai_lines": 1, "unreachable": 1},
                 "Ranks: by kernel routes and 1 line of /etc/gai.conf; 1 of 40 addresses has no route\n"),
                ({"gai_lines": 2, "unreachable": 3},
                 "Ranks: by kernel routes and 2 lines of /etc/gai.conf; 3 of 40 addresses have no route\n"),
                ({"prefixes_known": False},
                 "Ranks: the addresses of this host cannot be read, so answers have one address\n")):
            status = {"parameters": dict(self.STATUS["parameters"], ranks=dict(ranks, **change))}
            self.assertIn(words, self.run_sdctl("status", replies=[status])[1])

    def test_status_tells_a_disk_in_trouble(self):
        snapshot = dict(self.STATUS["parameters"]["snapshot"],
                        error="cannot be written: No space left on device",
                        error_for_usec=61 * SECOND)
        for change, words in (
                (snapshot, "cannot be written: No space left on device (first 1min 1s ago)"),
                (dict(snapshot, persist=False), "off (Persist=no): a reboot loses what is known")):
            status = {"parameters": dict(self.STATUS["parameters"], snapshot=change)}
            self.assertIn(words, self.run_sdctl("status", replies=[status])[1])

    def test_status_without_legend(self):
        self.check(["status", "--no-legend"], self.STATUS, """
            consul  consul  up for 2h          now    12  0          -
            prod    eureka  down for 1min 30s  never  40  31 for 3d  connection refused (1min 1s ago)
            """)

    def test_status_of_what_never_expires(self):
        registry = {**self.STATUS["parameters"]["registries"][1], "expired": 0, "stale": 1,
                    "first_expires_usec": -1}
        done = self.run_sdctl("status", replies=[
            {"parameters": {**self.STATUS["parameters"], "registries": [registry]}}])
        self.assertIn("\n1 registry.\nprod: 1 service is served stale, without an end.\n", done[1])

    def test_colours_on_a_terminal_only_and_not_if_unwanted(self):
        colour = self.check(["status", "--no-legend"], self.STATUS, """
            consul  consul  \033[32mup for 2h\033[0m          now    12  0          -
            prod    eureka  \033[31mdown for 1min 30s\033[0m  never  40  \033[31m31 for 3d\033[0m  connection refused (1min 1s ago)
            """, terminal=True)
        done = self.run_sdctl("status", replies=[self.STATUS], terminal=True)
        self.assertIn("\033[1mNAME\033[0m    \033[1mTYPE\033[0m", done[1])
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
            done = self.run_sdctl("status", "--no-legend", replies=[self.STATUS], terminal=True,
                                  **environment)
            self.assertNotIn("\033", done[1])
        done = self.run_sdctl("status", "--no-legend", replies=[self.STATUS], terminal=True,
                              NO_COLOR="")
        self.assertEqual(done[1], colour[1])

    def test_services(self):
        service = {"registry": "consul", "key": "orders", "state": "stale",
                   "age_usec": 172800 * SECOND, "stale_since_usec": 86400 * SECOND,
                   "fresh_for_usec": None, "stale_for_usec": 3600 * SECOND, "restored": True,
                   "endpoints": 4, "usable": 3, "idle_usec": 1500000, "error": "HTTP 500"}
        fresh = {**service, "key": "stock", "state": "fresh", "stale_since_usec": None,
                 "stale_for_usec": None, "restored": False, "error": None}
        self.check(["services", "consul"], {"parameters": {"services": [service, fresh]}}, """
            REGISTRY  SERVICE  STATE         USABLE  CONFIRMED          EXPIRES IN  LAST ASKED  LAST ERROR
            consul    orders   stale for 1d  3 of 4  2d ago, from disk  1h          1s ago      HTTP 500
            consul    stock    fresh         3 of 4  2d ago             -           1s ago      -

            2 services.
            """)
        self.check_call("Services", {"registry": "consul"})
        self.check(["services"], {"parameters": {"services": []}}, "0 services.\n")
        self.check_call("Services", {})
        self.check(["services", "--stale"], {"parameters": {"services": []}},
                   "0 services are stale.\n")
        self.check_call("Services", {"stale": True})

    STATISTICS = {"parameters": {
        "since_usec": 7500 * SECOND,
        "lookups": {"found": 10, "no_data": 1, "absent": 2, "undecided": 3, "foreign": 4,
                    "at_once": 15, "waited": 3, "timed_out": 2, "gone": 5, "stale": 6},
        "socket": {"requests": 25, "reverse": 1, "malformed": 0, "refused": 2},
        "herds": [{"most": 1, "count": 4}, {"most": 10, "count": 3}, {"most": 100, "count": 0},
                  {"most": None, "count": 1}],
        "refresh": {"received": 9, "ignored": 0, "malformed": 0},
        "view": {"published": 30, "withdrawn": 2, "full": 0, "files": 1},
        "snapshot": {"written": 8, "failed": 4, "loaded": 2, "refused": 1},
        "control_calls": 7,
        "registries": [
            {"name": "consul", "wants": 12, "refreshes": 3, "drops": 1, "refused": 0,
             "reports": {"data": 20, "absent": 2, "failed": 3, "suspect": 0, "appeared": 1,
                         "synced": 1, "up": 2, "down": 1, "domains": 0, "locality": 0,
                         "identity": 0},
             "failures": {"transient": 2, "denied": 1, "throttled": 0, "config": 0},
             "services": 11, "stale": 5, "expired": 0}]}}

    def test_statistics(self):
        done = self.run_sdctl("statistics", replies=[self.STATISTICS])
        self.assertEqual(done[0], 0)
        self.assertTrue(done[1].startswith(
            "Counted for 2h 5min. Lookups that the view answers are not counted"), done[1])
        lines = [line.strip() for line in done[1].splitlines()]
        for line in ("Lookups that reached the daemon", "found: 10", "timed out waiting: 2",
                     "answered with stale addresses: 6", "1: 4", "2 to 10: 3", "11 to 100: 0",
                     "101 and more: 1", "refused connections (limits): 2",
                     "datagrams of view readers: 9", "view files made: 1", "files written: 8", "writes that failed: 4",
                     "files set aside: 1", "calls: 7"):
            self.assertIn(line, lines)
        self.assertEqual(lines[-1].split(), ["consul", "12", "3", "20", "2", "0", "1", "11", "5",
                                             "0", "0", "3", "(transient", "2,", "denied", "1)"])
        self.check_call("Statistics", {})

    def test_statistics_begin_anew(self):
        self.check(["statistics", "--reset"], {"parameters": {}}, "Counting anew\n")
        self.check_call("ResetStatistics", {})

    def test_statistics_survive_junk(self):
        for junk in ({}, {"lookups": [], "herds": {}, "registries": [{}, 7]}):
            self.assertEqual(self.run_sdctl("statistics", replies=[{"parameters": junk}])[0], 0)

    def test_junk_in_a_reply_is_shown_not_trusted(self):
        self.check(["services", "--no-legend"],
                   {"parameters": {"services": [{"registry": 7, "usable": "x"}]}},
                   "-  -  -  -1 of -1  never  -  never  -\n")
        self.check(["services"], {"parameters": {"services": "none"}}, "0 services.\n")


class Changes(SdctlTest):
    def test_register(self):
        self.check(["register", "orders", "--address", "10.0.0.5", "--address=::5", "--port=80",
                    "--id", "blue", "--ttl", "5min", "--tag", "a", "--tag", "b", "--weight", "7",
                    "--zone", "z"], {"parameters": {"name": "orders", "id": "blue"}},
                   "Registered orders, instance blue\n")
        self.check_call("Register", {
            "name": "orders", "id": "blue", "addresses": ["10.0.0.5", "::5"], "port": 80,
            "tags": ["a", "b"], "weight": 7, "zone": "z", "ttl_usec": 300 * SECOND})
        self.check(["register", "orders", "--target", "db.example.com"],
                   {"parameters": {"name": "orders", "id": "x"}},
                   "Registered orders, instance x\n")
        self.check_call("Register", {"name": "orders", "target": "db.example.com"})

    def test_what_means_nothing_in_a_registration_is_told(self):
        done = self.run_sdctl("register", "orders", "--address", "10.0.0.5", replies=[{"parameters": {
            "name": "orders", "id": "x", "warnings": ["checks[0]: hm"]}}])
        self.assertEqual(done, (0, "Registered orders, instance x\n", "sdctl: checks[0]: hm\n"))

    def test_register_with_checks(self):
        registered = {"parameters": {"name": "orders", "id": "x"}}
        base = ["register", "orders", "--address", "10.0.0.5", "--port=80"]
        second = "1000000us"
        for check, expected in (
                ("http:/readyz", {"http": "http://10.0.0.5:80/readyz"}),
                ("https:8443/a?b=c", {"http": "https://10.0.0.5:8443/a?b=c"}),
                ("http://a.example/x", {"http": "http://a.example/x"}),
                ("http:https://a.example/x", {"http": "https://a.example/x"}),
                ("http:9000", {"http": "http://10.0.0.5:9000"}),
                ("tcp", {"tcp": "10.0.0.5:80"}), ("tcp:", {"tcp": "10.0.0.5:80"}),
                ("tcp:5432", {"tcp": "10.0.0.5:5432"}), ("tcp:db:5432", {"tcp": "db:5432"}),
                ("grpc", {"grpc": "10.0.0.5:80"}), ("grpc:50051", {"grpc": "10.0.0.5:50051"}),
                ("grpc:/shop.Orders", {"grpc": "10.0.0.5:80/shop.Orders"}),
                ("grpc:50051/a", {"grpc": "10.0.0.5:50051/a"}), ("grpc:db:1/a", {"grpc": "db:1/a"}),
                ("ttl:1s", {"ttl": second})):
            with self.subTest(check):
                self.check([*base, "--check", check], registered,
                           "Registered orders, instance x\n")
                self.check_call("Register", {"name": "orders", "addresses": ["10.0.0.5"], "port": 80,
                                             "checks": [expected]})
        self.check(["register", "orders", "--address=::5", "--check=tcp:1", "--check=ttl:1min",
                    "--check-interval=1s", "--check-timeout=500ms", "--check-status=passing"],
                   registered, "Registered orders, instance x\n")
        self.check_call("Register", {
            "name": "orders", "addresses": ["::5"], "checks": [
                {"tcp": "[::5]:1", "interval": second, "timeout": "500000us", "status": "passing"},
                {"ttl": "60000000us", "status": "passing"}]})
        self.assertIn("give --port", self.fails("register", "a", "--address=::1", "--check=tcp"))
        for bad in ("udp:1", "tcpx", "http:x", "ttl:", "ttl:soon", "/bin/true"):
            with self.subTest(bad):
                self.assertIn("--check: '", self.fails(*base, "--check", bad))

    def test_register_a_definition(self):
        path = os.path.join(self.directory, "orders.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"service": {"name": "orders"}}, file)
        reply = {"parameters": {"registered": [{"name": "orders", "id": "o"}], "warnings": []}}
        self.check(["register", "--definition", path], reply, "Registered orders, instance o\n")
        self.check_call("RegisterDefinition", {"definition": {"service": {"name": "orders"}}})
        self.assertIn("leave 'orders' out", self.fails("register", "orders", "--definition", path))
        self.assertIn("needs a NAME", self.fails("register"))
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"service": {"token": "hush" "hush"}}')
        text = self.fails("register", "--definition", path)
        self.assertIn(f"{path}:1:", text)
        self.assertNotIn("hush", text)

    def test_words_for_ttl_checks(self):
        self.check(["pass", "o"], {"parameters": {"checks": 1}}, "o: passing, 1 ttl check\n")
        self.check_call("Pass", {"id": "o", "status": "passing"})
        self.check(["warn", "o", "--note=full"], {"parameters": {"checks": 2}},
                   "o: warning, 2 ttl checks\n")
        self.check_call("Pass", {"id": "o", "status": "warning", "note": "full"})
        self.check(["fail", "o"], {"parameters": {"checks": 1}}, "o: critical, 1 ttl check\n")
        self.check(["pass", "o"], {"parameters": {"checks": 0}},
                   "o: its time to live begins anew\n")
        self.assertIn("no instance and no check of the id 'o'", self.fails(
            "pass", "o", replies=[{"error": "io.nss-sd.Control.NoSuchCheck",
                                   "parameters": {"id": "o"}}]))

    def test_deregister_and_flush(self):
        self.check(["deregister", "orders"], {"parameters": {"removed": 1}},
                   "Deregistered 1 instance of orders\n")
        self.check_call("Deregister", {"name": "orders"})
        self.check(["deregister", "orders", "--id=x"], {"parameters": {"removed": 2}},
                   "Deregistered 2 instances of orders\n")
        self.check_call("Deregister", {"name": "orders", "id": "x"})
        self.check(["flush"], {"parameters": {"flushed": 2}}, "Flushed 2 services\n")
        self.check_call("Flush", {})
        self.check(["flush", "a.b"], {"parameters": {"flushed": 1}}, "Flushed 1 service\n")
        self.check_call("Flush", {"name": "a.b"})

    def test_reload(self):
        message = {"file": "/etc/nss-sd/nss-sd.conf", "line": 3, "severity": "warning",
                   "text": "odd"}
        self.check(["reload"], {"parameters": {"applied": True, "messages": [message]}}, """
            /etc/nss-sd/nss-sd.conf:3: warning: odd
            The new configuration is in force
            """)
        message = {**message, "line": 0, "severity": "error"}
        done = self.check(["reload"], {"parameters": {"applied": False, "messages": [message]}}, """
            /etc/nss-sd/nss-sd.conf: error: odd
            """, 1)
        self.assertIn("stays in force", done[2])

    def test_log_level(self):
        self.check(["log-level"], {"parameters": {"level": "info"}}, "info\n")
        self.check_call("LogLevel", {})
        self.check(["log-level", "debug"], {"parameters": {"level": "debug"}}, "debug\n")
        self.check_call("LogLevel", {"level": "debug"})


class Failures(SdctlTest):
    def error(self, error, /, **parameters):
        return [{"error": error, "parameters": parameters}]

    def test_no_daemon(self):
        text = self.fails("status", NSS_SD_RUNTIME_DIRECTORY="/nonexistent")
        self.assertIn("/nonexistent/control (No such file or directory)", text)
        self.assertIn("systemctl start nss-sdd", text)
        # The option outranks the environment.
        text = self.fails("status", "--runtime-directory", "/nowhere")
        self.assertIn("/nowhere/control", text)
        stale = os.path.join(self.directory, "stale")
        os.mkdir(stale)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.path.join(stale, "control"))
        self.assertIn("(Connection refused)", self.fails("status", "--runtime-directory", stale))

    def test_broken_daemons(self):
        self.assertIn("closed the connection", self.fails("status", replies=[b""]))
        self.assertIn("closed the connection", self.fails("status", replies=[b'{"parame']))
        for junk in (b"HTTP/1.1 400 Bad Request\0", b"[]\0", b"\0", b'{"error":1}\0',
                     b'{"parameters":[]}\0', b'{"error":7,"parameters":{}}\0'):
            self.assertIn("does not speak Varlink", self.fails("status", replies=[junk]))

    def test_errors_of_the_daemon(self):
        text = self.fails("flush", replies=self.error("org.varlink.service.PermissionDenied"))
        self.assertIn("sudo", text)
        text = self.fails("flush", replies=self.error("io.nss-sd.Control.NoSuchName", name="a.b"))
        self.assertIn("a.b: ", text)
        text = self.fails("deregister", "a",
                          replies=self.error("io.nss-sd.Control.NoSuchService", name="a"))
        self.assertIn("a: no such service", text)
        text = self.fails("services", "x", replies=self.error(
            "io.nss-sd.Control.InvalidValue", parameter="registry", reason="not \x1b[31m there"))
        self.assertIn("registry: not \\x1b[31m there", text)
        self.assertIn("busy", self.fails("status", replies=self.error("io.nss-sd.Control.Busy")))
        self.assertIn("busy: too many names: wait.", self.fails("status", replies=self.error(
            "io.nss-sd.Control.Busy", reason="too many names: wait")))
        self.assertIn("Type=local", self.fails(
            "register", "a", "--address=::1",
            replies=self.error("io.nss-sd.Control.NoLocalRegistry")))
        self.assertIn("another version", self.fails("status", replies=self.error(
            "org.varlink.service.MethodNotFound", method="x")))
        self.assertIn("org.example.New", self.fails("status", replies=self.error("org.example.New")))

    def test_command_lines_that_make_no_sense(self):
        for arguments, expected in (
                ([], "sdctl --help"),
                (["qury", "a"], "Did you mean 'query'?"),
                (["xyzzy"], "sdctl --help"),
                (["query"], "needs an argument: NAME"),
                (["status", "x"], "one argument too many"),
                (["status", "--jsn"], "Did you mean '--json'?"),
                (["--adress=1", "status"], "Did you mean '--address'?"),
                (["status", "--zzzzzz"], "no option '--zzzzzz'"),
                (["status", "-x"], "no option '-x'"),
                (["status", "-4x"], "no option '-x'"),
                (["status", "--json=1"], "takes no argument"),
                (["register", "a", "--port"], "needs an argument"),
                (["status", "--port", "1"], "'status' has no option --port"),
                (["flush", "-4"], "'flush' has no option --ipv4"),
                (["register", "a"], "--address"),
                (["register", "a", "--address", "::1", "--target", "b"], "--address"),
                (["register", "a", "--address", "host"], "--target"),
                (["register", "a", "--port", "0", "--address", "::1"], "from 1 to 65535"),
                (["register", "a", "--port", "80x", "--address", "::1"], "from 1 to 65535"),
                (["register", "a", "--weight", "-1", "--address", "::1"], "from 1 to 65535"),
                (["register", "a", "--ttl", "soon", "--address", "::1"], "not a time"),
                (["register", "a", "--ttl", "100ms", "--address", "::1"], "not a time"),
                (["register", "a", *["--address=::1"] * 65], "more than 64"),
                (["help", "qurey"], "Did you mean 'query'?"),
                (["flush", b"\xff"], "UTF-8"),
                (["check", "--config-directory", "/nonexistent"], "No such file")):
            with self.subTest(arguments):
                self.assertIn(expected, self.fails(*arguments))
        self.assertEqual(self.daemon.calls, [])


class Json(SdctlTest):
    def test_replies_come_as_they_are(self):
        for arguments, parameters in ((["query", "a"], answer()["parameters"]),
                                      (["query", "::1"], {"name": "a", "registry": "b"}),
                                      (["status"], Tables.STATUS["parameters"]),
                                      (["services"], {"services": []}),
                                      (["register", "a", "--address=::1"], {"name": "a", "id": "b"}),
                                      (["deregister", "a"], {"removed": 1}),
                                      (["pass", "a"], {"checks": 1}),
                                      (["flush"], {"flushed": 1}),
                                      (["reload"], {"applied": True, "messages": []}),
                                      (["log-level"], {"level": "info"})):
            with self.subTest(arguments):
                done = self.run_sdctl(*arguments, "--json", replies=[{"parameters": parameters}])
                self.assertEqual(done[0], 0, done[2])
                self.assertEqual(json.loads(done[1]), parameters)

    def test_failures_are_json_too_and_keep_their_status(self):
        error = {"error": "io.nss-sd.Control.Busy", "parameters": {}}
        done = self.run_sdctl("--json", "status", replies=[error])
        self.assertEqual((done[0], json.loads(done[1])), (1, error))
        absent = answer(status4="absent", status6="absent")
        self.assertEqual(self.run_sdctl("--json", "query", "a", replies=[absent])[0], 1)


class Help(SdctlTest):
    VERBS = ("query", "explain", "status", "services", "register", "deregister", "pass", "warn", "fail",
             "flush", "reload", "monitor",
             "check", "log-level")

    def test_every_verb_teaches(self):
        general = self.run_sdctl("--help")
        self.assertEqual(general[0], 0)
        self.assertEqual(self.run_sdctl("help"), general)
        for verb in self.VERBS:
            with self.subTest(verb):
                self.assertIn(f"\n  {verb} ", general[1])
                done = self.run_sdctl(verb, "--help")
                self.assertEqual(done[0], 0)
                self.assertEqual(self.run_sdctl("help", verb), done)
                self.assertIn(f"Examples:\n  sdctl {verb}", done[1])
                self.assertLess(max(map(len, done[1].splitlines())), 101)
        self.assertEqual(self.daemon.calls, [])

    def test_version(self):
        self.assertRegex(self.run_sdctl("--version")[1], r"\Asdctl \(nss-sd\) \d+\.\d+\.\d+\n\Z")


class Check(SdctlTest):
    """The configuration's own rules are test_config's; here, how they are told."""

    def configure(self, text):
        with open(os.path.join(self.directory, "nss-sd.conf"), "w", encoding="utf-8") as file:
            file.write(text)
        return ["check", "--config-directory", self.directory]

    def test_good_configuration(self):
        done = self.run_sdctl(*self.configure("[Resolve]\nAnswers=4\n"))
        self.assertEqual(done, (0, "The configuration is good: 0 registries\n", ""))

    def test_every_mistake_with_its_line(self):
        done = self.run_sdctl(*self.configure("[Resolve]\nAnswrs=4\nNdots=x\n"))
        self.assertEqual(done[0], 1)
        lines = done[1].splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith(f"{self.directory}/nss-sd.conf:2: error: "), lines)
        self.assertIn("Answers", lines[0])
        self.assertTrue(lines[1].startswith(f"{self.directory}/nss-sd.conf:3: error: "), lines)
        self.assertEqual(lines[2], "2 errors, 0 warnings")

    def test_mistakes_as_json(self):
        done = self.run_sdctl("--json", *self.configure("[Resolve]\nAnswrs=4\n"))
        self.assertEqual(done[0], 1)
        messages = json.loads(done[1])["messages"]
        self.assertEqual([(message["line"], message["severity"]) for message in messages],
                         [(2, "error")])


def stream(*parameters, last=True):
    """The replies to one call with "more", as bytes."""
    replies = [{"parameters": one, "continues": True} for one in parameters]
    if last:
        del replies[-1]["continues"]
    return b"".join(json.dumps(reply).encode() + b"\0" for reply in replies)


def located(address, name, *ports):
    return {"address": address, "name": name, "ports": list(ports)}


def explanation(meaning="service", **more):
    return {"parameters": {"explanation": {
        "name": "orders.service.consul", "domain": "consul", "shared": False, "meaning": meaning,
        "registry": {"name": "consul", "type": "consul", "domains": ["consul"], "state": "up",
                     "state_for_usec": 60 * SECOND, "last_news_usec": 2 * SECOND,
                     "last_error": None, "last_error_usec": None},
        "in_use": True, "answer": answer()["parameters"]["answer"],
        "service": {"state": "fresh", "alias": None, "asking": False, "live": True, "held": False,
                    "suspect": False, "max_stale_usec": 86400 * SECOND, "idle_usec": 0,
                    "ask_in_usec": None},
        "choice": None, "settings": [], "hosts": [], **more}}}


class Explain(SdctlTest):
    """What the daemon says, told; where lookups succeed is tests/system/test_explain.py's."""

    def explain(self, *replies, name="orders.service.consul"):
        done = self.run_sdctl("explain", name, replies=[answer(), *replies])
        self.assertEqual(done[0], 1)  # there is no lookup socket here: programs find nothing
        head = done[1].splitlines()
        return head[0], head[1].strip(), done[1], done[2]

    def state(self, state, *, asking=False, registry=None, choice=None, **more):
        told = explanation()["parameters"]["explanation"]
        told["answer"] |= {"state": state, **more}
        told["service"] |= {"state": state, "asking": asking}
        told["registry"] |= registry or {}
        told["choice"] = choice
        return {"parameters": {"explanation": told}}

    def test_each_state_is_one_line_and_what_to_do(self):
        down = {"state": "down", "state_for_usec": 300 * SECOND, "last_error": "refused"}
        for reply, expected, advice in (
                (self.state("absent"), "absent: registry consul says", "spelling"),
                (self.state("expired", registry=down), "expired: last confirmed 2s ago, longer than "
                 "MaxStaleSec= allows", "Mend the way to registry consul"),
                (self.state("unknown", asking=True), "pending: the registry was asked", "journal"),
                (self.state("unknown", registry=down),
                 "registry consul is down for 5min: refused", "Mend"),
                (self.state("empty", endpoints=[]), "empty: the service exists and has no instance",
                 "Start an instance"),
                (self.state("fresh", choice={"selected": 0, "used": 0}), "none of the 1 instances",
                 "tag"),
                (self.state("fresh", choice={"selected": 1, "used": 0}), "no instance is usable",
                 "health")):
            with self.subTest(expected):
                text, told, _, errors = self.explain(reply)
                self.assertTrue(text.startswith("orders.service.consul: "), text)
                self.assertIn(expected, text)
                self.assertTrue(told.startswith("-> "), told)
                self.assertIn(advice, told)
                self.assertEqual(errors, "")

    def test_what_is_no_service_is_told_as_what_it_is(self):
        text, told, _, _ = self.explain(explanation("foreign", domain=None, registry=None,
                                                    answer=None, service=None), Tables.STATUS)
        self.assertIn("not a name of nss-sd", text)
        self.assertIn("consul", told)
        text, told, _, _ = self.explain(explanation("no-such-name", answer=None, service=None))
        self.assertIn("no name as its type (consul) has them", text)
        self.assertIn("nss-sd.registry(5)", told)

    def test_who_set_what(self):
        _, _, text, _ = self.explain(explanation(settings=[
            {"key": "Answers", "value": "2", "file": "/etc/x.policy", "line": 4},
            {"key": "MaxStaleSec", "value": "3d", "file": None, "line": None},
            {"key": "Zone", "value": None, "file": None, "line": None}]))
        self.assertIn("Answers=2 (/etc/x.policy:4)\n", text)
        self.assertIn("MaxStaleSec=3d (default)\n", text)
        self.assertNotIn("Zone=", text)

    def test_instances_have_their_verdicts(self):
        told = self.state("fresh", choice={"selected": 2, "used": 1, "zone": "own zone alone",
                                           "host_zone": "eu-1a", "host_zone_from": "Zone="},
                          endpoints=[endpoint("a", ["10.0.0.1"], share=1.0, tier=0),
                                     endpoint("b", ["10.0.0.2"], used=False, share=0.0, tier=None,
                                              reason="in another zone")])
        told["parameters"]["explanation"]["sources"] = [{"address": "10.0.0.1", "source": "10.0.0.9"}]
        _, _, text, _ = self.explain(told)
        self.assertIn("1 of 2 instances are used; own zone alone\n", text)
        self.assertRegex(text, r"10\.0\.0\.1 .*  10\.0\.0\.9  used\n")
        self.assertRegex(text, r"10\.0\.0\.2 .*  -  +left out: in another zone\n")
        self.assertIn("this host is in zone eu-1a (from Zone=)", text)
        self.assertRegex(text, r"10\.0\.0\.1 .* 100\.0 % .* used\n")
        self.assertRegex(text, r"10\.0\.0\.2 .* left out: in another zone\n")

    def test_without_a_daemon_it_says_so(self):
        with tempfile.TemporaryDirectory() as empty:
            done = self.run_sdctl("explain", "orders.service.consul",
                                  NSS_SD_RUNTIME_DIRECTORY=empty)
        self.assertEqual(done[0], 1)
        self.assertIn("nss-sdd does not answer", done[1].splitlines()[0])
        self.assertIn("systemctl start nss-sdd", done[1].splitlines()[1])

    def test_what_is_no_name_is_refused(self):
        done = self.run_sdctl("explain", "a..b")
        self.assertEqual(done[0], 1)
        self.assertIn("not a host name", done[2])


class Monitor(SdctlTest):
    @staticmethod
    def event(what, **more):
        return {"at_usec": 1_000_000_123_000, "registry": "consul", "service": "orders",
                "what": what, **more}

    def follow(self, *batches, arguments=("monitor",), before=(), **options):
        """Lines without the time of day, which depends on the zone."""
        done = self.run_sdctl(*arguments, replies=[*before, stream(*batches, last=False)],
                              **options)
        self.assertEqual(done[0], 1)  # the scripted daemon ends, and a monitor does not
        self.assertIn("has ended", done[2])
        return done[1].splitlines()

    def test_every_event_is_a_line_that_says_what_happened(self):
        lines = self.follow(
            {"lost": 0, "events": [
                self.event("added", instance="a", addresses=["10.0.0.1", "::1"], to="passing"),
                self.event("health", instance="a", addresses=["10.0.0.1"], to="critical",
                           **{"from": "passing"}),
                self.event("changed", instance="b", addresses=[], target="db.example.com",
                           text="weight 5, was 1"),
                self.event("removed", instance="a", addresses=["10.0.0.1"])]},
            {"lost": 0, "events": [
                self.event("more", text="7 more instances changed"),
                self.event("stale", text="connection refused"),
                {**self.event("down", text="timed out"), "service": None}]})
        for line in lines:
            self.assertRegex(line, r"\A\d\d:\d\d:40\.123 consul")
        self.assertEqual([line.split(" ", 1)[1] for line in lines], [
            "consul orders: instance a (10.0.0.1, ::1) added, passing",
            "consul orders: instance a (10.0.0.1) changed, critical (was passing)",
            "consul orders: instance b (db.example.com) changed: weight 5, was 1",
            "consul orders: instance a (10.0.0.1) removed",
            "consul orders: 7 more instances changed",
            "consul orders: is stale: served as it was known, for its registry does not confirm it"
            ": connection refused",
            "consul: is down: timed out"])
        self.assertEqual(self.daemon.calls, [{"method": "io.nss-sd.Control.Monitor", "more": True,
                                              "parameters": {"names": []}}])

    def test_what_was_lost_is_told_before_what_is_left(self):
        batch = {"lost": 3, "events": [self.event("empty")]}
        lines = self.follow(batch)
        self.assertIn("3 events are lost", lines[0])
        self.assertEqual(len(lines), 2)
        lines = self.follow(batch, arguments=("monitor", "--json"))
        self.assertEqual([json.loads(line) for line in lines], [{"lost": 3}, self.event("empty")])

    def test_names_are_looked_up_first_and_followed_by_their_full_names(self):
        lines = self.follow({"lost": 0, "events": [self.event("empty")]},
                            arguments=("monitor", "orders"), before=[answer()])
        self.assertEqual(lines[0], "orders.service.consul: consul orders, fresh, 1 instance")
        self.assertEqual([call["parameters"] for call in self.daemon.calls],
                         [{"name": "orders"}, {"names": ["orders.service.consul"]}])

    def test_a_foreign_name_is_no_name_to_follow(self):
        done = self.run_sdctl("monitor", "example.com", replies=[
            answer(name="", status4="foreign", status6="foreign", registry=None)])
        self.assertEqual((done[0], done[1]), (1, ""))
        self.assertIn("example.com: not a name of nss-sd", done[2])

    def test_nothing_of_an_event_plays_with_the_terminal(self):
        lines = self.follow({"lost": 0, "events": [
            self.event("added", instance="\x1b[2J", addresses=["\x1b"], text="\x1b")]})
        self.assertNotIn("\x1b", "".join(lines))

    def test_too_many_monitors_are_refused(self):
        done = self.run_sdctl("monitor",
                              replies=[{"error": "io.nss-sd.Control.Busy", "parameters": {}}])
        self.assertEqual(done[0], 1)
        self.assertIn("limit", done[2])


class Scan(SdctlTest):
    """Finding addresses in text is test_address_scan's; here, trees, files and names."""

    KNOWN = [located("10.0.0.5", "orders.service.consul", 8080),
             located("10.0.0.5", "a.service.consul", 9090),
             located("2001:db8::5", "orders.service.consul", 8080),
             located("127.0.0.1", "cache.sd.internal", 6379)]

    def setUp(self):
        super().setUp()
        self.tree = os.path.join(self.directory, "tree")
        os.mkdir(self.tree)

    def write(self, name, content):
        path = os.path.join(self.tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def scan(self, *paths, known=None, **options):
        known = self.KNOWN if known is None else known
        reply = stream({"instances": known[:1]}, {"instances": known[1:]})
        done = self.run_sdctl("check", "--scan", *(paths or [self.tree]), replies=[reply], **options)
        self.assertEqual(done[0], 0, done[2])
        return done[1].splitlines()[:-1], done[1].splitlines()[-1], done[2]

    def scan_json(self, *paths):
        done = self.run_sdctl("check", "--json", "--scan", *(paths or [self.tree]),
                              replies=[stream({"instances": self.KNOWN})])
        self.assertEqual(done[0], 0, done[2])
        return json.loads(done[1])

    def test_file_line_address_and_name(self):
        path = self.write("sub/app.conf", b"# app\nupstream = 10.0.0.5:8080\nx = 192.0.2.1\n")
        lines, total, errors = self.scan()
        self.assertEqual(lines, [f"{path}:2: warning: 10.0.0.5 port 8080 is an instance of "
                                 "orders.service.consul (and of 1 other name): write the name "
                                 "instead"])
        self.assertIn("1 address of instances in 1 of 1 text file", total)
        self.assertEqual(errors, "")
        self.assertEqual(self.daemon.calls, [{"method": "io.nss-sd.Control.Instances",
                                              "more": True, "parameters": {}}])

    def test_the_port_decides_between_names(self):
        self.write("a", b"10.0.0.5:9090 10.0.0.5 10.0.0.5:22\n")
        found = self.scan_json()["findings"]
        self.assertEqual([(one["name"], one["port"]) for one in found],
                         [("a.service.consul", 9090), ("a.service.consul", None),
                          ("a.service.consul", 22)])
        self.assertIn("not at this port", self.scan()[0][2])

    def test_loopback_counts_with_the_port_of_a_service_only(self):
        self.write("a", b"127.0.0.1\n127.0.0.1:25\n127.0.0.1:6379\n")
        self.assertEqual([one["line"] for one in self.scan_json()["findings"]], [3])

    def test_no_link_is_followed_out_of_the_tree_and_no_file_read_twice(self):
        outside = os.path.join(self.directory, "outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "secret"), "wb") as file:
            file.write(b"10.0.0.5\n")
        path = self.write("real", b"10.0.0.5\n")
        os.symlink(outside, os.path.join(self.tree, "directory"))
        os.symlink(os.path.join(outside, "secret"), os.path.join(self.tree, "file"))
        os.link(path, os.path.join(self.tree, "again"))
        result = self.scan_json(self.tree, self.tree)
        self.assertEqual((result["found"], result["files"]), (1, 1))
        # What was asked for by its name is looked at, link or not.
        result = self.scan_json(os.path.join(self.tree, "directory"))
        self.assertEqual(result["found"], 1)

    def test_what_is_no_text_is_skipped_and_what_is_no_file_not_opened(self):
        self.write("binary", b"\x7fELF\0 10.0.0.5\n")
        os.mkfifo(os.path.join(self.tree, "pipe"))
        result = self.scan_json()
        self.assertEqual((result["found"], result["files"], result["binary"]), (0, 0, 1))

    def test_of_a_large_file_the_beginning_is_read_and_that_is_told(self):
        path = self.write("large", b"10.0.0.5\n" + b"#" * (16 << 20) + b"\n10.0.0.5\n")
        lines, _, errors = self.scan()
        self.assertEqual(len(lines), 1)
        self.assertIn(f"{path} is larger than 16 MiB", errors)
        self.assertEqual(self.scan_json()["cut"], 1)

    def test_what_cannot_be_read_is_told_and_counted(self):
        self.write("good", b"10.0.0.5\n")
        lines, _, errors = self.scan(self.tree, "/nonexistent/path")
        self.assertEqual(len(lines), 1)
        self.assertIn("Cannot read /nonexistent/path: No such file", errors)
        self.assertIn("1 file or directory could not be read", errors)

    def test_definitions_of_our_own_are_left_out(self):
        self.write("nss-sd/local.d/orders.json", b'{"address": "10.0.0.5"}\n')
        self.write("app", b"10.0.0.5\n")
        lines, _, _ = self.scan(self.tree, f"--config-directory={self.tree}/nss-sd")
        self.assertEqual(len(lines), 1)

    def test_a_name_of_a_file_plays_no_tricks(self):
        self.write("a\x1b[2J\nb", b"10.0.0.5\n")
        lines, _, _ = self.scan()
        self.assertEqual(len(lines), 1)
        self.assertNotIn("\x1b", lines[0])

    def test_without_a_path_or_without_scan_it_says_how(self):
        for arguments, text in ((["--scan"], "needs a PATH"), (["/etc"], "--scan")):
            done = self.run_sdctl("check", *arguments)
            self.assertEqual(done[0], 1)
            self.assertIn(text, done[2])


class Services(SdctlTest):
    """Services in use and classic mistakes; tests/system/test_check_services.py finds real ones."""

    STATUS = {"parameters": {"snapshot": {"persist": True, "directory": "/s", "error": None},
                             "registries": []}}

    @staticmethod
    def reviewed(key, name=None, **more):
        return {"name": name or f"{key}.service.consul", "registry": "consul", "type": "consul",
                "key": key, "endpoints": 2, "usable": 2, "alias": False, "singular": False,
                "unchecked": 0, "own_check": False, "zones": 2, "zone": None, "ttl_usec": None,
                "literal": None, **more}

    def check_services(self, *services, status=None):
        done = self.run_sdctl("check", "--services", "--json", f"--config-directory={self.directory}",
                              replies=[status or self.STATUS, stream({"services": services})])
        self.assertEqual((done[0], done[2]), (0, ""))
        return [(one["check"], one["name"] or one["file"]) for one in
                json.loads(done[1])["findings"]]

    def test_each_mistake_has_a_name(self):
        for more, expected in (
                ({}, None),
                ({"unchecked": 1}, "no-check"),
                ({"unchecked": 1, "own_check": True}, None),
                ({"endpoints": 1, "usable": 1, "zone": "a"}, "single-instance"),
                ({"endpoints": 1, "usable": 1, "singular": True}, None),
                ({"zones": 1, "zone": "a"}, "one-zone"),
                ({"zones": 1, "zone": "a", "usable": 1}, None),
                ({"ttl_usec": 300 * SECOND}, None),
                ({"ttl_usec": 301 * SECOND}, "long-ttl"),
                ({"literal": "10.0.0.1", "alias": True, "endpoints": 0}, "ip-literal"),
                ({"alias": True, "endpoints": 1}, None)):
            with self.subTest(more):
                self.assertEqual(self.check_services(self.reviewed("orders", **more)),
                                 [(expected, "orders.service.consul")] if expected else [])

    def test_a_service_is_told_once_whatever_its_names(self):
        self.assertEqual(self.check_services(self.reviewed("orders", unchecked=2),
                                             self.reviewed("orders", "a.service.consul", unchecked=2),
                                             self.reviewed("users", unchecked=2)),
                         [("no-check", "orders.service.consul"),
                          ("no-check", "users.service.consul")])

    def test_a_state_directory_that_cannot_be_written_is_told(self):
        status = {"parameters": {"snapshot": {"persist": True, "directory": "/s",
                                              "error": "Permission denied"}, "registries": []}}
        self.assertEqual(self.check_services(status=status), [("no-persistence", "/s")])

    def test_one_check_at_a_time(self):
        done = self.run_sdctl("check", "--services", "--scan", "/etc")
        self.assertEqual(done[0], 1)
        self.assertIn("one after the other", done[2])


class Output(SdctlTest):
    def test_a_full_disk_is_a_failure(self):
        self.daemon.replies = [Tables.STATUS]
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([SDCTL, "status", "--runtime-directory", self.directory],
                                  stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


if __name__ == "__main__":
    unittest.main()
