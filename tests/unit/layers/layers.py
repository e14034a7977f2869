"""The layers are a fact of the build: an include of a layer that is not declared does not compile.

usage: layers.py COMPILER INCLUDE_DIRS   (a line per layer: its name and the include folders its sources are compiled
with) ALLOWED repeats the table of docs/architecture.md on purpose: a dependency added in CMake alone fails here.
"""

import pathlib
import subprocess
import sys

ALLOWED = {
    "base": "",
    "metrics": "base",
    "net": "base",
    "tls": "net",
    "dns": "net",
    "http": "net",
    "http1": "http",
    "http2": "http",
    "upstream": "http1 http2 tls metrics",
    "route": "http",
    "exchange": "upstream route metrics",
    "config": "exchange dns",
    "admin": "config",
    "runtime": "admin",
}
FOREIGN = {"boringssl": ("android", {"tls"})}  # the one foreign library that is not in /usr/include


def closure(layer):
    seen = {layer}
    for dep in ALLOWED[layer].split():
        seen |= closure(dep)
    return seen


def compiles(compiler, dirs, source):
    flags = [f"-I{d}" for d in dirs]
    done = subprocess.run(
        [compiler, "-std=c++23", "-fsyntax-only", "-x", "c++", *flags, "-"],
        input=source,
        text=True,
        capture_output=True,
    )
    return done.returncode == 0, done.stderr


def visible(compiler, dirs, headers):
    """Which of the layers in headers can be included with these folders: one run of the preprocessor."""
    source = "".join(f'#if __has_include("{header}")\nseen {layer}\n#endif\n' for layer, header in headers.items())
    done = subprocess.run(
        [compiler, "-E", "-P", "-x", "c++", *[f"-I{d}" for d in dirs], "-"],
        input=source,
        text=True,
        capture_output=True,
        check=True,
    )
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("seen")}


def main():
    compiler, listing = sys.argv[1:]
    dirs = {line.split()[0]: line.split()[1:] for line in pathlib.Path(listing).read_text().splitlines() if line}
    problems = []
    if set(dirs) != set(ALLOWED):
        problems.append(f"layers of the build {sorted(dirs)} are not those of the table {sorted(ALLOWED)}")
    lib = pathlib.Path(__file__).resolve().parents[3] / "lib"
    headers = {layer: f"{layer}/{h.name}" for layer in ALLOWED for h in sorted((lib / layer).glob("*.h"))[:1]}
    for layer in sorted(set(dirs) & set(ALLOWED)):
        found, wanted = visible(compiler, dirs[layer], headers), closure(layer) & set(headers)
        problems += [f"{layer} can include {other}, which it may not use" for other in sorted(found - wanted)]
        problems += [f"{layer} cannot include {other}, which it may use" for other in sorted(wanted - found)]
        for name, (folder, owners) in FOREIGN.items():
            if any(pathlib.Path(d).name == folder for d in dirs[layer]) and layer not in owners:
                problems.append(f"{layer} sees the headers of {name}")
    # And once for real: the same include compiles below net and not in base.
    source = f'#include "{headers["net"]}"\n'
    good, words = compiles(compiler, dirs["http"], source)
    if not good:
        problems.append(f"http does not compile {source.strip()}: {words}")
    good, words = compiles(compiler, dirs["base"], source)
    if good or "o such file" not in words and "file not found" not in words:
        problems.append(f"base compiles {source.strip()}, or fails for another reason: {words}")
    for problem in problems:
        print(problem)
    print(f"{len(dirs)} layers, {len(headers)} with headers, {len(problems)} problems")
    return 1 if problems or len(headers) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
