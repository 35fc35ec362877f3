# SPDX-License-Identifier: LGPL-2.1-or-later
"""One row of the fault drill: programs look names up from before a fault until after it, and every one of
their lookups is judged.

A row is begin(), the fault, outage(), the mending, end(). All the while two processes look up two known
names, a foreign one and names that nobody knows: one that was there before the fault, and one that was
started during it. What is demanded of every row:

- no lookup of a known name fails, and none waits for a registry or a daemon;
- a foreign name is found, and does not wait either;
- a name that nobody knows is undecided during the outage, never absent, and within LookupTimeoutSec;
  at once where the daemon can say so (unknown_at_once);
- when the fault is over the names become fresh again, and a change made meanwhile is seen.

A lookup *waited* if it took long and its thread gave up the processor meanwhile. One that was merely kept
from running by a busy machine did not.
"""
import collections
import contextlib
import json
import signal
import struct
import subprocess
import time

from world import CLIENTS, TOLERANCE, wait_until

# Where view.h has them, as 32-bit words: in ticks of 1/16 s.
VIEW_LEASE, VIEW_HEARTBEAT, TICKS = 15, 22, 16

LOOKUP_TIMEOUT = 2.0
# What a client waits for the daemon itself beyond it.
LOOKUP_WAIT = LOOKUP_TIMEOUT + 0.25
# A lookup that has its answer is done in microseconds; ten times this share may be as slow as this. Those
# at the very moment when a registry answers again are: they wait StaleWaitSec (200 ms) once for what it says.
SLOW = 0.1
SLOW_SHARE = 0.001
# A daemon that has not answered sdctl by then cannot be asked.
SDCTL_PATIENCE = 3

ADDRESS, CHANGED, STEADY = "192.0.2.1", "192.0.2.2", "192.0.2.3"
FOREIGN, FOREIGN_ADDRESS = "www.foreign.test", "203.0.113.5"

Lookup = collections.namedtuple("Lookup", "kind began took waits status addresses")

HEADINGS = ("fault", "lookups", "failed", "slowest", "median", "oldest answer")


class Probe:
    """clients/probe in a world; its lookups so far."""

    def __init__(self, world, domain, path, kinds=(), env=None):
        words = {"changing": f"5:orders.{domain}", "steady": f"5:steady.{domain}",
                 "foreign": f"20:{FOREIGN}", "unknown": f"100:unknown-%.{domain}"}
        self.kinds, self.path = kinds or list(words), path
        with open(path, "w") as lines:
            self.process = world.start(CLIENTS / "probe", *(words[kind] for kind in self.kinds),
                                       env=env, stdin=subprocess.PIPE, stdout=lines)

    def lookups(self, kind=None):
        """Those that are over, `kind` alone or all."""
        found = []
        for line in self.path.read_text().split("\n")[:-1]:
            thread, began, took, waits, status, addresses = line.split(" ")
            if kind in (None, self.kinds[int(thread)]):
                found.append(Lookup(self.kinds[int(thread)], int(began) / 1e6, int(took) / 1e6,
                                    int(waits), status, sorted(filter(None, addresses.split(",")))))
        return found

    def wait(self, count):
        """Waits until every thread has done `count` more lookups."""
        before = collections.Counter(lookup.kind for lookup in self.lookups())

        def done():
            assert self.process.poll() is None, f"a program died: {self.process.returncode}"
            now = collections.Counter(lookup.kind for lookup in self.lookups())
            return all(now[kind] - before[kind] >= count for kind in self.kinds)

        wait_until(done, timeout=60, what=f"{count} lookups of each kind")

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(30) == 0
        return self.lookups()


class Row:
    def __init__(self, fault, world, report):
        self.fault, self.world, self.report = fault, world, report
        self.domain = None
        self.probes = []
        self.outages = []
        self.pauses = []
        self.oldest = 0.0
        self.boottime_ahead = 0
        self.slow = SLOW
        self.unknown_at_once = False
        self.environment = None

    @property
    def name(self):
        return f"orders.{self.domain}"

    @property
    def steady(self):
        return f"steady.{self.domain}"

    # The course of a row

    def begin(self):
        """The names are known and fresh, and programs look them up."""
        self.world.wait_for(self.name, [ADDRESS])
        self.world.wait_for(self.steady, [STEADY])
        self.start_probe()
        self.probes[0].wait(3)
        self.began = time.monotonic()

    def start_probe(self, *kinds):
        probe = Probe(self.world, self.domain, self.world.directory / f"probe-{len(self.probes)}", kinds,
                      self.environment)
        self.probes.append(probe)
        return probe

    def outage(self, noticed, timeout=60, count=5, undecided=True):
        """Waits until the fault is noticed; then programs, old and new, go through it. `undecided`: what
        was never asked for cannot be told meanwhile."""
        wait_until(noticed, timeout, f"{self.fault}: noticed")
        began = time.monotonic()
        new = self.start_probe()
        for probe in {self.probes[0], new}:
            if probe.process.poll() is None:
                probe.wait(count)
        self.note_age()
        if undecided:
            self.outages.append((began, time.monotonic()))

    @contextlib.contextmanager
    def suspended(self, *processes):
        """Nothing runs, as in a machine that sleeps."""
        processes = [*processes, *(probe.process for probe in self.probes)]
        began = time.monotonic()
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        yield
        for process in processes:
            process.send_signal(signal.SIGCONT)
        self.pauses.append((began, time.monotonic()))

    def note_age(self):
        """How old what programs get is: as the daemon says, and where there is none, at most as old as
        the row (until then the name was confirmed)."""
        age = time.monotonic() - self.began
        if not self.heartbeat_is_overdue():
            answers = list(filter(None, map(self.query, (self.name, self.steady))))
            if answers:
                age = max(answer["age_usec"] for answer in answers) / 1e6
        self.oldest = max(self.oldest, age)

    # What the daemon says

    def query(self, name):
        """What `sdctl query` tells; None where the daemon cannot be asked."""
        try:
            done = self.world.sdctl("query", name, "--json", timeout=SDCTL_PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        return json.loads(done.stdout)["answer"] if done.returncode == 0 else None

    def state(self, name=None):
        return (self.query(name or self.steady) or {}).get("state")

    def is_stale(self):
        return self.state() == "stale"

    def is_down(self):
        done = self.world.sdctl("status", "--json")
        return done.returncode == 0 and json.loads(done.stdout)["registries"][0]["state"] == "down"

    def heartbeat_is_overdue(self):
        """Does the view say that there has been no daemon for its lease?"""
        try:
            words = struct.unpack("=23I", (self.world.run_directory / "view").read_bytes()[:92])
        except OSError:
            return False
        now = int((time.clock_gettime(time.CLOCK_BOOTTIME) + self.boottime_ahead) * TICKS)
        return (now - words[VIEW_HEARTBEAT]) % (1 << 32) > words[VIEW_LEASE] + TICKS

    # The end

    def end(self, timeout=60):
        """The fault is over: what changed meanwhile is seen and all is fresh. Judges the row."""
        self.world.wait_for(self.name, [CHANGED], timeout)
        for name in (self.name, self.steady):
            wait_until(lambda name=name: self.state(name) == "fresh", timeout, f"{name} fresh again")
        for probe in self.probes:
            if probe.process.poll() is None:
                probe.wait(1)
        lookups = [lookup for probe in self.probes for lookup in probe.stop()]
        known = [lookup for lookup in lookups if lookup.kind in ("changing", "steady")]
        failed = [lookup for lookup in known if not self.is_right(lookup)]
        took = sorted(lookup.took for lookup in known)
        self.report([self.fault, f"{len(known)}", f"{len(failed)}", shown_time(took[-1]),
                     shown_time(took[len(took) // 2]), shown_age(self.oldest)])
        self.judge(lookups, known, failed)

    # What is demanded

    @staticmethod
    def is_right(lookup):
        wanted = ([ADDRESS], [CHANGED]) if lookup.kind == "changing" else ([STEADY],)
        return lookup.status == "OK" and lookup.addresses in wanted

    def waited(self, lookup, seconds):
        """Took as long as this, and not because the processor was elsewhere or the test stopped it."""
        return lookup.took > seconds and lookup.waits > 0 and not any(
            lookup.began < end and lookup.began + lookup.took > begin for begin, end in self.pauses)

    def judge(self, lookups, known, failed):
        assert len(known) > 100, "hardly a lookup was made"
        assert not failed, f"{len(failed)} lookups of known names failed: {failed[:5]}"
        assert any(lookup.addresses == [CHANGED] for lookup in self.probes[-1].lookups("changing"))
        foreign = [lookup for lookup in lookups if lookup.kind == "foreign"]
        assert foreign and all(lookup.addresses == [FOREIGN_ADDRESS] for lookup in foreign), [
            lookup for lookup in foreign if lookup.addresses != [FOREIGN_ADDRESS]][:5]
        for kind in (known, foreign):
            waiting = [lookup for lookup in kind if self.waited(lookup, LOOKUP_TIMEOUT * 0.9)]
            assert not waiting, f"lookups waited for somebody: {waiting[:5]}"
            slow = [lookup for lookup in kind if self.waited(lookup, self.slow)]
            assert len(slow) <= max(1, len(kind) * SLOW_SHARE * TOLERANCE), slow[:5]
        self.judge_unknown([lookup for lookup in lookups if lookup.kind == "unknown"])

    def judge_unknown(self, unknown):
        assert not [lookup for lookup in unknown if self.waited(lookup, LOOKUP_WAIT * 2)]
        during = [lookup for lookup in unknown for begin, end in self.outages
                  if lookup.began > begin and lookup.began + lookup.took < end]
        assert during or not self.outages
        if self.unknown_at_once:
            slow = [lookup for lookup in during if self.waited(lookup, self.slow)]
            assert not slow, f"lookups waited for a refusal: {slow[:5]}"
        assert all(lookup.status == "EAI_AGAIN" for lookup in during), [
            lookup for lookup in during if lookup.status != "EAI_AGAIN"][:5]
        others = {lookup.status for lookup in unknown} - {"EAI_AGAIN", "EAI_NONAME"}
        assert not others, others


def shown_time(seconds):
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def shown_age(seconds):
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.0f} h"


def table(rows):
    """The rows of a drill as lines of text."""
    rows = [HEADINGS, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0]),
                         *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
