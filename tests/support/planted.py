"""Planting bugs into a copy of the sources, and seeing whether tests find them: what the mutants.py of tests/… share."""
import argparse
import json
import os
import shutil
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


def plant(folder, edits):
    """edits: (file, text, text instead[, -1: the last of several])"""
    for name, old, new, *which in edits:
        path = folder / name
        text = path.read_text()
        found = text.count(old)
        if found != 1 and not (which and found):
            sys.exit(f"'{name}' has the text {found} times that a bug replaces:\n{old}")
        at = text.rindex(old)
        path.write_text(text[:at] + new + text[at + len(old):])


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


def run(command, seconds=300):
    """What a program said that failed; None: it did not."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, errors="replace")
    except subprocess.TimeoutExpired:
        return "hangs"
    if not done.returncode:
        return None
    said = [line for line in done.stdout.splitlines() if "FAILED" in line and "test_" in line or "seed " in line]
    return said[0].split("] ")[-1] if said else f"ends with {done.returncode}"


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    given.folder = given.folder.resolve()
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    return given


def hunt_all(given, mutants, hunt):
    """Plants each (name: edits), lets `hunt(name)` say which test found it and what that said, and counts them. The exit code."""
    reached = {}
    for name, edits in mutants.items():
        if given.only and given.only != name:
            continue
        begun = time.monotonic()
        plant(given.folder, edits)
        try:
            reached[name], said = hunt(name)
        finally:
            take_out(given.folder, edits)
        print(f"{name:48} {reached[name] or 'SURVIVED':16} {said[:150]}  {time.monotonic() - begun:.0f} s", flush=True)
    alive = [name for name, test in reached.items() if test is None]
    print(f"{len(reached) - len(alive)} of {len(reached)} planted bugs found")
    if given.json:
        given.json.write_text(json.dumps(reached, indent=1) + "\n")
    return 1 if alive else 0
