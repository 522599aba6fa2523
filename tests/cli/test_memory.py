"""Every allocation of a command failing, one at a time: what is printed is whole, or the command fails and says why."""
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import unittest

from cli_case import APP, Case, ndjson, put

SHORT = os.environ["SHORT"]
ALL_UP_TO, SPREAD, LAST = 60, 25, 25
FEW_SPREAD, FEW_LAST = 8, 4  # of commands that open a store as others do


def shape(text):
    """Without what differs from run to run."""
    return re.sub(r"[0-9a-f]*[0-9][0-9a-f.T:Z-]*", "#", text)


class Memory(Case):
    def run_short(self, args, number):
        count = self.path("count")
        env = dict(self.env, DAYBOOK_FAIL_ALLOC=str(number), DAYBOOK_ALLOC_COUNT=count)
        done = subprocess.run([SHORT, *args], capture_output=True, text=True, env=env, cwd=self.dir, timeout=120)
        with open(count, encoding="utf-8") as f:
            return done, int(f.read())

    def numbers(self, count, few=False):
        if count <= ALL_UP_TO and not few:
            return range(1, count + 1)
        spread, last = (FEW_SPREAD, FEW_LAST) if few else (SPREAD, LAST)
        step = max(1, (count - last) // spread)
        return sorted(set(range(1, count - last, step)) | set(range(max(1, count - last), count + 1)))

    def whole_or_failed(self, *args, status=0, again=lambda: None, tells=True, few=False):
        """`again` brings back what the command changed."""
        again()
        whole, count = self.run_short(args, 0)
        self.assertEqual(whole.returncode, status, whole.stdout + whole.stderr)
        self.assertGreater(count, 0)
        failed = 0
        for number in self.numbers(count, few):
            again()
            done, _ = self.run_short(args, number)
            what = f"{args}, allocation {number} of {count}:\n{done.stdout}\n{done.stderr}"
            self.assertGreaterEqual(done.returncode, 0, what)
            if done.returncode == status and "memory" not in done.stdout + done.stderr:
                if status and done.stderr:
                    continue  # the failure itself, in plain text for want of memory for its JSON
                self.assertEqual(shape(done.stdout), shape(whole.stdout), what)
                continue
            if args[0] == "doctor" and done.returncode == status:
                continue  # tells of each thing what it could not find out, and goes on
            failed += 1
            if not done.stdout.endswith("}\n") and "--json" in args:
                self.assertTrue(done.stderr, what)  # there was none for the object either
            self.assertIn(done.returncode, (1, 3), what)
            if tells:
                self.assertIn("memory", done.stdout + done.stderr, what)
        return failed

    def test_definitions(self):
        self.assertGreater(self.whole_or_failed("check", APP, "--json"), 0)
        self.whole_or_failed("check", APP)
        self.whole_or_failed("types", APP)
        with open(self.path("bad.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE a(id TEXT PRIMARY KEY NOT NULL, r TEXT DEFAULT (random()));\nCREATE TABLE b(x);\n")
        self.whole_or_failed("check", "bad.sql", "--json", status=1)

    def test_init(self):
        gone = lambda: shutil.rmtree(self.path("n.daybook"), ignore_errors=True)
        self.assertGreater(self.whole_or_failed("init", "n.daybook", "--app", APP, "--json", again=gone), 0)

    def test_import(self):
        with sqlite3.connect(self.path("notes.db")) as db:
            db.execute("CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT, more JSON, at DATETIME)")
            db.executemany("INSERT INTO notes VALUES(?,?,?,?)", [(f"n{i}", f"title {i}", '{"a":1}', None) for i in range(5)])
        gone = lambda: [shutil.rmtree(self.path(name), ignore_errors=True) for name in ("i.daybook", "proposal")]
        self.assertGreater(self.whole_or_failed("import", "--sqlite", "notes.db", "--app-only", "proposal", "--json", again=gone), 0)
        self.whole_or_failed("import", "--sqlite", "notes.db", "--into", "i.daybook", "--json", again=gone)

    def test_a_store_that_is_read(self):
        self.store(commands=5)
        for args in (("query", "a.daybook", "SELECT id, title FROM notes WHERE id = $id", "id=n1", "--json"),
                     ("log", "a.daybook", "--json"), ("log", "a.daybook"), ("stats", "a.daybook", "--json"),
                     ("history", "a.daybook", "notes", "n1", "--json"), ("fingerprint", "a.daybook", "--json"),
                     ("doctor", "a.daybook", "--json"), ("verify", "a.daybook", "--json")):
            self.whole_or_failed(*args)

    def test_settings(self):
        os.makedirs(self.path("app"))
        app = {"daybook": 1, "name": "set", "settings": {"ui": {"table": "settings", "defaults": {"size": 12}, "mirror": "ui.json"}}}
        with open(self.path("app", "app.json"), "w", encoding="utf-8") as f:
            json.dump(app, f)
        with open(self.path("app", "schema.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);\n")
        self.daybook("init", "s.daybook", "--app", "app")
        self.daybook("set", "s.daybook", "ui", "theme", "dark")
        put_theme = lambda: self.daybook("set", "s.daybook", "ui", "theme", "dark")
        self.whole_or_failed("get", "s.daybook", "ui", "theme", "--json", few=True)
        self.assertGreater(self.whole_or_failed("set", "s.daybook", "ui", "size", "14", "--json", few=True), 0)
        self.whole_or_failed("unset", "s.daybook", "ui", "theme", again=put_theme, few=True)
        self.whole_or_failed("reset", "s.daybook", "ui", again=put_theme, few=True)
        self.assertEqual(json.loads(self.daybook("get", "s.daybook", "ui")), {"size": 12})

    def test_salvage(self):
        self.store(commands=5)
        gone = lambda: shutil.rmtree(self.path("b.daybook"), ignore_errors=True)
        self.assertGreater(self.whole_or_failed("salvage", "a.daybook", "--into", "b.daybook", "--json", again=gone, few=True), 0)

    def serve_short(self, number):
        """A daemon until it is ready, and then its end: whether it came so far, how it ended, what it said."""
        count = self.path("count")
        env = dict(self.env, DAYBOOK_FAIL_ALLOC=str(number), DAYBOOK_ALLOC_COUNT=count)
        process = subprocess.Popen([SHORT, "serve", "a.daybook"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=env, cwd=self.dir)
        self.addCleanup(process.stdout.close)
        said, ready = "", False
        for line in process.stdout:
            said += line
            if line == "ready\n":
                ready = True
                process.send_signal(signal.SIGTERM)
        status = process.wait(60)
        with open(count, encoding="utf-8") as f:
            return ready, status, said, int(f.read())

    def test_serve(self):
        self.store(commands=5)
        ready, status, said, count = self.serve_short(0)
        self.assertEqual((ready, status), (True, 0), said)
        failed = 0
        for number in self.numbers(count, few=True):
            ready, status, said, _ = self.serve_short(number)
            what = f"allocation {number} of {count}: {status}\n{said}"
            self.assertIn(status, (0, 1, 3), what)
            if not ready:
                failed += 1
                self.assertNotEqual(status, 0, what)
            if status:
                self.assertIn("memory", said, what)
        self.assertGreater(failed, 0)
        self.daybook("verify", "a.daybook")


if __name__ == "__main__":
    unittest.main()
