# SPDX-License-Identifier: LGPL-2.1-or-later
"""Installing, upgrading, removing and purging in clean roots, where no systemd runs."""
import json
import pathlib

import pytest

from root import Root, wait_until

ACTION = "sd [NOTFOUND=return TRYAGAIN=return]"
LAYOUTS = {
    "plain": ("hosts:          files dns\n", f"hosts:          files {ACTION} dns\n"),
    "mdns4_minimal": ("hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4\n",
                      f"hosts: files mdns4_minimal [NOTFOUND=return] {ACTION} dns mdns4\n"),
    "mdns4 in front": ("hosts: files mdns4 dns\n", f"hosts: files {ACTION} mdns4 dns\n"),
    "resolve": ("hosts: files mymachines resolve [!UNAVAIL=return] dns myhostname\n",
                f"hosts: files {ACTION} mymachines resolve [!UNAVAIL=return] dns myhostname\n"),
    "myhostname": ("hosts:\tfiles\tmyhostname\tdns\n", f"hosts:\tfiles\tmyhostname {ACTION}\tdns\n"),
    "docker": ("hosts: files docker [NOTFOUND=continue] dns  \n\n",
               f"hosts: files docker [NOTFOUND=continue] {ACTION} dns  \n\n"),
    "trailing comment": ("hosts: files dns # not resolve\n", f"hosts: files {ACTION} dns # not resolve\n"),
    "no dns word": ("hosts: files  # dns is off\n", f"hosts: files {ACTION}  # dns is off\n"),
    "no newline at the end": ("hosts: files dns", f"hosts: files {ACTION} dns"),
    "its own already": ("hosts: files sd dns\n", "hosts: files sd dns\n"),
}
FRAME = "# of the administrator \npasswd:  files systemd \nnetworks: files dns\n"
NSSWITCH = "/etc/nsswitch.conf"
NAME, ADDRESS = "orders.sd.internal", "192.0.2.20"
# What dpkg, apt and ldconfig write for themselves.
BOOKKEEPING = ("/dev", "/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/ld.so.cache", "/etc/passwd-",
               "/etc/shadow-", "/etc/subgid-", "/etc/subuid-", "/packages", "/proc", "/run/lock", "/sys", "/tmp",
               "/var/cache/apt", "/var/cache/ldconfig", "/var/cache/debconf", "/var/lib/apt", "/var/lib/dpkg",
               "/var/lib/systemd/catalog", "/var/log")


@pytest.fixture(scope="module")
def switch(suite):
    """A root for many installations of the module alone."""
    root = Root(suite)
    yield root
    root.close()


@pytest.fixture
def answering(installed):
    """The packages, a service, and a running daemon."""
    installed.service("orders", ADDRESS)
    installed.start_daemon()
    wait_until(lambda: installed.addresses(NAME) == [ADDRESS], what="an answer")
    return installed


def manifest(root):
    """Every file with its kind, owner, mode and content."""
    prune = " -o ".join(f"-path {path}" for path in BOOKKEEPING)
    return root.shell(f"find / -xdev \\( {prune} \\) -prune -o -printf '%p %y %U:%G %m %l\\n' | sort; "
                      f"find / -xdev \\( {prune} \\) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum"
                      ).stdout.splitlines()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nsswitch_gets_sd_and_is_as_before_after_the_purge(switch, layout):
    before, after = (FRAME + text for text in LAYOUTS[layout])
    switch.write(NSSWITCH, before)
    switch.run("dpkg", "-i", *switch.shell("ls /packages/current/libnss-sd_*.deb").stdout.split())
    assert switch.read(NSSWITCH) == after
    switch.run("dpkg", "--purge", "libnss-sd")
    if layout == "its own already":
        assert switch.read(NSSWITCH) == FRAME + "hosts: files dns\n"
    else:
        assert switch.read(NSSWITCH) == before


def test_a_missing_nsswitch_conf_stays_missing(switch):
    switch.run("rm", NSSWITCH)
    for _ in range(2):
        switch.run("dpkg", "-i", *switch.shell("ls /packages/current/libnss-sd_*.deb").stdout.split())
        assert switch.shell("ls /etc | grep nsswitch || true").stdout == ""
    switch.run("dpkg", "--purge", "libnss-sd")
    assert switch.shell("ls /etc | grep nsswitch || true").stdout == ""


def test_what_the_administrator_removed_stays_removed_by_an_upgrade(opened):
    root = opened(Root, "previous")
    assert ACTION in root.read(NSSWITCH)
    root.shell(f"sed -i 's/ sd [^]]*]//' {NSSWITCH}")
    root.install("current")
    assert " sd" not in root.read(NSSWITCH)
    # A removal forgets it: who installs again wants it.
    root.run("apt-get", "remove", "-y", "libnss-sd")
    root.install("current", "libnss-sd")
    assert ACTION in root.read(NSSWITCH)


def of_another_architecture(root, which="current"):
    """The module's package as it would be of i386, but for what it depends on and the code in it."""
    return root.shell(f"""
        rm -rf /tmp/foreign; dpkg --add-architecture i386
        dpkg-deb -R /packages/{which}/libnss-sd_*.deb /tmp/foreign
        sed -i 's/^Architecture:.*/Architecture: i386/; /^Depends:/d' /tmp/foreign/DEBIAN/control
        mv /tmp/foreign/usr/lib/*-linux-gnu /tmp/foreign/usr/lib/i386-linux-gnu
        dpkg-deb -b --root-owner-group /tmp/foreign /tmp/foreign-{which}.deb >/dev/null
        echo /tmp/foreign-{which}.deb""").stdout.strip()


@pytest.mark.parametrize("first", ["native", "foreign"])
def test_sd_stays_until_the_module_of_the_last_architecture_goes(clean, first):
    before = clean.read(NSSWITCH)
    clean.run("dpkg", "-i", of_another_architecture(clean))
    clean.install("current", "libnss-sd")
    both = [clean.run("dpkg", "--print-architecture").stdout.strip(), "i386"]
    for action in ("--remove", "--purge"):
        assert clean.read(NSSWITCH).count(ACTION) == 1
        clean.run("dpkg", action, f"libnss-sd:{both[first == 'foreign']}")
    assert clean.read(NSSWITCH).count(ACTION) == 1
    clean.run("test", "-e", "/etc/apparmor.d/abstractions/nameservice.d/nss-sd")
    clean.run("dpkg", "--purge", f"libnss-sd:{both[first == 'native']}")
    assert clean.read(NSSWITCH) == before


def test_another_architecture_beside_an_upgrade_switches_nothing_on(opened):
    root = opened(Root, "previous")
    root.shell(f"sed -i 's/ sd [^]]*]//' {NSSWITCH}")
    root.run("dpkg", "-i", *root.shell("ls /packages/current/libnss-sd_*.deb").stdout.split(),
             of_another_architecture(root))
    assert " sd" not in root.read(NSSWITCH)


def test_what_was_unpacked_and_never_configured_leaves_nothing_in_etc(clean):
    for end in ("--remove", "--purge"):
        clean.run("dpkg", "--unpack", *clean.shell("ls /packages/current/libnss-sd_*.deb").stdout.split())
        clean.run("dpkg", end, "libnss-sd")
        assert clean.shell("cd /etc; ls -d nsswitch*").stdout == "nsswitch.conf\n"


@pytest.mark.parametrize("program", ["getent", "python3", "curl"])
def test_programs_reach_a_service_through_the_installed_module(answering, program):
    answering.service("web", "127.0.0.1")
    server = answering.start("python3", "-m", "http.server", "--bind", "127.0.0.1", "8080")
    got = wait_until(lambda: answering.run("getent", "hosts", "web.sd.internal", check=False).stdout)
    assert got.split()[0] == "127.0.0.1"
    ask = {"getent": f"getent ahosts {NAME}",
           "python3": f"python3 -c 'import socket; print(socket.getaddrinfo(\"{NAME}\", 80))'",
           "curl": "curl -sS --retry 9 --retry-connrefused http://web.sd.internal:8080/etc/hostname -o /dev/null "
                   "-w '%{remote_ip} %{http_code}'"}[program]
    said = answering.shell(ask).stdout
    assert (ADDRESS if program != "curl" else "127.0.0.1 200") in said
    server.kill()
    server.wait()


def test_apt_resolves_through_the_module_inside_its_seccomp_sandbox(answering):
    answering.service("mirror", "127.0.0.1")
    answering.shell("mkdir -p /tmp/mirror/dists/none && echo 'Suite: none' >/tmp/mirror/dists/none/Release")
    server = answering.start("python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory",
                             "/tmp/mirror", "8081")
    wait_until(lambda: answering.addresses("mirror.sd.internal") == ["127.0.0.1"])
    answering.write("/tmp/sources.list", "deb [trusted=yes] http://mirror.sd.internal:8081 none main\n")
    done = wait_until(lambda: (said := answering.run(
        "apt-get", "update", "-o", "APT::Sandbox::Seccomp=true", "-o", "Dir::Etc::sourcelist=/tmp/sources.list",
        "-o", "Dir::Etc::sourceparts=/dev/null", "-o", "Debug::Acquire::http=true", check=False))
        and "Connection refused" not in said.stdout and said)
    # Found, connected, and told that there is no such list: no method died.
    assert "GET /dists/none/" in done.stdout and "HTTP/1.0 404" in done.stdout, done.stdout
    assert "Seccomp" not in done.stdout and "died" not in done.stdout, done.stdout
    server.kill()
    server.wait()


def test_no_lookup_fails_while_the_packages_are_upgraded(opened):
    root = opened(Root, "previous")
    root.service("orders", ADDRESS)
    root.shell("echo 192.0.2.7 in-hosts-file >>/etc/hosts")
    root.start_daemon()
    wait_until(lambda: root.addresses(NAME) == [ADDRESS])
    root.write("/tmp/load.py", pathlib.Path(__file__).with_name("load.py").read_text())
    load = root.start("python3", "/tmp/load.py", NAME, ADDRESS)
    assert load.stdout.readline() == "running\n"
    root.install("current")
    root.stop_daemon()
    root.start_daemon()
    assert root.addresses(NAME) == [ADDRESS]
    # The old module, still mapped, hears from the new daemon.
    root.service("orders", ADDRESS, ADDRESS)
    got = json.loads(load.communicate("stop\n", timeout=60)[0])
    assert got["failed"] == {} and got["lookups"] > 100, got
    assert len(got["modules"]) == 1 and got["modules"][0].endswith("(deleted)"), got


def test_a_program_with_the_previous_module_hears_of_changes_from_the_new_daemon(opened):
    root = opened(Root, "previous")
    root.service("orders", ADDRESS)
    root.start_daemon()
    asker = root.start("python3", "-u", "-c", "import socket, sys\nfor line in sys.stdin:\n"
                       " print(socket.gethostbyname(line.strip()))")

    def ask():
        asker.stdin.write(NAME + "\n")
        asker.stdin.flush()
        return asker.stdout.readline().strip()

    wait_until(lambda: root.addresses(NAME) == [ADDRESS])
    assert ask() == ADDRESS
    root.install("current")
    root.stop_daemon()
    root.start_daemon()
    root.service("orders", "192.0.2.21")
    wait_until(lambda: ask() == "192.0.2.21", what="the change")
    assert "(deleted)" in root.shell("cat /proc/[0-9]*/maps | grep libnss_sd").stdout
    asker.stdin.close()
    asker.wait()


def test_the_purge_leaves_no_trace(clean):
    before = manifest(clean)
    clean.install()
    clean.service("orders", ADDRESS)
    clean.start_daemon()
    clean.run("sdctl", "register", "stock", "--address", "192.0.2.30", "--port", "80")
    wait_until(lambda: clean.addresses("stock.sd.internal") == ["192.0.2.30"])
    wait_until(lambda: clean.shell("ls -A /var/lib/nss-sd").stdout, what="something to be purged")
    clean.stop_daemon()
    clean.run("rm", "/etc/nss-sd/local.d/orders.json")
    clean.purge()
    after = manifest(clean)
    assert sorted(set(before) ^ set(after)) == []


def test_the_purge_spares_what_the_administrator_wrote(installed):
    installed.service("orders", ADDRESS)
    installed.purge()
    assert installed.shell("find /etc/nss-sd -type f").stdout == "/etc/nss-sd/local.d/orders.json\n"
    assert installed.run("getent", "group", "nss-sd").returncode == 0


def test_the_purge_succeeds_where_the_runtime_directory_is_the_hosts(installed):
    installed.shell("mkdir -p /run/nss-sd /run/host; touch /run/host/view; mount --bind /run/host /run/nss-sd; "
                    "mount -o remount,bind,ro /run/nss-sd")
    installed.purge()
    assert installed.shell("ls /run/nss-sd").stdout == "view\n"


def test_after_a_removal_names_are_looked_up_as_before(answering):
    answering.shell("echo 192.0.2.7 in-hosts-file >>/etc/hosts")
    answering.run("apt-get", "remove", "-y", "libnss-sd", "nss-sd")
    assert " sd" not in answering.read(NSSWITCH)
    assert answering.addresses(NAME) is None and answering.addresses("in-hosts-file") == ["192.0.2.7"]
    assert answering.shell("test -e /etc/nss-sd/nss-sd.conf; ls /run").stdout.find("nss-sd") < 0
