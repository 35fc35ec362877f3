#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages: sound mdoc, and sdctl(1) and nss-sdd(8) name what the programs' own help names."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ.get("srcdir", ".")).resolve()
PAGES = SOURCE / "man"
sys.path.insert(0, str(SOURCE / "tests/unit"))
from test_completion import help_options, help_verbs  # noqa: E402

# What mandoc says of the machine and not of the page: which other pages are installed there.
OF_THE_MACHINE = re.compile("referenced manual not found|outdated mandoc.db")


def section(page, title):
    text = (PAGES / page).read_text()
    return re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text, re.S | re.M)[1]


def options_of(text):
    """"--json", "-4", ... of the list items: .It Fl 4 , -ipv4"""
    return [f"-{word}" for line in re.findall(r"^\.It Fl (.*)", text, re.M)
            for word in re.findall(r"(?:^|(?<=, ))(-?[a-z0-9-]+)", line)]


class Man(unittest.TestCase):
    maxDiff = None

    @unittest.skipUnless(shutil.which("mandoc") or os.environ.get("CI") == "true", "no mandoc")
    def test_pages_are_sound(self):
        pages = sorted(path.name for path in PAGES.glob("*.[1-8]"))
        self.assertGreaterEqual(len(pages), 6)
        done = subprocess.run(["mandoc", "-Tlint", "-W", "style", *pages], cwd=PAGES, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual([line for line in done.stdout.splitlines()
                          if not OF_THE_MACHINE.search(line)], [])

    def test_pages_refer_to_each_other_by_the_right_section(self):
        own = {path.stem: path.suffix[1:] for path in PAGES.glob("*.[1-8]")}
        for path in PAGES.glob("*.[1-8]"):
            for name, number in re.findall(r"^\.Xr (\S+) (\d)", path.read_text(), re.M):
                if name.startswith(("nss-sd", "sdctl", "libnss_sd")):
                    self.assertEqual(own.get(name), number, path.name)

    def test_every_verb_of_sdctl_is_explained_and_no_other(self):
        explained = re.findall(r"^\.It Ic ([a-z-]+)", section("sdctl.1", "VERBS"), re.M)
        self.assertEqual(sorted(explained), sorted(help_verbs()))

    def test_every_option_of_sdctl_is_explained_and_no_other(self):
        options = {option for verb in help_verbs() if verb != "help"
                   for option in help_options(verb)}
        self.assertEqual(sorted(options_of(section("sdctl.1", "OPTIONS"))), sorted(options))

    def test_every_option_of_sdctl_names_the_verbs_that_have_it(self):
        text = section("sdctl.1", "OPTIONS")
        verbs = [verb for verb in help_verbs() if verb != "help"]
        for item in re.split(r"^(?=\.It Fl )", text, flags=re.M)[1:]:
            option = options_of(item)[-1]
            named = re.search(r"^\.Ic ([a-z, -]+) :$", item, re.M)
            having = [verb for verb in verbs if option in help_options(verb)]
            expected = having if having != verbs else []
            self.assertEqual(sorted(named[1].split(" , ") if named else []), sorted(expected), option)

    def test_every_option_of_nss_sdd_is_explained_and_no_other(self):
        usage = subprocess.run(["./nss-sdd", "--help"], check=True, capture_output=True,
                               text=True).stdout
        options = re.findall(r"(?m)(?<=^  )-h|(?<=^ {5})--[a-z-]+", usage)
        self.assertEqual(sorted(options_of(section("nss-sdd.8", "DESCRIPTION"))),
                         sorted([*options, "--help"]))


if __name__ == "__main__":
    unittest.main()
