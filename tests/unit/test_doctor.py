#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""sdctl doctor on trees that are made for it: each finding, and what is no finding.

Programs are real ones, built here. What needs a running system is in tests/system/test_doctor.py.
"""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ.get("srcdir", ".")).resolve() / "tests/unit"))
from test_sdctl import SDCTL, Daemon  # noqa: E402

ACTIONS = "[NOTFOUND=return TRYAGAIN=return]"
GOOD = f"files sd {ACTIONS} dns"
PROGRAM = '#include <netdb.h>\nint main(int c, char **v) { struct addrinfo *l; ' \
          'return getaddrinfo(v[c - 1], 0, 0, &l); }\n'
GO_PROGRAM = 'const char mark[] = "\\xff Go buildinf:\\x08\\x02";\n' \
             'int main(void) { return mark[0] == 0; }\n'


def compile_program(directory, name, source, *arguments, compiler="gcc"):
    path = pathlib.Path(directory, name)
    subprocess.run([compiler, *arguments, "-w", "-x", "c", "-", "-o", path], input=source,
                   text=True, check=True, capture_output=True)
    return path


def builds(compiler, *arguments):
    """Can programs be built so? In CI they can; elsewhere a test that needs them is left out."""
    done = subprocess.run([compiler, *arguments, "-x", "c", "-", "-o", "/dev/null"],
                          input="int main(void) { return 0; }\n", text=True, check=False,
                          capture_output=True) if shutil.which(compiler) else None
    return os.environ.get("CI") == "true" or (done is not None and done.returncode == 0)


@unittest.skipUnless(builds("gcc", "-m64") and builds("gcc", "-m32"), "no amd64 with gcc-multilib")
class Tree(unittest.TestCase):
    """A root with all in order but a daemon; each test breaks something."""

    built = None

    @classmethod
    def setUpClass(cls):
        cls.built = pathlib.Path(tempfile.mkdtemp(prefix="doctor-built-"))
        cls.addClassCleanup(shutil.rmtree, cls.built)
        for bits in ("64", "32"):
            compile_program(cls.built, f"module{bits}", "int nothing;\n", f"-m{bits}", "-shared",
                            "-nostdlib")

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="doctor-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.write("etc/nsswitch.conf", f"passwd: files\n# hosts: none\nhosts:  {GOOD}\n")
        self.write("etc/nss-sd/registries.d/local.registry", "[Registry]\nType=local\n")
        self.write("lib64/ld-linux-x86-64.so.2", "")
        self.module("usr/lib/x86_64-linux-gnu")

    def write(self, path, text):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text if isinstance(text, bytes) else text.encode())
        return full

    def module(self, directory, bits=64):
        (self.root / directory).mkdir(parents=True, exist_ok=True)
        shutil.copy(self.built / f"module{bits}", self.root / directory / "libnss_sd.so.2")

    def hosts(self, line):
        self.write("etc/nsswitch.conf", f"hosts: {line}\n")

    def doctor(self, *arguments):
        """{check: [findings]}; the exit status has to go with the severities."""
        # The two directories are below the root by themselves where --prefix is that of Debian.
        done = subprocess.run([SDCTL, "doctor", "--json", "--root", self.root,
                               "--config-directory", self.root / "etc/nss-sd",
                               "--runtime-directory", self.root / "run/nss-sd", *arguments],
                              capture_output=True, text=True, timeout=60, check=False)
        findings = json.loads(done.stdout)["findings"]
        self.assertEqual(done.returncode, any(f["severity"] == "error" for f in findings))
        self.assertEqual(done.stderr, "")
        result = {}
        for finding in findings:
            result.setdefault(finding["check"], []).append(finding)
        return result

    def found(self, check, *arguments):
        """The one finding of this name."""
        findings = self.doctor(*arguments)
        self.assertEqual(len(findings.get(check, [])), 1, json.dumps(findings, indent=1))
        return findings[check][0]

    def is_finding(self, check, severity, text, *arguments, file=None, line=None, advice=None):
        finding = self.found(check, *arguments)
        self.assertEqual(finding["severity"], severity, finding)
        self.assertIn(text, finding["text"])
        if file:
            self.assertEqual(finding["file"], file)
        if line is not None:
            self.assertEqual(finding["line"], line)
        if advice:
            self.assertIn(advice, finding["advice"])


class Nsswitch(Tree):
    FILE = "/etc/nsswitch.conf"

    def test_a_good_line_is_good(self):
        self.is_finding("nsswitch", "ok", "right place", file=self.FILE, line=3)
        for line in (f"files sd {ACTIONS} mymachines resolve [!UNAVAIL=return] dns myhostname",
                     f"files mdns4_minimal [NOTFOUND=return] sd {ACTIONS} dns # a comment",
                     "files sd[NOTFOUND=return TRYAGAIN=return] dns", "files sd [!unavail=RETURN] dns",
                     "files sd"):
            self.hosts(line)
            self.is_finding("nsswitch", "ok", "right place")

    def test_sd_is_missing(self):
        self.hosts("files mymachines dns")
        self.is_finding("nsswitch.missing", "error", "no program asks", line=1,
                        advice=f"Write 'sd {ACTIONS}' in front of 'mymachines'.")
        self.hosts("files")
        self.is_finding("nsswitch.missing", "error", "no program asks", advice="at its end")

    def test_there_is_no_line_or_no_file(self):
        self.write("etc/nsswitch.conf", "passwd: files\n#hosts: files sd dns\nhosts files sd\n")
        self.is_finding("nsswitch.missing", "error", "has no hosts: line", line=0)
        (self.root / "etc/nsswitch.conf").unlink()
        self.is_finding("nsswitch.missing", "error", "cannot be read")

    def test_the_last_of_several_lines_counts(self):
        self.write("etc/nsswitch.conf", f"hosts: {GOOD}\nhosts: files dns\n")
        self.is_finding("nsswitch.missing", "error", "no program asks", line=2)

    def test_something_stands_in_front_that_ends_the_search(self):
        self.hosts(f"files resolve [!UNAVAIL=return] sd {ACTIONS} dns")
        self.is_finding("nsswitch.order", "error", "'resolve [!UNAVAIL=return]' stands before 'sd'")
        self.hosts(f"files [NOTFOUND=return] sd {ACTIONS} dns")
        self.is_finding("nsswitch.order", "error", "ends the search")

    def test_dns_stands_in_front(self):
        self.hosts("files dns sd")
        self.is_finding("nsswitch.order", "error", "asked for in the network first")

    def test_files_stands_behind(self):
        self.hosts(f"sd {ACTIONS} files dns")
        self.is_finding("nsswitch.order", "warning", "/etc/hosts cannot override")

    def test_an_action_is_missing(self):
        self.hosts("files sd dns")
        self.is_finding("nsswitch.action", "warning", "no 'NOTFOUND=return' behind 'sd'")
        self.hosts("files sd [NOTFOUND=return] dns")
        self.is_finding("nsswitch.action", "warning", "no 'TRYAGAIN=return' behind 'sd'")

    def test_an_action_breaks_other_names(self):
        self.hosts("files sd [NOTFOUND=return UNAVAIL=return] dns")
        self.is_finding("nsswitch.action", "error", "names that are no services")
        self.hosts("files sd [SUCCESS=merge] dns")
        self.is_finding("nsswitch.action", "error", "does not count")

    def test_any_text_gives_an_answer(self):
        for text in (b"hosts:" + b" x" * 5000 + b" sd [" + b"A=" * 3000, b"hosts: [return] sd [",
                     b"hosts:\xff\x00 sd", b"hosts:]]]] [[[ sd [NOTFOUND", b"hosts: sd [!=] [=] dns"):
            self.write("etc/nsswitch.conf", text)
            self.doctor()


class Module(Tree):
    def packages(self, *versions):
        self.write("var/lib/dpkg/status", "\n".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\n"
            f"Version: {version}\n" for name, architecture, version in versions))

    def test_it_is_there(self):
        self.is_finding("module", "ok", "amd64",
                        file="/usr/lib/x86_64-linux-gnu/libnss_sd.so.2")

    def test_it_is_missing(self):
        (self.root / "usr/lib/x86_64-linux-gnu/libnss_sd.so.2").unlink()
        self.is_finding("module.missing", "error", "amd64", advice="apt install libnss-sd:amd64")

    def test_it_is_missing_for_another_architecture(self):
        self.write("lib/ld-linux.so.2", "")
        self.is_finding("module.missing", "warning", "programs of i386",
                        advice="apt install libnss-sd:i386")
        self.module("usr/lib/i386-linux-gnu", 32)
        self.assertEqual(len(self.doctor()["module"]), 2)

    def test_one_of_the_wrong_architecture_does_not_count(self):
        self.write("lib/ld-linux.so.2", "")
        self.module("usr/lib/i386-linux-gnu", 64)
        self.is_finding("module.missing", "warning", "programs of i386")

    def test_it_is_found_where_the_linker_was_told_to_look(self):
        (self.root / "usr/lib/x86_64-linux-gnu/libnss_sd.so.2").unlink()
        self.module("opt/nss-sd")
        names = b"libnss_sd.so.2\0/opt/nss-sd/libnss_sd.so.2\0"
        head = b"glibc-ld.so.cache1.1" + struct.pack("=II", 1, len(names)) + bytes(20)
        start = len(head) + 24
        entry = struct.pack("=iIIIQ", 0x303, start, start + 15, 0, 0)
        self.write("etc/ld.so.cache", head + entry + names)
        self.is_finding("module", "ok", "amd64", file="/opt/nss-sd/libnss_sd.so.2")
        for broken in (head + entry, head[:40], head + entry[:8] + b"\xff" * 16 + names,
                       head[:20] + b"\xff" * 28 + entry):
            self.write("etc/ld.so.cache", broken)
            self.is_finding("module.missing", "error", "amd64")

    def test_it_has_the_version_of_the_daemon(self):
        self.packages(("nss-sd", "amd64", "1.2-1"), ("libnss-sd", "amd64", "1.2-1"))
        self.is_finding("module", "ok", "amd64")
        self.packages(("libnss-sd", "i386", "1.2-1"), ("nss-sd", "amd64", "1.2-1"),
                      ("libnss-sd", "amd64", "1.1-1"))
        self.is_finding("module.version", "warning", "has version 1.1-1, the daemon 1.2-1",
                        advice="libnss-sd:amd64=1.2-1")

    def test_there_is_no_glibc(self):
        (self.root / "lib64/ld-linux-x86-64.so.2").unlink()
        self.is_finding("module.missing", "error", "there is no glibc here")


class Binary(Tree):
    def program(self, name, source, *arguments, compiler="gcc"):
        compile_program(self.root, name, source, *arguments, compiler=compiler)
        return ["--binary", f"/{name}"]

    def test_a_program_of_glibc_finds_services(self):
        self.is_finding("binary", "ok", "uses glibc and finds services",
                        *self.program("dynamic", PROGRAM))

    def test_a_program_of_another_architecture_needs_its_module(self):
        arguments = self.program("small", PROGRAM, "-m32")
        self.is_finding("binary.bypasses", "error", "cannot run", *arguments)
        self.write("lib/ld-linux.so.2", "")
        self.is_finding("binary.bypasses", "error", "no module of its architecture", *arguments,
                        advice="libnss-sd:i386")
        self.module("usr/lib/i386-linux-gnu", 32)
        self.is_finding("binary", "ok", "uses glibc", *arguments)

    def test_a_program_that_is_linked_statically_to_glibc_may_not(self):
        for option in ("-static", "-static-pie"):
            self.is_finding("binary.bypasses", "warning", "linked statically to glibc",
                            *self.program("static", PROGRAM, option))

    @unittest.skipUnless(builds("musl-gcc"), "no musl-tools")
    def test_a_program_of_musl_does_not(self):
        self.is_finding("binary.bypasses", "error", "linked to musl",
                        *self.program("musl", PROGRAM, compiler="musl-gcc"))
        self.is_finding("binary.bypasses", "error", "has no name service switch",
                        *self.program("musl", PROGRAM, "-static", compiler="musl-gcc"))

    def test_a_program_of_go_does_so_with_cgo_only(self):
        self.is_finding("binary.bypasses", "error", "without cgo",
                        *self.program("go", GO_PROGRAM, "-static"), advice="CGO_ENABLED=1")
        self.is_finding("binary", "ok", "with cgo", *self.program("go", GO_PROGRAM))

    def test_a_program_with_a_linker_of_its_own_is_not_known(self):
        self.is_finding("binary.bypasses", "warning", "/system/bin/linker64", *self.program(
            "other", "int main(void) { return 0; }", "-nodefaultlibs", "-nostartfiles",
            "-Wl,--dynamic-linker=/system/bin/linker64", "-Wl,-e,main"))

    def test_a_script_is_as_its_interpreter(self):
        self.program("dynamic", PROGRAM)
        self.write("script", "#! /dynamic -x\n")
        findings = self.doctor("--binary", "/script")["binary"]
        self.assertEqual([finding["file"] for finding in findings], ["/script", "/dynamic"])
        self.write("endless", "#!/endless\n")
        self.is_finding("binary.unreadable", "error", "no program", "--binary", "/endless")

    def test_what_is_no_program_is_said_to_be_none(self):
        good = compile_program(self.root, "good", PROGRAM).read_bytes()
        self.is_finding("binary.unreadable", "error", "No such file", "--binary", "/none")
        self.is_finding("binary.unreadable", "error", "cannot be read", "--binary", "/etc")
        for data in (b"", b"#!", b"#!\n", b"\x7fELF", good[:40], b"text\n", good[:5] + b"\2" + good[6:]):
            self.write("broken", data)
            self.is_finding("binary.unreadable", "error", "no program", "--binary", "/broken")

    def test_a_link_out_of_the_root_stays_in_the_root(self):
        self.program("dynamic", PROGRAM)
        (self.root / "link").symlink_to("/../../../../dynamic")
        self.is_finding("binary", "ok", "uses glibc", "--binary", "/link")
        (self.root / "passwd").symlink_to("/etc/passwd")
        self.is_finding("binary.unreadable", "error", "No such file", "--binary", "/passwd")


class Cache(Tree):
    def nscd(self, config, package="nscd"):
        self.write("etc/nscd.conf", config)
        self.write("var/lib/dpkg/status", f"Package: {package}\nStatus: install ok installed\n"
                                          "Version: 1\n")
        (self.root / "run/nscd").mkdir(parents=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.root / "run/nscd/socket"))
        listener.listen(8)
        self.addCleanup(listener.close)

    def test_nothing_runs(self):
        self.write("etc/nscd.conf", "enable-cache hosts yes\n")
        self.is_finding("cache", "ok", "neither nscd nor unscd runs")

    def test_nscd_does_not_keep_hosts(self):
        self.nscd("enable-cache passwd yes\n\tenable-cache\t\thosts no\n")
        self.is_finding("cache", "ok", "does not keep", file="/etc/nscd.conf", line=2)

    def test_nscd_keeps_hosts(self):
        self.nscd("# nscd\nenable-cache hosts yes\nnegative-time-to-live hosts 7\n")
        self.is_finding("cache.nscd", "warning", "for 7 s", line=3, advice="enable-cache hosts no")
        self.write("etc/nscd.conf", "enable-cache hosts yes\nnegative-time-to-live hosts 0\n")
        self.is_finding("cache.nscd", "ok", "keeps none", line=1)

    def test_unscd_keeps_hosts(self):
        self.nscd("enable-cache hosts yes\n", package="unscd")
        self.is_finding("cache.unscd", "error", "instances that are gone", line=1)


class Configuration(Tree):
    def test_it_is_good(self):
        self.is_finding("config", "ok", "1 registry")

    def test_a_mistake_is_told_with_file_and_line(self):
        self.write("etc/nss-sd/nss-sd.conf", "[Resolve]\nAnswer=3\n")
        self.is_finding("config", "error", "did you mean Answers=", line=2,
                        file="/etc/nss-sd/nss-sd.conf")

    def test_there_is_no_registry(self):
        (self.root / "etc/nss-sd/registries.d/local.registry").unlink()
        self.is_finding("config.empty", "warning", "no registry")


def status(version, *registries):
    return {"parameters": {"version": version, "registries": list(registries)}}


class Runtime(Tree):
    VERSION = subprocess.run([SDCTL, "--version"], check=True, capture_output=True,
                             text=True).stdout.split()[-1]

    def setUp(self):
        super().setUp()
        self.directory = self.root / "run/nss-sd"
        self.directory.mkdir(parents=True)
        self.daemon = Daemon(str(self.directory))
        self.addCleanup(self.daemon.close)
        for name, kind in (("lookup", socket.SOCK_SEQPACKET), ("refresh", socket.SOCK_DGRAM)):
            end = socket.socket(socket.AF_UNIX, kind)
            end.bind(str(self.directory / name))
            if kind == socket.SOCK_SEQPACKET:
                end.listen(8)
            self.addCleanup(end.close)
        for name in ("lookup", "refresh", "control"):
            (self.directory / name).chmod(0o666)

    def view(self, **more):
        fields = {"magic": 0x5644736e, "layout": 1, "endian": 0x01020304, **more}
        self.write("run/nss-sd/view", struct.pack("=III", *[fields[key] for key in (
            "magic", "layout", "endian")]) + bytes(65536))

    def test_there_is_no_directory(self):
        shutil.rmtree(self.directory)
        self.is_finding("runtime.missing", "error", "has not run", advice="systemctl start")

    def test_sockets_are_good(self):
        self.is_finding("socket", "ok", "everybody can connect")

    def test_a_socket_is_missing_or_none(self):
        (self.directory / "lookup").unlink()
        self.is_finding("socket.missing", "error", "cannot be found",
                        file=str(self.directory / "lookup"))
        (self.directory / "lookup").touch()
        self.is_finding("socket.missing", "error", "is no socket")

    def test_a_socket_has_the_wrong_mode(self):
        (self.directory / "lookup").chmod(0o660)
        self.is_finding("socket.mode", "error", "mode 0660", advice="nss-sdd.socket")

    def test_nobody_listens_on_a_socket(self):
        (self.directory / "refresh").unlink()
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(str(self.directory / "refresh"))
        dead.close()
        (self.directory / "refresh").chmod(0o666)
        self.is_finding("socket.refuses", "error", "Connection refused")

    def test_the_view_is_missing_broken_or_of_another_version(self):
        self.is_finding("view.missing", "error", "No such file")
        self.view(magic=1)
        self.is_finding("view.broken", "error", "is no view")
        self.view(layout=9)
        self.is_finding("view.layout", "warning", "has layout 9")
        self.view()
        self.is_finding("view.broken", "error", "contradicts itself")
        (self.directory / "view").chmod(0o600)
        self.is_finding("view.mode", "error", "mode 0600")
        self.write("run/nss-sd/view", b"short")
        self.is_finding("view.broken", "error", "is no view")

    def test_the_view_is_mounted_by_itself(self):
        self.write("proc/self/mountinfo",
                   "30 1 0:2 / /run rw - tmpfs tmpfs rw\n31 30 0:3 /view /run/nss-sd/view ro - x y ro\n")
        self.is_finding("container.file", "error", "mounted by itself", file="/run/nss-sd/view")

    def test_the_daemon_answers(self):
        self.daemon.replies = [status(self.VERSION, {"name": "a", "state": "up"})]
        findings = self.doctor()
        self.assertEqual(findings["daemon"][0]["severity"], "ok")
        self.assertEqual(findings["registry"][0]["text"], "registry a is up")

    def test_the_daemon_is_of_another_version(self):
        self.daemon.replies = [status("0.0.9")]
        self.is_finding("daemon.version", "warning", "that runs has version 0.0.9")

    def test_a_registry_is_down(self):
        self.daemon.replies = [status(self.VERSION, {
            "name": "prod", "state": "down", "state_for_usec": 125000000,
            "last_error": "connection refused"})]
        self.is_finding("registry.down", "warning",
                        "registry prod is down for 2min 5s: connection refused")

    def test_the_daemon_does_not_answer(self):
        self.daemon.replies = [b"\0"]
        self.is_finding("daemon.silent", "error", "does not answer")


class AppArmor(Tree):
    def setUp(self):
        super().setUp()
        self.write("sys/module/apparmor/parameters/enabled", "Y\n")
        self.write("etc/apparmor.d/abstractions/nameservice.d/nss-sd", "/run/nss-sd/* r,\n")
        self.write("etc/apparmor.d/usr.sbin.good",
                   "profile good /usr/sbin/good {\n  include <abstractions/nameservice>\n}\n")
        self.write("etc/apparmor.d/usr.sbin.bad",
                   "/usr/sbin/bad flags=(x) {\n  # include <abstractions/nameservice>\n}\n"
                   "profile other {\n  include <abstractions/nameservice>\n}\n")

    def test_it_is_not_in_force(self):
        self.write("sys/module/apparmor/parameters/enabled", "N\n")
        self.is_finding("apparmor", "ok", "not in force")

    def test_the_abstraction_is_there(self):
        self.is_finding("apparmor", "ok", "may use the module")

    def test_the_abstraction_is_missing(self):
        (self.root / "etc/apparmor.d/abstractions/nameservice.d/nss-sd").unlink()
        self.is_finding("apparmor.abstraction", "warning", "is missing")

    def test_a_profile_is_looked_at(self):
        self.is_finding("apparmor.profile", "ok", "may ask", "--profile", "good")
        self.is_finding("apparmor.profile", "error", "does not include", "--profile",
                        "/usr/sbin/bad", file="/etc/apparmor.d/usr.sbin.bad")
        self.is_finding("apparmor.profile", "warning", "is not in", "--profile", "none")

    def test_the_profile_of_the_caller_is_looked_at(self):
        self.write("proc/self/attr/current", "/usr/sbin/bad (enforce)\n")
        self.is_finding("apparmor.profile", "warning", "does not include")
        self.write("proc/self/attr/current", "/usr/sbin/bad (complain)\n")
        self.assertNotIn("apparmor.profile", self.doctor())


class Report(Tree):
    def test_people_read_what_where_and_what_to_do(self):
        self.hosts("files dns")
        done = subprocess.run([SDCTL, "doctor", "--root", self.root], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("  error  /etc/nsswitch.conf:1: 'sd' does not stand in the hosts: line",
                      done.stdout)
        self.assertIn(f"         -> Write 'sd {ACTIONS}' in front of 'dns'.\n", done.stdout)
        self.assertRegex(done.stdout, r"\n\d+ errors, \d+ warnings?\n$")

    def test_a_root_that_is_none_is_refused(self):
        done = subprocess.run([SDCTL, "doctor", "--root", "/nonexistent"], capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("Cannot read /nonexistent", done.stderr)


if __name__ == "__main__":
    unittest.main()
