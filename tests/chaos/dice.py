"""Seeded choices. A peer's choices follow from the seed, its kind and its number alone, so a run can be played again.

Each life of a peer (one connection) has a Dice and writes down what it did; the Journal keeps the last of them for the
report of a failure.
"""

import collections
import random
import time

KEPT_LIVES, KEPT_LINES = 400, 60


class Journal:
    """What the peers did lately."""

    def __init__(self, seed):
        self.seed = seed
        # With some seeds nobody is rude: connections then live long enough for what only a deep state shows.
        self.polite = random.Random(seed).random() < 0.4
        self.begun = time.monotonic()
        self.lives = collections.deque(maxlen=KEPT_LIVES)
        self.counts = collections.Counter()

    def now(self):
        return time.monotonic() - self.begun

    def dice(self, kind, *number):
        """For one life of one peer."""
        made = Dice(self, kind, number)
        self.lives.append(made)
        self.counts[kind] += 1
        return made

    def dump(self, out):
        for life in self.lives:
            out.write(f"{life.name}\n")
            for when, line in life.lines:
                out.write(f"  {when:8.3f} {line}\n")


class Dice:
    def __init__(self, journal, kind, number):
        self.journal = journal
        self.name = f"{kind}/{'.'.join(map(str, number))}"
        self.random = random.Random(f"{journal.seed}/{self.name}")
        self.lines = collections.deque(maxlen=KEPT_LINES)
        # A peer that only breaks rules never gets far: most keep to them for most of the time.
        self.rudeness = 0 if journal.polite else self.random.choice((0, 0, 0.02, 0.1, 0.5))

    def say(self, text):
        self.lines.append((self.journal.now(), text))

    def count(self, what, n=1):
        self.journal.counts[what] += n

    def one(self, *choices):
        return self.random.choice(choices)

    def chance(self, p):
        return self.random.random() < p

    def rude(self):
        return self.chance(self.rudeness)

    def between(self, low, high):
        return self.random.randint(low, high)

    def seconds(self, most):
        """Mostly short."""
        return self.random.random() ** 3 * most

    def size(self, most):
        """Small, or near a power of two, or anything."""
        kind = self.random.random()
        if kind < 0.5:
            return self.between(0, min(most, 300))
        if kind < 0.8:
            return max(0, min(most, (1 << self.between(0, most.bit_length())) + self.between(-1, 1)))
        return self.between(0, most)

    def bytes(self, n):
        return self.random.randbytes(n)

    def act(self, legal, illegal):
        """One of the functions, by how rude this peer is; its name is written down."""
        chosen = self.random.choice(illegal if self.rude() else legal)
        self.say(chosen.__name__)
        return chosen

    def pieces(self, data):
        """The data as it is, or torn."""
        way = self.random.random()
        if way < 0.7 or len(data) < 2:
            return [data]
        if way < 0.8 and len(data) <= 200:
            return [data[i : i + 1] for i in range(len(data))]
        cuts = sorted({self.between(1, len(data) - 1) for _ in range(self.between(1, 5))})
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
