"""Printers for gdb: what stands in a List, a Slab, a ByteQueue or a Slice.

    (gdb) source scripts/gdb/sluice.py
    (gdb) print worker.clients_.lists_

They need the types, which builds with -g1 (dev, release) leave out: see docs/debugging.md.
"""

import gdb
import gdb.printing

WALK_MAX = 1_000_000  # items of a list: a broken one may have no end
SHOWN_BYTES = 64  # of a slice


def text_of(memory):
    """Bytes as a person can read them, on one line."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02x}" for b in bytes(memory))


def is_null(pointer):
    return int(pointer) == 0


class ListPrinter:
    """sluice::base::List<T, Tag>: its items as pointers to T."""

    def __init__(self, value):
        self.value = value
        self.item = value.type.strip_typedefs().template_argument(0)

    def hooks(self):
        """The hooks in order; ends with an error text if the links do not fit together."""
        head = self.value["head_"].address
        before, hook = head, head["next_"]
        if is_null(hook):
            yield "its list is gone"
            return
        for _ in range(WALK_MAX):
            if hook == head:
                return
            if is_null(hook) or hook["prev_"] != before:
                yield f"broken behind {before}"
                return
            yield hook
            before, hook = hook, hook["next_"]
        yield f"more than {WALK_MAX}"

    def to_string(self):
        hooks = list(self.hooks())
        wrong = f", {hooks.pop()}" if hooks and isinstance(hooks[-1], str) else ""
        return f"List of {len(hooks)} {self.item.name}{wrong}"

    def children(self):
        for i, hook in enumerate(self.hooks()):
            if not isinstance(hook, str):
                yield f"[{i}]", hook.cast(self.item.pointer())  # from a base to the whole

    def display_hint(self):
        return "array"


class SlabPrinter:
    """sluice::base::Slab<T>: what is in use, as pointers to T. A page without a free cell is in no list of its slab."""

    def __init__(self, value):
        self.item = value.type.strip_typedefs().template_argument(0)
        self.pages = value["pages_"]

    def in_use(self):
        page = self.pages["partial_"]
        while not is_null(page):
            free = set()
            cell = page["free"]
            while not is_null(cell):
                free.add(int(cell))
                cell = cell["next"]
            first = int(page + 1)
            for i in range(int(self.pages["cells_per_page_"])):
                address = first + i * int(self.pages["cell_bytes_"])
                if address not in free:
                    yield gdb.Value(address).cast(self.item.pointer())
            page = page["next"]

    def to_string(self):
        used = int(self.pages["in_use_"])
        shown = sum(1 for _ in self.in_use())
        hidden = f", {used - shown} of them on full pages, which are not shown" if shown != used else ""
        return f"Slab of {self.item.name}: {used} in use{hidden}; {int(self.pages['free_pages_'])} free pages"

    def children(self):
        for i, cell in enumerate(self.in_use()):
            yield f"[{i}]", cell

    def display_hint(self):
        return "array"


class SlicePrinter:
    """sluice::net::Slice: its bytes, the first of them."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        size = int(self.value["size_"])
        if size == 0 or is_null(self.value["home_"]):
            return "Slice, empty"
        start = int(self.value["home_"] + 1) + int(self.value["at_"])
        shown = gdb.selected_inferior().read_memory(start, min(size, SHOWN_BYTES))
        return f'Slice of {size}: "{text_of(shown)}"{"..." if size > SHOWN_BYTES else ""}'


class ByteQueuePrinter:
    """sluice::net::ByteQueue: its slices, oldest first."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return f"ByteQueue of {int(self.value['size_'])} bytes in {int(self.value['count_'])} slices"

    def slices(self):
        ring = self.value["first_"]["_M_elems"]
        places = ring.type.strip_typedefs().range()[1] + 1
        for i in range(int(self.value["first_count_"])):
            yield ring[(int(self.value["first_at_"]) + i) % places]
        node = self.value["more_"]
        while not is_null(node):
            for i in range(int(node["at"]), int(node["end"])):
                yield node["slices"]["_M_elems"][i]
            node = node["next"]

    def children(self):
        for i, one in enumerate(self.slices()):
            yield f"[{i}]", one

    def display_hint(self):
        return "array"


def printers():
    all_of_them = gdb.printing.RegexpCollectionPrettyPrinter("sluice")
    all_of_them.add_printer("List", "^sluice::base::List<.*>$", ListPrinter)
    all_of_them.add_printer("Slab", "^sluice::base::Slab<.*>$", SlabPrinter)
    all_of_them.add_printer("Slice", "^sluice::net::Slice$", SlicePrinter)
    all_of_them.add_printer("ByteQueue", "^sluice::net::ByteQueue$", ByteQueuePrinter)
    return all_of_them


gdb.printing.register_pretty_printer(gdb.current_objfile(), printers(), replace=True)
