#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The completions of sdctl, called as the shells call them, with ./sdctl of the build directory."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("srcdir", ".")).resolve()
sys.path.insert(0, str(SOURCE / "tests/unit"))
from test_sdctl import SDCTL, Daemon  # noqa: E402

ENVIRONMENT = {**os.environ, "PATH": f"{pathlib.Path(SDCTL).parent}:{os.environ['PATH']}",
               "LC_ALL": "C", "HISTFILE": ""}


def sdctl_help(*verb):
    return subprocess.run([SDCTL, *verb, "--help"], check=True, capture_output=True,
                          text=True).stdout


def help_verbs():
    listed = sdctl_help().partition("Verbs:\n")[2].partition("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


def help_options(*verb):
    """The options that help lists, without their values: ["-4", "--ipv4", "--id", ...]."""
    listed = re.search(r"^Options[^\n]*:\n(.*?)\n\n", sdctl_help(*verb), re.S | re.M)[1]
    return [word for line in listed.splitlines()
            for word in re.findall(r"(?<=[ ,])(--?[a-z0-9-]+)", line[:32])]


REGISTRY = {"type": "local", "domains": ["sd.internal", "other.internal"], "state": "up",
            "state_for_usec": 0, "services": 1, "details": {}}
STATUS = {"parameters": {
    "version": "1", "pid": 1, "uptime_usec": 1, "view": "", "lookups": 0, "connections": 0,
    "zone": None, "log_level": "info",
    "registries": [{"name": "local", **REGISTRY},
                   {"name": "prod", **REGISTRY, "type": "consul", "domains": ["consul"]}]}}


def services(*pairs):
    return {"parameters": {"services": [
        {"registry": registry, "key": key, "state": "fresh", "age_usec": 1, "endpoints": 1,
         "usable": 1, "idle_usec": 1, "error": None} for registry, key in pairs]}}


class Bash(unittest.TestCase):
    def complete(self, *words, **environment):
        """What bash offers for the last of `words`; bash itself splits at '='."""
        split = [part for word in words for part in re.split("(=)", word) if part or word == ""]
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sdctl 2>/dev/null; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", SOURCE / "completions/sdctl", *split],
            env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=60,
            check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def ask(self, *words, replies):
        with tempfile.TemporaryDirectory() as directory:
            daemon = Daemon(directory)
            daemon.replies = list(replies)
            try:
                return self.complete("sdctl", f"--runtime-directory={directory}", *words)
            finally:
                daemon.close()

    def test_every_verb_is_offered(self):
        self.assertGreater(len(help_verbs()), 8)
        self.assertEqual(sorted(self.complete("sdctl", "")), sorted(help_verbs()))
        for verb in help_verbs():
            self.assertIn(verb, self.complete("sdctl", verb[:-1]))
        self.assertEqual(sorted(self.complete("sdctl", "help", "")), sorted(help_verbs()))

    def test_every_option_of_every_verb_is_offered(self):
        for verb in help_verbs():
            if verb != "help":
                offered = [word.rstrip("=") for word in self.complete("sdctl", verb, "-")]
                self.assertEqual(sorted(offered), sorted(help_options(verb)), verb)
        self.assertEqual(sorted(word.rstrip("=") for word in self.complete("sdctl", "-")),
                         sorted(help_options()))

    def test_an_option_with_a_value_says_so_and_the_value_is_no_verb(self):
        self.assertEqual(self.complete("sdctl", "register", "--ta"), ["--target=", "--tag="])
        self.assertEqual(self.complete("sdctl", "--runtime-directory", "query", "fl"), ["flush"])
        self.assertEqual(self.complete("sdctl", "--runtime-directory=/x", "fl"), ["flush"])

    def test_directories_are_offered_where_one_is_wanted(self):
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(f"{directory}/config")
            pathlib.Path(directory, "configuration").touch()
            for words in (["--config-directory", f"{directory}/con"],
                          [f"--config-directory={directory}/con"]):
                self.assertEqual(self.complete("sdctl", "check", *words), [f"{directory}/config"])

    def test_files_are_offered_where_a_path_is_wanted(self):
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory, "app.conf").touch()
            self.assertEqual(self.complete("sdctl", "check", "--scan", f"{directory}/a"),
                             [f"{directory}/app.conf"])

    def test_words_of_an_argument_are_offered(self):
        self.assertEqual(self.complete("sdctl", "log-level", "w"), ["warning"])

    def test_registries_are_offered(self):
        self.assertEqual(self.ask("services", "", replies=[STATUS]), ["local", "prod"])

    def test_full_names_are_offered(self):
        known = services(("local", "orders"), ("prod", "service/orders"), ("prod", "node/n1"),
                         ("prod", "service/far?dc=dc2"))
        self.assertEqual(self.ask("query", "", replies=[STATUS, known]),
                         ["orders.sd.internal", "orders.service.consul", "n1.node.consul"])
        self.assertEqual(self.ask("query", "n", replies=[STATUS, known]), ["n1.node.consul"])

    def test_services_of_the_local_registry_are_offered_for_deregistering(self):
        self.assertEqual(self.ask("deregister", "o", replies=[STATUS, services(("local", "orders"))]),
                         ["orders"])

    def test_without_a_daemon_there_are_no_names_and_no_noise(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(self.complete("sdctl", f"--runtime-directory={directory}", "query",
                                           ""), [])


@unittest.skipUnless(shutil.which("zsh") or os.environ.get("CI") == "true", "no zsh here")
class Zsh(unittest.TestCase):
    """In a zsh of its own on a pseudo terminal, as its completion works nowhere else."""

    def complete(self, line):
        """What zsh lists after `line` and a Tab."""
        leader, follower = pty.openpty()
        # A wide terminal, and a mark when the list is complete. The prompt is not in what is typed, which the
        # terminal echoes: once it is there zsh reads keys, and would lose a Tab that came sooner.
        script = (f"stty cols 200 rows 200; fpath=({SOURCE}/completions $fpath); "
                  "autoload -U compinit; compinit -u -D; "
                  "zstyle ':completion:*' list-colors ''; LISTMAX=10000; "
                  "list() { zle list-choices; zle -R; print -r -- END; zle send-break }; zle -N list; "
                  "bindkey '^I' list; PS1='REA''DY> '\n")
        environment = {**ENVIRONMENT, "TERM": "dumb", "NSS_SD_RUNTIME_DIRECTORY": "/nonexistent"}
        with subprocess.Popen(["zsh", "-f", "-i"], stdin=follower, stdout=follower,
                              stderr=follower, start_new_session=True, env=environment) as process:
            os.close(follower)
            try:
                os.write(leader, script.encode())
                self.read_until(leader, b"READY> ")
                os.write(leader, line.encode() + b"\t")
                return self.read_until(leader, b"END")
            finally:
                process.kill()
                os.close(leader)

    def read_until(self, leader, mark):
        text = b""
        while mark not in text:
            ready, _, _ = select.select([leader], [], [], 60)
            self.assertTrue(ready, text)
            text += os.read(leader, 65536)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", text.decode())

    def test_the_file_is_sound(self):
        subprocess.run(["zsh", "-n", SOURCE / "completions/_sdctl"], check=True)

    def test_every_verb_is_listed_with_its_summary(self):
        listed = self.complete("sdctl ")
        for verb in help_verbs():
            self.assertRegex(listed, rf"(?m)^{verb} +-- ")

    def test_every_option_of_a_verb_is_listed(self):
        for verb in ("query", "register"):
            listed = self.complete(f"sdctl {verb} -")
            for option in help_options(verb):
                self.assertRegex(listed, rf"(?m)^(.* )?{option}( |$)", f"{verb} {option}")


if __name__ == "__main__":
    unittest.main()
