#!/usr/bin/env python3
"""What a Debian machine knows about packages, as Daybook commands: one JSON object per line on stdout.

usage: feed.py [--source FILE]      prints on stderr where the records came from"""
import json
import subprocess
import sys

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


def history(lines):
    """2026-01-31 12:00:00 status installed libc6:amd64 2.36-9"""
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) >= 6 and words[2] == "status":
            package = words[4].partition(":")[0]
            yield {"id": "dpkg.log:%d:%s" % (number, " ".join(words[:6]))[:128], "do": "append", "stream": "dpkg/" + package,
                   "type": "dpkg.status", "data": {"package": package, "state": words[3], "version": words[5],
                                                   "at": words[0] + " " + words[1]}}


def main(args):
    if args[:1] == ["--source"]:
        lines, source = open(args[1], encoding="utf-8", errors="replace"), args[1]
    else:
        try:
            text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, errors="replace").stdout
        except OSError:
            text = ""
        lines, source = text.splitlines(), "apt-cache dumpavail"
        if len(lines) < 20000:
            lines, source = open("/var/lib/dpkg/status", encoding="utf-8", errors="replace"), "/var/lib/dpkg/status (no catalogue here)"
    put = append = 0
    out = sys.stdout
    for command in catalogue(lines):
        out.write(json.dumps(command, ensure_ascii=False, separators=(",", ":")) + "\n")
        put += 1
    try:
        with open("/var/log/dpkg.log", encoding="utf-8", errors="replace") as log:
            for command in history(log):
                out.write(json.dumps(command, ensure_ascii=False, separators=(",", ":")) + "\n")
                append += 1
    except OSError:
        pass
    print("%d packages from %s, %d lines of history from /var/log/dpkg.log" % (put, source, append), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
