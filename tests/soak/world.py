"""The configuration of a run: one value of each key (keys.py), of which each reload changes one."""

from keys import ENTRIES, is_array, section


class World:
    def __init__(self, places):
        self.places = places  # what stands for @...@
        self.chosen = {(entry, key): 0 for entry, keys in ENTRIES.items() for key in keys}
        self.free = [at for at in self.chosen if len(ENTRIES[at[0]][at[1]]) > 1]

    def change(self, dice):
        """Another value for one key; returns (entry, key)."""
        at = dice.choice(self.free)
        values = ENTRIES[at[0]][at[1]]
        self.chosen[at] = dice.choice([i for i in range(len(values)) if i != self.chosen[at]])
        return at

    def rest(self):
        """Everything as it is at the marks."""
        self.chosen = dict.fromkeys(self.chosen, 0)

    def value(self, entry, key):
        return ENTRIES[entry][key][self.chosen[entry, key]]

    def name(self, entry):
        return self.value(entry, "name").strip('"')

    def names(self):
        """The values that the labels listener, route and upstream may have."""
        found = {"listener": {""}, "route": {""}, "upstream": {""}}
        for entry, keys in ENTRIES.items():
            if "name" in keys and entry.count(".") == 1:
                found[entry.split(".")[0]].add(self.name(entry))
        return found

    def _table(self, entry):
        lines = []
        for key in ENTRIES[entry]:
            value = self.value(entry, key)
            pairs = zip(key.split("+"), value) if "+" in key else [(key, value)]
            lines += [f"{k} = {v}" for k, v in pairs if v is not None]
        return "\n".join(lines)

    def text(self):
        parts = []
        for entry in ENTRIES:
            names = entry.split(".")
            header = f"[[{section(entry)}]]" if is_array(entry) else f"[{section(entry)}]"
            parts.append(f"{header}\n{self._table(entry)}\n".replace("@PREFIX@", names[1] if len(names) > 1 else ""))
        text = "".join(parts)
        text = text.replace("[runtime]\n", "[runtime]\nworkers = 2\n").replace(
            "[admin]\n", '[admin]\naddress = "@ADMIN@"\n'
        )
        text = text.replace("[access_log]\n", '[access_log]\noutput = "/dev/null"\n')
        for entry in ENTRIES:
            kind, _, name = entry.partition(".")
            if kind in ("upstream", "route") and "." not in name:
                text = text.replace(f"@{'UP' if kind == 'upstream' else 'ROUTE'}:{name}@", self.name(entry))
        for place, value in self.places.items():
            text = text.replace(f"@{place}@", value)
        return text
