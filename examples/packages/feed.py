#!/usr/bin/env python3
"""What a Debian machine knows about packages, as Daybook commands: one JSON object per line on stdout.

Says on stderr where the records came from."""
import argparse
import glob
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys

STATUS = "/var/lib/dpkg/status"
SMALL = 1000  # packages: fewer are no catalogue, only what is installed
ID_MAX = 128

FIELDS = {
    "Version": ("version", str), "Architecture": ("architecture", str), "Section": ("section", str),
    "Priority": ("priority", str), "Maintainer": ("maintainer", str), "Homepage": ("homepage", str),
    "Installed-Size": ("installed_size", int), "Size": ("size", int), "Depends": ("depends", str),
    "Description": ("summary", str), "Description-en": ("summary", str),
}


def records(lines):
    """Paragraphs of "Field: value" lines; continuation lines belong to the field before and are left out."""
    record = {}
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if record:
                yield record
            record = {}
        elif line[0] not in " \t":
            name, _, value = line.partition(":")
            record[name] = value.strip()
    if record:
        yield record


def catalogue(lines):
    for record in records(lines):
        if not {"Package", "Version", "Architecture"} <= record.keys():
            continue
        data = {}
        for field, (column, kind) in FIELDS.items():
            if record.get(field):
                try:
                    data[column] = kind(record[field])
                except ValueError:
                    pass
        yield {"id": "catalogue:%s:%s:%s" % (record["Package"], record["Version"], record["Architecture"]),
               "do": "put", "table": "package", "key": record["Package"], "data": data}


def stable_id(text, seen):
    """The same line of history gets the same id whenever it is read, also after a rotation; a line that
    stands twice gets a number."""
    seen[text] = seen.get(text, 0) + 1
    name = "dpkg:%s#%d" % (text, seen[text])
    return name if len(name.encode()) <= ID_MAX else "dpkg:" + hashlib.sha256(name.encode()).hexdigest()


def history(lines, seen):
    """2026-01-31 12:00:00 status installed libc6:amd64 2.36-9"""
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[2] == "status":
            package = words[4].partition(":")[0]
            yield {"id": stable_id(" ".join(words[:6]), seen), "do": "append", "stream": "dpkg/" + package,
                   "type": "dpkg.status", "data": {"package": package, "state": words[3], "version": words[5],
                                                   "at": words[0] + " " + words[1]}}


def open_text(path):
    opener = gzip.open if path.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8", errors="replace")


def histories(path):
    """dpkg.log and what was rotated away from it, oldest first."""
    rotated = [p for p in glob.glob(path + ".*") if re.fullmatch(r"\.\d+(\.gz)?", p[len(path):])]
    return sorted(rotated, key=lambda p: -int(p[len(path) + 1:].split(".")[0])) + [path]


def catalogue_lines(source):
    if source:
        return open_text(source), source
    try:
        text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, errors="replace").stdout
    except OSError:
        text = ""
    if text.count("\nPackage: ") >= SMALL:
        return text.splitlines(), "apt-cache dumpavail"
    try:
        return open_text(STATUS), STATUS + " (apt has no catalogue here)"
    except OSError as error:
        sys.exit("feed.py: apt has no catalogue here, and %s; name a file of records with --source" % error)


def main(args):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", metavar="FILE", help="package records instead of apt's")
    parser.add_argument("--history", metavar="FILE", default="/var/log/dpkg.log", help="with FILE.1, FILE.2.gz … before it")
    options = parser.parse_args(args)
    put = append = 0
    seen = {}
    files = []

    def say(command):
        sys.stdout.write(json.dumps(command, ensure_ascii=False, separators=(",", ":")) + "\n")

    lines, source = catalogue_lines(options.source)
    for command in catalogue(lines):
        say(command)
        put += 1
    for path in histories(options.history):
        try:
            with open_text(path) as log:
                for command in history(log, seen):
                    say(command)
                    append += 1
            files.append(path)
        except OSError:
            continue
    where = " and ".join(files) if len(files) <= 2 else "%s and %d older" % (files[-1], len(files) - 1)
    print("%d packages from %s" % (put, source), file=sys.stderr)
    print("%d lines of history from %s" % (append, where) if files else "no history: %s cannot be read" % options.history, file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever reads has had enough
