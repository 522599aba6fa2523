"""Planting bugs into a copy of the sources, and seeing whether tests find them: what the mutants.py of tests/… share."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def copy_if_changed(source, target):
    """Leaves what is the same alone, so that it is not compiled again."""
    data = Path(source).read_bytes()
    if not Path(target).exists() or Path(target).read_bytes() != data:
        Path(target).write_bytes(data)
    return target


def copy_sources(folder, copied):
    for name in copied:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, copy_function=copy_if_changed)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_if_changed(source, target)


def changed(folder, edits):
    """What the files of edits become: (file, text, text instead[, -1: the last of several])"""
    texts = {}
    for name, old, new, *which in edits:
        text = texts.get(name) or (folder / name).read_text()
        found = text.count(old)
        if found != 1 and not (which and found):
            sys.exit(f"'{name}' has the text {found} times that a bug replaces:\n{old}")
        at = text.rindex(old)
        texts[name] = text[:at] + new + text[at + len(old):]
    return texts


def check(mutants):
    """With the one argument --check: ends the program, and says which bugs the sources no longer have a place for."""
    if sys.argv[1:] != ["--check"]:
        return
    faults = 0
    for name, edits in mutants.items():
        try:
            changed(ROOT, edits)
        except SystemExit as fault:
            print(f"'{name}': {fault}")
            faults += 1
    sys.exit(min(faults, 1))


def plant(folder, edits):
    for name, text in changed(folder, edits).items():
        (folder / name).write_text(text)


def take_out(folder, edits):
    for name, *_ in edits:
        copy_if_changed(ROOT / name, folder / name)


def build(folder, targets, kind="RelWithDebInfo"):
    """The build folder, with these programs in it."""
    cache = folder / "build"
    if not (cache / "build.ninja").exists():
        subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", cache, f"-DCMAKE_BUILD_TYPE={kind}", "-DCMAKE_C_FLAGS=-Wno-error -w"],
                       check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["ninja", "-C", cache, "-j2", *targets], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("the mutant does not build:\n" + done.stdout[-3000:])
    return cache


HANGS = "hangs"
LIMIT_TIMES, LIMIT_LEAST = 20, 60  # a run hangs after so many times what it takes without a bug, and seconds
LIMIT_WITHOUT = 1200  # seconds for a test without any bug


class MayHang(list):
    """The edits of a bug that may show itself in a test that never ends; such a test proves nothing of another one."""


class Tests:
    """Programs with their arguments, and how long each takes without any bug: load is in the measure then, not in the verdict."""

    def __init__(self, folder):
        self.kept, self.seconds = folder / "times.json", {}

    def measure(self, commands, again=True):
        """What a command says that fails without any bug, with its name; None: none does. again=False: the times of the last
        whole run will do, where there are some."""
        if not again and self.kept.exists():
            self.seconds = json.loads(self.kept.read_text())
        for command in commands:
            if self.key(command) in self.seconds and not again:
                continue
            begun = time.monotonic()
            status, out = execute(command, LIMIT_WITHOUT)
            if status == HANGS:
                return f"without any bug {self.key(command)} does not end within {LIMIT_WITHOUT} s"
            if status:
                return f"without any bug {Path(command[0]).name} is red: {last_words(status, out)}"
            self.seconds[self.key(command)] = time.monotonic() - begun
        self.kept.write_text(json.dumps(self.seconds, indent=1) + "\n")
        return None

    def quickest_first(self, commands):
        return sorted(commands, key=lambda command: self.seconds[self.key(command)])

    def key(self, command):
        return " ".join([Path(command[0]).name, *map(str, command[1:])])

    def execute(self, command):
        """(exit status, what it printed); (HANGS, "") far beyond its time."""
        return execute(command, max(LIMIT_LEAST, LIMIT_TIMES * self.seconds[self.key(command)]))

    def run(self, command):
        """What a program said that failed, HANGS, or None: it did not fail."""
        status, out = self.execute(command)
        return status if status == HANGS else last_words(status, out) if status else None


def execute(command, limit):
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as process:
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
            return HANGS, ""
    return process.returncode, out


def last_words(status, out):
    said = [line for line in out.splitlines() if "FAILED" in line and "test_" in line or "seed " in line]
    return said[0].split("] ")[-1] if said else f"ends with {status}"


def arguments(description, states=None):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    if states:
        parser.add_argument("--states", type=int, default=states)
    parser.add_argument("--only", action="append")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    given.folder = given.folder.resolve()
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    return given


def is_proven(found, edits):
    return found is not None and (found != HANGS or isinstance(edits, MayHang))


def hunt_all(given, mutants, hunt, shown="{}".format):
    """Plants each (name: edits), lets `hunt(name)` say what found it (HANGS: nothing but a test that does not end) and what that
    said, and counts those that are found. The exit code."""
    reached, alive = {}, []
    for edits in mutants.values():
        changed(given.folder, edits)  # before hours are spent
    for name, edits in mutants.items():
        if given.only and name not in given.only:
            continue
        begun = time.monotonic()
        plant(given.folder, edits)
        try:
            reached[name], said = hunt(name)
        finally:
            take_out(given.folder, edits)
        found = reached[name]
        verdict = "SURVIVED" if found is None else shown(found) if is_proven(found, edits) else "HANGS"
        if not is_proven(found, edits):
            alive.append(name)
        print(f"{name:48} {verdict:16} {said[:150]}  {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{len(reached) - len(alive)} of {len(reached)} planted bugs found")
    for name in alive:
        print(f"not proven: {name} ({'its test hangs' if reached[name] == HANGS else 'survived'})")
    if given.json:
        given.json.write_text(json.dumps(reached, indent=1) + "\n")
    return 1 if alive else 0
