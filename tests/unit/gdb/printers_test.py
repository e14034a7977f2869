"""scripts/gdb/sluice.py in a gdb of its own, on subject.cc. Skips, and says why, where gdb cannot run."""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

PRINTERS = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "gdb" / "sluice.py"
SKIPPED = 77
SUBJECT = ""
THINGS = ("slab", "blue", "none", "queue", "long_queue")


def gdb(*commands):
    """What gdb prints for these commands, when the subject has come to shown()."""
    first = ("set width 0", "set print elements 200", f"source {PRINTERS}", "break subject::shown", "run")
    arguments = [word for command in (*first, *commands) for word in ("-ex", command)]
    run = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", *arguments, SUBJECT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "DEBUGINFOD_URLS": "", "LC_ALL": "C"},
    )
    return run.stdout + run.stderr


def why_not():
    if shutil.which("gdb") is None:
        return "gdb is not installed (scripts/deps --test brings it)"
    text = gdb("python print('Python', 'is there')")
    if "Python is there" not in text:
        return "this gdb has no Python"
    if "Breakpoint 1, subject::shown" not in text:
        return "gdb may not run a program here: " + text[-300:]
    return ""


class Printers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lines = gdb(*(f"print subject::things->{thing}" for thing in THINGS)).splitlines()
        cls.shown = dict(zip(THINGS, (line.split(" = ", 1)[1] for line in lines if line.startswith("$"))))
        cls.all = "\n".join(lines)

    def test_a_list_and_its_items(self):
        self.assertTrue(self.shown["blue"].startswith("List of 3 subject::Item = {"), self.all)
        numbers = gdb(*(f"print ((subject::Item*){word})->number" for word in self.items("blue")))
        self.assertEqual([n for n in (10, 11, 12, 13) if f" = {n}\n" in numbers], [10, 11, 13], numbers)

    def items(self, thing):
        return [word.strip("{},") for word in self.shown[thing].split() if word.strip("{},").startswith("0x")]

    def test_an_empty_list(self):
        self.assertEqual(self.shown["none"], "List of 0 subject::Item", self.all)

    def test_a_slab(self):
        self.assertTrue(self.shown["slab"].startswith("Slab of subject::Item: 3 in use; 0 free pages = {"), self.all)
        self.assertEqual(sorted(self.items("slab")), sorted(self.items("blue")), self.all)

    def test_a_queue(self):
        self.assertTrue(self.shown["queue"].startswith("ByteQueue of 108 bytes in "), self.all)
        self.assertIn('"GET / \\x22\\x01xxx', self.shown["queue"], self.all)
        self.assertIn('"...', self.shown["queue"], self.all)

    def test_a_queue_with_nodes(self):
        text = self.shown["long_queue"]
        self.assertTrue(text.startswith("ByteQueue of 39 bytes in 39 slices = {"), self.all)
        letters = "".join(part[0] for part in text.split('Slice of 1: "')[1:])
        self.assertEqual(letters, ("abcdefghijklmnopqrstuvwxyz" * 2)[1:40], self.all)

    def test_a_broken_list_says_so(self):
        hook = "(*(sluice::base::ListHook<subject::BlueTag>*)subject::things->blue.head_.next_)"
        text = gdb(f"set var {hook}.next_ = 0", "print subject::things->blue")
        self.assertIn("List of 1 subject::Item, broken behind 0x", text)


if __name__ == "__main__":
    SUBJECT = sys.argv.pop()
    if reason := why_not():
        print("skipped:", reason)
        sys.exit(SKIPPED)
    unittest.main()
