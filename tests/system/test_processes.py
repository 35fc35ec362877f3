# SPDX-License-Identifier: LGPL-2.1-or-later
"""The module inside other people's programs: threads, fork, cancellation, closed and exhausted file
descriptors, setuid; and what a dead, hung or missing daemon costs them."""
import json
import os
import re
import shutil
import time

import pytest

from world import CLIENTS, SANITIZED, TOLERANCE, Client, instance, wait_until

NAME = "orders.sd.internal"
# Owned, and nobody ever asked for it: the view has no answer, so a lookup needs the daemon.
UNHEARD = "unheard-of.sd.internal"
ADDRESS = "192.0.2.20"
FOREIGN = "www.foreign.test"
# LookupTimeoutSec and what a client waits beyond it.
LOOKUP_WAIT = 2.25


@pytest.fixture
def orders(world):
    world.services("orders", instance("orders", ADDRESS))
    world.wait_for(NAME, [ADDRESS])
    return world


@pytest.fixture
def hung(orders):
    """The daemon is stopped: its sockets accept, and nobody answers."""
    orders.daemon.pause()
    yield orders
    orders.daemon.resume()


def run_json(world, *arguments, **options):
    done = world.run(*arguments, **options)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_32_threads_look_up_while_the_process_forks(orders):
    got = run_json(orders, CLIENTS / "threads", NAME, 200 if SANITIZED else 1000)
    assert got["bad"] == 0 and got["children_good"] == got["children"], got


def test_cancelled_threads_leave_no_fd_behind(hung):
    got = run_json(hung, CLIENTS / "cancel", UNHEARD)
    assert got["waiting"] == 1, "the lookups did not wait for the daemon: the test tests nothing"
    assert got["cancelled"] == 20
    assert got["after"] == got["before"]


def test_a_program_without_stdio_never_finds_a_socket_there(hung):
    got = run_json(hung, CLIENTS / "stdio", UNHEARD)
    assert got["status"] == "EAI_AGAIN"
    # socket() itself gives the lowest number: for an instant, before it is moved away.
    assert got["rounds"] > 1000 and got["taken"] < got["rounds"] / 100


def test_a_daemon_without_stdio_has_no_socket_there(bare_world):
    daemon = bare_world.start_daemon(prefix=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    descriptors = [os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") for fd in range(3)]
    assert descriptors == ["/dev/null"] * 3


def test_a_full_fd_table_is_a_temporary_failure(orders):
    got = run_json(orders, CLIENTS / "fdfull", UNHEARD, NAME)
    assert got == {"early": "OK", "full": "EAI_AGAIN", "after": "EAI_NONAME"}


def test_the_runtime_directory_may_be_moved_by_the_environment(orders):
    nowhere = orders.directory / "nowhere"
    nowhere.mkdir()
    got = orders.ask(NAME, env={"NSS_SD_RUNTIME_DIRECTORY": nowhere})
    assert got["status"] != "OK"


@pytest.mark.root
def test_a_setuid_program_ignores_the_environment(orders):
    program = orders.directory / "lookup-setuid"
    shutil.copy(CLIENTS / "lookup", program)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    nowhere = orders.directory / "nowhere"
    nowhere.mkdir()
    with Client(orders, program=program, env={"NSS_SD_RUNTIME_DIRECTORY": nowhere},
                prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]) as client:
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]


@pytest.mark.root
def test_daemon_and_programs_run_as_anybody(make_world):
    world = make_world()
    for path in (world.directory, world.run_directory, world.directory / "state", world.config):
        shutil.chown(path, 65534, 65534)
    world.registry("local", "[Registry]\nType=local\n")
    world.services("orders", instance("orders", ADDRESS))
    world.start_daemon(user=65534)
    world.wait_for(NAME, [ADDRESS])
    with Client(world, prefix=["setpriv", "--reuid=33", "--regid=33", "--clear-groups"]) as client:
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]


# What the daemon's absence costs

def foreign_time(client, count=20):
    times = sorted(client.getaddrinfo(FOREIGN)["microseconds"] for _ in range(count))
    return times[count // 2], times[-1]


def assert_foreign_names_cost_nothing(world):
    """Foreign names are found, and no lookup of one waits for the daemon."""
    world.start_dnsmasq("--local=/test/", f"--address=/{FOREIGN}/203.0.113.5")
    with world.client() as client:
        assert client.getaddrinfo(FOREIGN)["addresses"] == ["203.0.113.5"]
        median, worst = foreign_time(client)
    assert worst < 1e6 * LOOKUP_WAIT / 2, "a lookup of a foreign name waited"
    assert median < 10000 * TOLERANCE


def test_foreign_names_while_the_daemon_hangs(hung):
    assert_foreign_names_cost_nothing(hung)


def test_foreign_names_after_the_daemon_died(orders):
    orders.daemon.kill()
    assert_foreign_names_cost_nothing(orders)


def test_foreign_names_where_the_daemon_never_ran(bare_world):
    assert_foreign_names_cost_nothing(bare_world)


def test_foreign_names_where_only_sockets_are_left(orders):
    """The view is unreadable, so ownership is unknown, and the daemon hangs: one wait, then none."""
    orders.daemon.pause()
    orders.defer(orders.daemon.resume)
    (orders.run_directory / "view").unlink()
    orders.start_dnsmasq("--local=/test/", f"--address=/{FOREIGN}/203.0.113.5")
    with orders.client() as client:
        first = client.getaddrinfo(FOREIGN)
        median, worst = foreign_time(client)
    assert first["addresses"] == ["203.0.113.5"]
    assert first["microseconds"] < 1e6 * LOOKUP_WAIT * 2
    assert worst < 1e6 * LOOKUP_WAIT / 2


@pytest.mark.plain
def test_a_foreign_name_needs_no_system_call_of_ours(orders, measured):
    """Counted by strace: with `sd` in the line there is no call beyond those without it."""
    orders.start_dnsmasq()

    def calls(line, rounds):
        orders.hosts_line(line)
        trace = orders.directory / "trace"
        questions = "".join("getaddrinfo 0 0 in-hosts-file.foreign.test\n" for _ in range(rounds))
        done = orders.run("strace", "-f", "-o", trace, CLIENTS / "lookup", input=questions,
                          stdin=None)
        assert done.returncode == 0, done.stderr
        return len(trace.read_text().splitlines())

    with open(orders.directory / "etc/hosts", "a") as hosts:
        hosts.write("192.0.2.9 in-hosts-file.foreign.test\n")
    # From the difference of many and few lookups: what a process pays once falls out.
    with_sd = calls("sd [NOTFOUND=return TRYAGAIN=return] files", 110) - calls(
        "sd [NOTFOUND=return TRYAGAIN=return] files", 10)
    without = calls("files", 110) - calls("files", 10)
    measured(f"system calls of a foreign lookup: {with_sd / 100:.2f} with sd, "
             f"{without / 100:.2f} without")
    assert with_sd == without


# What an owned name gets while nobody answers

def test_an_unheard_of_name_is_undecided_within_the_deadline_while_the_daemon_hangs(hung):
    got = hung.ask(UNHEARD)
    assert got["status"] == "EAI_AGAIN"
    assert got["microseconds"] < 1e6 * LOOKUP_WAIT * 2


def test_a_hung_daemon_is_waited_for_once_and_then_not(hung):
    time_limit = time.monotonic() + 60
    with hung.client() as client:
        first = client.getaddrinfo(UNHEARD)["microseconds"]
        # The heartbeat becomes overdue after the lease; then lookups no longer wait.
        while True:
            got = client.getaddrinfo(UNHEARD)
            assert got["status"] == "EAI_AGAIN"
            if got["microseconds"] < 50000 * TOLERANCE:
                break
            assert time.monotonic() < time_limit, "every lookup waits for the hung daemon"
    assert first > 1e6


def test_an_unheard_of_name_after_the_daemon_died_is_undecided_and_does_not_leak(orders):
    orders.start_dnsmasq()
    orders.daemon.kill()
    got = orders.ask(UNHEARD)
    assert got["status"] == "EAI_AGAIN"
    assert got["microseconds"] < 1e6 * LOOKUP_WAIT / 2, "it waited"
    assert orders.dns_queries() == []


def wait_for_status(client, name, status):
    wait_until(lambda: client.getaddrinfo(name)["status"] == status, what=f"{status} for {name}")


def test_an_old_process_finds_the_restarted_daemon(orders):
    with orders.client() as client:
        assert client.getaddrinfo(NAME)["status"] == "OK"
        orders.daemon.kill()
        assert client.getaddrinfo(UNHEARD)["status"] == "EAI_AGAIN"
        orders.services("orders", instance("orders", "192.0.2.21"))
        orders.start_daemon()
        wait_until(lambda: client.getaddrinfo(NAME)["addresses"] == ["192.0.2.21"],
                   what="the new address")


def test_a_resumed_daemon_answers_again(orders):
    orders.daemon.pause()
    with orders.client() as client:
        assert client.getaddrinfo(UNHEARD)["status"] == "EAI_AGAIN"
        orders.daemon.resume()
        wait_for_status(client, UNHEARD, "EAI_NONAME")
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]


def test_a_process_that_never_saw_a_daemon_finds_it_when_it_starts(bare_world):
    bare_world.registry("local", "[Registry]\nType=local\n")
    bare_world.services("orders", instance("orders", ADDRESS))
    with bare_world.client() as client:
        assert client.getaddrinfo(NAME)["status"] != "OK"
        bare_world.start_daemon()
        wait_for_status(client, NAME, "OK")


# Leaks

@pytest.mark.plain
def test_the_module_leaks_nothing(orders):
    questions = "".join(f"getaddrinfo {family} {flags} {name}\n" for family in (0, 2, 10)
                        for flags in (0, 2) for name in (NAME, "missing.sd.internal", FOREIGN))
    questions += f"gethostbyname 0 0 {NAME}\ngethostbyaddr 0 0 {ADDRESS}\n"
    done = orders.run("valgrind", "--quiet", "--leak-check=full", "--track-fds=yes",
                      "--show-leak-kinds=definite,indirect,possible",
                      "--errors-for-leak-kinds=definite,indirect,possible", "--error-exitcode=9",
                      CLIENTS / "lookup", input=questions, stdin=None)
    assert done.returncode == 0, done.stderr
    assert f'"{ADDRESS}"' in done.stdout
    assert not re.search(r"Open (AF_UNIX|file descriptor).*nss-sd", done.stderr), done.stderr
