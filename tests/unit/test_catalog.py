#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The message catalog: an entry for each id of daemon/message.c, and the journal's own tool reads it."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("srcdir", pathlib.Path(__file__).parents[2]))
CATALOG = SOURCE / "daemon/nss-sd.catalog"
LINE_MAX = 80


class Catalog(unittest.TestCase):
    def setUp(self):
        self.ids = re.findall(r'\[MESSAGE_\w+\] = \{"(\w*)"', (SOURCE / "daemon/message.c").read_text())
        head, *entries = re.split(r"^-- ", CATALOG.read_text(), flags=re.MULTILINE)
        self.head = head
        self.entries = [entry.split("\n", 1) for entry in entries]

    def test_every_id_has_one_entry_and_every_entry_an_id(self):
        self.assertGreater(len(self.ids), 9)
        self.assertEqual(len(set(self.ids)), len(self.ids))
        self.assertEqual(sorted(self.ids), sorted(entry[0] for entry in self.entries))
        for message_id in self.ids:
            self.assertRegex(message_id, "^[0-9a-f]{32}$")

    def test_every_message_has_an_id(self):
        header = (SOURCE / "daemon/message.h").read_text()
        names = re.findall(r"^    (MESSAGE_\w+),", header, flags=re.MULTILINE)
        self.assertEqual(len(names) - 1, len(self.ids), "MESSAGE_COUNT is the last")

    def test_every_entry_says_what_it_is_and_what_to_do(self):
        for message_id, text in self.entries:
            header, body = text.split("\n\n", 1)
            keys = [line.split(":", 1)[0] for line in header.splitlines()]
            self.assertEqual(keys, ["Subject", "Defined-By", "Documentation"], message_id)
            self.assertGreater(len(body.split()), 25, message_id)
            for line in text.splitlines():
                self.assertLessEqual(len(line.replace("@NSS_SD_REGISTRY@", "consul")), LINE_MAX, line)

    def test_no_field_is_used_that_no_message_has(self):
        self.assertEqual(set(re.findall(r"@(\w+)@", CATALOG.read_text())),
                         {"NSS_SD_REGISTRY", "NSS_SD_SERVICE"})
        services = {message_id for message_id, text in self.entries if "@NSS_SD_SERVICE@" in text}
        # registry_env's messages are about a service each: its twin fails a test whose message is not
        checks = re.findall(r'\[MESSAGE_CHECK_\w+\] = \{"(\w*)"',
                            (SOURCE / "daemon/message.c").read_text())
        self.assertEqual(services, set(checks))

    def test_the_journals_tool_reads_it(self):
        self.assertIsNotNone(shutil.which("journalctl"), "no journalctl: see tests/packages.txt")
        with tempfile.TemporaryDirectory(prefix="catalog-") as root:
            for name in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
                pathlib.Path(root, name).mkdir(parents=True)
            shutil.copy(CATALOG, pathlib.Path(root, "usr/lib/systemd/catalog"))
            tool = ["journalctl", f"--root={root}"]
            done = subprocess.run([*tool, "--update-catalog"], capture_output=True, text=True,
                                  timeout=60, check=True)
            self.assertEqual(done.stderr, "")
            listed = subprocess.run([*tool, "--list-catalog"], capture_output=True, text=True,
                                    timeout=60, check=True).stdout
            self.assertEqual(sorted(re.findall(r"^(\w{32}) nss-sd: \w", listed, flags=re.MULTILINE)),
                             sorted(self.ids))


if __name__ == "__main__":
    unittest.main()
