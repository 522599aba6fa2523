"""Every allocation of a command failing, one at a time: what is printed is whole, or the command fails and says why."""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import unittest

from cli_case import APP, Case, ndjson, put

SHORT = os.environ["SHORT"]
ALL_UP_TO, SPREAD, LAST = 60, 25, 25


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

    def numbers(self, count):
        if count <= ALL_UP_TO:
            return range(1, count + 1)
        step = max(1, (count - LAST) // SPREAD)
        return sorted(set(range(1, count - LAST, step)) | set(range(count - LAST, count + 1)))

    def whole_or_failed(self, *args, status=0, again=lambda: None, tells=True):
        """`again` brings back what the command changed."""
        again()
        whole, count = self.run_short(args, 0)
        self.assertEqual(whole.returncode, status, whole.stdout + whole.stderr)
        self.assertGreater(count, 0)
        failed = 0
        for number in self.numbers(count):
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


if __name__ == "__main__":
    unittest.main()
