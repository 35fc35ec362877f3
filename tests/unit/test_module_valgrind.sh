#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The module's tests once more under valgrind: no leak, no use of what was not written. Every test is a
# process of its own, and one that valgrind objects to fails by its exit status.
command -v valgrind >/dev/null || exit 77
exec valgrind -q --vgdb=no --trace-children=yes --leak-check=full --errors-for-leak-kinds=definite,indirect \
    --show-leak-kinds=definite,indirect --error-exitcode=9 ./tests/unit/test_module
