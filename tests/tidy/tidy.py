#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that a machine can check. usage: tidy.py CHECK [ROOT [BUILD]]; tidy.py --list

Each check prints one line per offence and exits 1, or prints what it looked at and exits 0. No rule knows a file by
its history: the whole tree is read every time. tests/tidy/selftest.py shows that every check can fail.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys

CODE = (".c", ".h")
PARTS = ("core", "ledger", "p2p", "relay", "client")
PLAIN_C = ("core", "ledger", "relay")
PURE = ("core_*", "ledger_state", "ledger_light", "relay_turn", "relay_mailbox", "relay_meter",
        "p2p_signal", "client_agent")
HERE = os.path.dirname(os.path.abspath(__file__))


class Tree:
    """The files of a repository: what git would commit, or everything where there is no git."""

    def __init__(self, root, build):
        self.root, self.build = os.path.abspath(root), build
        self.names = self._from_git() or self._from_disk()
        self.looked = 0

    def _from_git(self):
        if not os.path.exists(os.path.join(self.root, ".git")):
            return []
        run = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"],
                             capture_output=True, check=False)
        names = [os.fsdecode(n) for n in run.stdout.split(b"\0") if n]
        return sorted(n for n in names if os.path.isfile(os.path.join(self.root, n)))

    def _from_disk(self):
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders if f not in (".git", "build")]
            found += [os.path.relpath(os.path.join(folder, f), self.root) for f in files]
        return sorted(found)

    def text(self, name):
        self.looked += 1
        with open(os.path.join(self.root, name), "rb") as f:
            data = f.read()
        return "" if b"\0" in data[:4096] else data.decode("utf-8", "replace")

    def code(self, *parts):
        return [n for n in self.names if n.endswith(CODE) and (not parts or n.split("/")[0] in parts)]

    def scripts(self):
        """Shell and Python: by name, or by first line."""
        for n in self.names:
            base = os.path.basename(n)
            if base.endswith((".sh", ".py")):
                yield n, "py" if base.endswith(".py") else "sh"
            elif "." not in base or base == "run":
                first = self.text(n)[:40]
                if re.match(r"#!/(usr/)?bin/(env )?(ba|da)?sh\b", first):
                    yield n, "sh"
                elif re.match(r"#!/usr/bin/(env )?python3", first):
                    yield n, "py"


def without_comments(text):
    """C text with comments and string contents blanked, line numbers kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes(tree, name):
    for number, line in enumerate(tree.text(name).splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m:
            yield number, m.group(1), m.group(2)


def hits(tree, names, pattern, blank=True):
    for name in names:
        text = tree.text(name)
        lines = (without_comments(text) if blank else text).splitlines()
        for number, line in enumerate(lines, 1):
            m = re.search(pattern, line)
            if m:
                yield f"{name}:{number}: {m.group().strip()}"


def cycles(edges):
    """What tsort calls loops, as a list of lines."""
    text = "".join(f"{a} {b}\n" for a, b in sorted(edges))
    run = subprocess.run(["tsort"], input=text, capture_output=True, text=True, check=False)
    return [] if run.returncode == 0 else [line for line in run.stderr.splitlines() if "loop" not in line]


def folder(name, depth=2):
    return "/".join(name.split("/")[:-1][:depth])


def check_folder_cycles(tree):
    """No cycle of includes between folders."""
    for depth in (1, 2):
        edges = set()
        for name in tree.code(*PARTS):
            for _, kind, path in includes(tree, name):
                if kind == '"' and path.split("/")[0] in PARTS and folder(path, depth) != folder(name, depth):
                    edges.add((folder(name, depth), folder(path, depth)))
        yield from (f"cycle through {line}" for line in cycles(edges))


def check_header_cycles(tree):
    """No cycle of includes between headers."""
    edges = {(n, path) for n in tree.code(*PARTS) if n.endswith(".h") for _, kind, path in includes(tree, n) if kind == '"'}
    yield from (f"{a}: includes itself" for a, b in edges if a == b)
    yield from (f"cycle through {line}" for line in cycles({e for e in edges if e[0] != e[1]}))


def may_use_list():
    rules = {}
    with open(os.path.join(HERE, "may_use.txt"), encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                rules[words[0]] = words[1:]
    return rules


def build_order(tree, part):
    """The folders of a part in the order of its CMakeLists.txt."""
    name = f"{part}/CMakeLists.txt"
    m = re.search(r"foreach\(part\s+([^)]*)\)", tree.text(name)) if name in tree.names else None
    return m.group(1).split() if m else []


def allowed(rules, order, name, path):
    """May the file NAME include PATH?"""
    own, used, part = folder(name), folder(path), name.split("/")[0]
    if own == used:
        return True
    if path.split("/")[0] == part and own not in rules:
        a, b = own.split("/")[-1], used.split("/")[-1]
        known = order.get(part, [])
        return a not in known or b not in known or known.index(b) < known.index(a)
    return any(path == entry or path.startswith(entry + "/") for entry in rules.get(own, rules.get(part, [])))


def check_may_use(tree):
    """Includes and library dependencies follow may_use.txt; includes are written from the root."""
    rules, order = may_use_list(), {p: build_order(tree, p) for p in PARTS}
    for name in tree.code(*PARTS):
        for number, kind, path in includes(tree, name):
            if kind == '"' and path.split("/")[0] not in PARTS:
                yield f"{name}:{number}: \"{path}\" is not written from the repository root"
            elif kind == '"' and not allowed(rules, order, name, path):
                yield f"{name}:{number}: {folder(name)} may not use {path}"
    for name in tree.names:
        if not name.endswith("CMakeLists.txt") or name.split("/")[0] not in PARTS:
            continue
        for deps in re.findall(r"chq_library\s*\(\s*\S+\s+(?:[^)]*?)DEPS\s+([^)]*)\)", tree.text(name)):
            for dep in deps.split("SYSTEM")[0].split():
                part, _, rest = dep.partition("_")
                entries = rules.get(folder(name), rules.get(folder(name, 1), []))
                fits = part == name.split("/")[0] or any(
                    e in (part, f"{part}/{rest}") or e.startswith(f"{part}/{rest}/") for e in entries)
                if part in PARTS and not fits:
                    yield f"{name}: {folder(name)} may not link {dep}"


def check_glib(tree):
    """No GLib in the plain C folders; libnice in one file."""
    bad = re.compile(r"(glib|gio|gobject|gmodule|gtk|adwaita|nice|libsecret|json-glib)([/.-]|$)")
    nice = set()
    for name in tree.code(*PARTS):
        for number, kind, path in includes(tree, name):
            if kind == "<" and bad.match(path) and name.split("/")[0] in PLAIN_C:
                yield f"{name}:{number}: <{path}> in a plain C folder"
            if kind == "<" and re.match(r"(nice/|agent\.h|stun/)", path):
                nice.add(name)
    if len(nice) > 1:
        yield f"libnice is included by more than one file: {' '.join(sorted(nice))}"


def symbol_rules():
    rules = []
    with open(os.path.join(HERE, "allowed_symbols.txt"), encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                library, _, member = words[0].lstrip("!").partition(":")
                rules.append((words[0].startswith("!"), library, member or "*", words[1:]))
    return rules


def check_symbols(tree):
    """The pure libraries take from outside only what allowed_symbols.txt lists."""
    rules, library = symbol_rules(), os.path.join(tree.build or "", "lib")
    archives = sorted(n for n in (os.listdir(library) if os.path.isdir(library) else []) if n.endswith(".a"))
    free = re.compile(r"chq_|__asan|__ubsan|__sanitizer|__sancov|__lsan|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__\w+_chk$"
                      r"|__errno_location$|__assert_fail$|__tls_get_addr$")
    for archive in archives:
        name = archive[3:-2]
        if not any(fnmatch.fnmatch(name, p) for p in PURE):
            continue
        run = subprocess.run(["nm", "-A", os.path.join(library, archive)], capture_output=True, text=True, check=False)
        tree.looked += 1
        rows = [re.match(r".*?:([^:]+):\s*(?:[0-9a-f]+)?\s+(\w)\s+(\S+)", line) for line in run.stdout.splitlines()]
        rows = [m.groups() for m in rows if m]
        own = {symbol for _, kind, symbol in rows if kind != "U"}
        for member, symbol in sorted({(m, s) for m, kind, s in rows if kind == "U" and s not in own}):
            fits = [no for no, lib, obj, patterns in rules if fnmatch.fnmatch(name, lib) and fnmatch.fnmatch(member, obj)
                    and any(fnmatch.fnmatch(symbol, p) for p in patterns)]
            if True in fits or not fits and not free.match(symbol):
                yield f"{name} ({member}) takes {symbol}"


def check_banned(tree):
    """No function that cannot be used safely."""
    pattern = r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|alloca|strtok|rand|srand|atoi|atol)\s*\("
    yield from hits(tree, tree.code(), pattern)


def check_sleep(tree):
    """Tests wait for an event with a deadline; a script may poll in steps under half a second."""
    names = [n for n in tree.code() if n.startswith("tests/")]
    yield from hits(tree, names, r"\b(sleep|usleep|nanosleep|g_usleep|thrd_sleep|clock_nanosleep)\s*\(")
    for name, kind in tree.scripts():
        if not name.startswith("tests/") or name.startswith("tests/tidy/"):
            continue
        word = r"\bsleep\s*\(\s*([^)]*)\)" if kind == "py" else r"(?:^|[;&|({]|\bdo|\bthen|\|\|)\s*sleep\s+(\S+)"
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            for m in re.finditer(word, line.split(" # ")[0]):
                if not re.fullmatch(r"0?\.[0-4]\d*", m.group(1).rstrip(";)")):
                    yield f"{name}:{number}: sleep {m.group(1)}"


def check_spdx(tree):
    """Every source says its licence in its first lines."""
    kinds = re.compile(r"(\.(c|h|py|sh|cmake|js|ts|css|proto|in)|CMakeLists\.txt)$")
    names = {n for n in tree.names if kinds.search(n)} | {n for n, _ in tree.scripts()}
    for name in sorted(names):
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in tree.text(name).splitlines()[:3]):
            yield f"{name}: no SPDX-License-Identifier line"


def check_format(tree):
    """clang-format finds nothing to change."""
    names = tree.code()
    tree.looked += len(names)
    for i in range(0, len(names), 50):
        run = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file"] + names[i:i + 50], cwd=tree.root,
                             capture_output=True, text=True, check=False)
        if run.returncode:
            yield from sorted({line.split(":")[0] + ": not formatted; run clang-format -i on it"
                               for line in run.stderr.splitlines() if ": error:" in line}) or [run.stderr]


def check_places(tree):
    """No path of one machine and no registry's host in the repository."""
    path = re.compile(r"(?:^|[\s\"'`=:(])/(?:work|opt|root|home|Users)/[\w.]")
    host = re.compile(r"\b[\w-]+\.(?:debian|ubuntu|npmjs|yarnpkg|pypi|pythonhosted|golang|maven|rubygems|crates)"
                      r"\.(?:org|com|io|net)\b", re.I)
    yield from hits(tree, tree.names, path, blank=False)
    yield from hits(tree, tree.names, host, blank=False)


def check_unfinished(tree):
    """What is not done is an error at run time and a line in the documents, not a note in the source."""
    names = [n for n in tree.names if not n.startswith("tests/tidy/")]
    yield from hits(tree, names, r"\b(TODO|FIXME|XXX|HACK)\b", blank=False)


def check_scripts(tree):
    """Every script parses; those with a first line #! may be executed."""
    for name, kind in tree.scripts():
        full = os.path.join(tree.root, name)
        text = tree.text(name)
        if kind == "sh":
            run = subprocess.run(["bash", "-n", full], capture_output=True, text=True, check=False)
            if run.returncode:
                yield f"{name}: {run.stderr.strip()}"
        else:
            try:
                compile(text, name, "exec")
            except SyntaxError as error:
                yield f"{name}: {error}"
        if text.startswith("#!") and not os.access(full, os.X_OK):
            yield f"{name}: not executable"


def check_links(tree):
    """Links between the documents lead somewhere."""
    for name in tree.names:
        if not name.endswith(".md"):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if "://" not in target and not target.startswith("mailto:") and not os.path.exists(
                        os.path.join(tree.root, os.path.dirname(name), target)):
                    yield f"{name}:{number}: {target} does not exist"


def check_hardening(tree):
    """Programs are position independent, with read-only relocations, bound at start, without executable stack."""
    programs = os.path.join(tree.build or "", "bin")
    for base in sorted(os.listdir(programs)) if os.path.isdir(programs) else []:
        full = os.path.join(programs, base)
        with open(full, "rb") as f:
            if f.read(4) != b"\x7fELF":
                continue
        tree.looked += 1
        run = subprocess.run(["readelf", "-hldW", full], capture_output=True, text=True, check=False).stdout
        wants = {"position independent (-pie)": r"Type:\s+DYN", "relro": r"GNU_RELRO", "bind now": r"BIND_NOW|Flags:.*\bNOW\b",
                 "no executable stack": r"GNU_STACK(?:\s+0x[0-9a-f]+)+\s+RW\s"}
        for what, pattern in wants.items():
            if not re.search(pattern, run):
                yield f"bin/{base}: not {what}"


CHECKS = {name[6:]: function for name, function in sorted(globals().items()) if name.startswith("check_")}


def main(argv):
    if argv[1:2] == ["--list"]:
        print("\n".join(CHECKS))
        return 0
    if len(argv) < 2 or argv[1] not in CHECKS:
        print(__doc__ + "\nchecks: " + " ".join(CHECKS), file=sys.stderr)
        return 2
    tree = Tree(argv[2] if len(argv) > 2 else ".", argv[3] if len(argv) > 3 else None)
    if argv[1] == "format" and not shutil.which("clang-format"):
        print("clang-format is not installed: ./run setup test", file=sys.stderr)
        return 1
    offences = list(CHECKS[argv[1]](tree))
    for line in offences:
        print(line)
    print(f"{argv[1]}: {CHECKS[argv[1]].__doc__} {len(offences)} offences, {tree.looked} files read")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
