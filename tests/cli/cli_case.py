"""What the end-to-end tests of the program share: a folder of their own, the program, golden texts."""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ["DAYBOOK"]
APP = os.path.join(HERE, "app")


def put(number, **data):
    data.setdefault("title", f"title {number}")
    return {"id": f"c{number}", "do": "put", "table": "notes", "key": f"n{number}", "data": data}


def ndjson(commands):
    return "".join(json.dumps(c) + "\n" for c in commands)


class Daemon:
    """A `serve` that has said ready."""

    def __init__(self, case, store, *options):
        self.process = subprocess.Popen([PROGRAM, "serve", store, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=case.env, cwd=case.dir)
        case.addCleanup(self.close)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if self.lines[-1] == "ready" or '"ready":true' in line:
                break
        else:
            raise AssertionError(self.process.stderr.read())
        self.url = next((l.split()[1] for l in self.lines if l.startswith("commands")), None)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="dbk-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        os.mkdir(os.path.join(self.dir, "run"), 0o700)
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR") or k.endswith("SAN_OPTIONS")}
        self.env = dict(keep, XDG_RUNTIME_DIR=os.path.join(self.dir, "run"), LC_ALL="C.UTF-8")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def run_program(self, *args, input="", cwd=None, env=None, **more):
        binary = isinstance(input, bytes)
        return subprocess.run([PROGRAM, *args], input=input, capture_output=True, text=not binary, timeout=120,
                              cwd=cwd or self.dir, env=env or self.env, **more)

    def daybook(self, *args, status=0, **more):
        done = self.run_program(*args, **more)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def refused(self, status, *args, **more):
        """Runs it, expects the status; what it said on stderr."""
        done = self.run_program(*args, **more)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}\n{done.stderr}")
        self.assertTrue(done.stderr, args)
        return done.stderr

    def store(self, name="a.daybook", commands=0):
        self.daybook("init", name, "--app", APP)
        if commands:
            self.daybook("send", name, input=ndjson(put(i) for i in range(1, commands + 1)))
        return name

    def receipts(self, store, lines, status=0):
        out = self.daybook("send", store, status=status, input=lines)
        return [json.loads(l) for l in (out.decode() if isinstance(out, bytes) else out).splitlines()]

    def rows(self, store, sql, *args):
        return json.loads(self.daybook("query", store, sql, "--json", *args))["rows"]

    def checksums(self, name):
        sums = {}
        for folder, _, files in os.walk(self.path(name)):
            for file in files:
                full = os.path.join(folder, file)
                with open(full, "rb") as f:
                    sums[os.path.relpath(full, self.dir)] = hashlib.sha256(f.read()).hexdigest()
        return sums

    def plain(self, text):
        text = text.replace(self.dir, "DIR").replace(APP, "APP")
        return re.sub(r"process \d+", "process PID", text)

    def golden(self, name, text):
        path = os.path.join(HERE, "golden", name)
        text = self.plain(text)
        if os.environ.get("DAYBOOK_GOLDEN") == "write":
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        with open(path, encoding="utf-8") as f:
            self.assertEqual(f.read(), text, f"golden/{name}; DAYBOOK_GOLDEN=write makes it anew")

    def transcript(self, name, runs, **more):
        """Runs each and holds command, status and both outputs to one golden file."""
        text = ""
        for args in runs:
            done = self.run_program(*args, **more)
            text += "$ daybook " + " ".join(a if re.fullmatch(r"[\w./:=-]+", a) else f"'{a}'" for a in args) + "\n"
            text += done.stdout + done.stderr + f"[{done.returncode}]\n\n"
        self.golden(name, text)
