#!/usr/bin/env python3
"""clang_commands.py COMPILE_COMMANDS: one command per line that has clang++ say what it thinks of the whole tree.

Every file by itself, so that one that leans on what another includes is found; but those of a test program eight at a
time, as they are built, for half the work. No command writes an object: nobody would run it, and a third of the time
goes there.
"""
import json
import os
import sys

TOGETHER = 8

groups = {}
for entry in json.load(open(sys.argv[1])):
    target = os.path.dirname(entry["output"])
    if os.path.dirname(target) == "tests" and target.endswith("_tests.p"):
        groups.setdefault(target, []).append(entry)
    else:
        print(entry["command"], "-fsyntax-only")

for target, entries in groups.items():
    for start in range(0, len(entries), TOGETHER):
        some = entries[start:start + TOGETHER]
        together = os.path.join(target, f"together{start}.cpp")
        with open(together, "w") as file:
            file.writelines(f'#include "{os.path.abspath(entry["file"])}"\n' for entry in some)
        command = some[0]["command"]
        print(command.replace(some[0]["file"], together), "-fsyntax-only")
