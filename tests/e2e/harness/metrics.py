"""Reads Prometheus text strictly enough to trust a sum; promtool judges the format elsewhere."""

import re

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    def __init__(self, text):
        self.text = text
        self.samples = {}  # (name, frozenset of label pairs) -> value
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ", 3)
                self.types[name] = kind
            elif line and not line.startswith("#"):
                m = SAMPLE.fullmatch(line)
                assert m, f"bad sample line {line!r}"
                key = (m[1], frozenset(LABEL.findall(m[2] or "")))
                assert key not in self.samples, f"sample twice: {line!r}"
                self.samples[key] = float(m[3])

    def series(self, name, /, **labels):
        """{labels as dict items: value} of the series that carry these labels."""
        want = set(labels.items())
        return {pairs: v for (n, pairs), v in self.samples.items() if n == name and want <= pairs}

    def sum(self, name, /, **labels):
        return sum(self.series(name, **labels).values())

    def names(self):
        return {name for name, _ in self.samples}
