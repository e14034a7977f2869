"""Steady traffic through reloads that each change another key: the short form of tests/soak/run."""

import os
import subprocess
import sys

from harness.base import ROOT, TIMEOUT, binary


def test_every_reload_changes_another_key_and_nobody_notices():
    run = subprocess.run(
        [sys.executable, "-B", str(ROOT / "tests" / "soak" / "run"), "--reloads", "60", "--seed", "7", "--pace", "0.1"],
        env={**os.environ, "SLUICE_BIN": binary()},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT * 10,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
