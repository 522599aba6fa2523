"""log head, prove, consistency, check-proof, key; and the reader in examples/reader, which knows only the documents."""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

from cli_case import TOP, Case, ndjson, put

READER = os.path.join(TOP, "examples", "reader", "read_log.py")


class Proof(Case):
    def setUp(self):
        super().setUp()
        self.store()
        for first in (1, 20, 60):
            self.receipts("a.daybook", ndjson(put(i) for i in range(first, first + 17)))

    def read(self, *args, status=0):
        done = subprocess.run([sys.executable, "-B", READER, *args], capture_output=True, text=True, cwd=self.dir)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def head(self):
        return json.loads(self.daybook("log", "head", "a.daybook", "--json"))

    def signed(self):
        self.daybook("log", "key", "new", "me.key")
        self.daybook("log", "head", "a.daybook", "--into", "head.json", "--sign", "--key-file", "me.key")

    def forge(self, name, change):
        with open(self.path(name), encoding="utf-8") as f:
            proof = json.load(f)
        change(proof)
        with open(self.path("forged.json"), "w", encoding="utf-8") as f:
            json.dump(proof, f)

    def test_the_reader_agrees_on_the_head(self):
        with open(READER, encoding="utf-8") as f:
            self.assertLessEqual(len(f.readlines()), 150)
        head = self.head()
        self.assertEqual(self.read("a.daybook/log"), f"entries {head['count']}\nhead {head['head']}\n")
        self.assertEqual(json.loads(self.daybook("verify", "a.daybook", "--json"))["head"], head["head"])
        self.assertIn(f"head   {head['head']}", self.daybook("log", "head", "a.daybook"))

    def test_the_reader_finds_damage(self):
        path = self.path("a.daybook", "log", "0000000000000001.seg")
        with open(path, "rb") as f:
            data = f.read()
        for offset in (8192 + 5, 8192 + 300, 9216 + 40, data.find(b"notes/n20")):
            with open(path, "wb") as f:
                f.write(data[:offset] + bytes([data[offset] ^ 8]) + data[offset + 1:])
            self.assertIn("0000000000000001.seg", self.read("a.daybook/log", status=1))
        with open(path, "wb") as f:
            f.write(bytes([data[0] ^ 8]) + data[1:])  # the second header serves
        self.read("a.daybook/log")

    def test_the_reader_reads_packed_segments(self):
        golden = os.path.join(TOP, "tests", "data", "golden")
        plain, packed = self.read(os.path.join(golden, "log-v1")), self.read(os.path.join(golden, "log-v1-packed"))
        self.assertEqual(plain, packed)
        merged, cells = self.read(os.path.join(golden, "log-v1-merged")), self.read(os.path.join(golden, "log-v1-cells"))
        self.assertEqual(merged, cells)
        shutil.copytree(os.path.join(golden, "log-v1-cells"), self.path("cells"))
        name = self.path("cells", "0000000000000003.seg")
        with open(name, "rb") as f:
            data = f.read()
        blocks = data.find(bytes.fromhex("bb4d0cf7"))
        for offset in (blocks + 20, blocks + 60, data.find(bytes.fromhex("bb4d0cf7"), blocks + 1) + 700):
            with open(name, "wb") as f:
                f.write(data[:offset] + bytes([data[offset] ^ 8]) + data[offset + 1:])
            self.assertIn("0000000000000003.seg", self.read("cells", status=1))

    def test_every_entry_is_under_the_head(self):
        end = self.head()["count"]
        for position in (1, 2, 17, 18, end - 1, end):
            self.daybook("log", "prove", "a.daybook", str(position), "--with-entry", "--into", "p.json")
            self.assertIn(f"is at position {position}", self.daybook("log", "check-proof", "p.json"))
            self.assertIn("holds", self.read("a.daybook/log", "p.json"))
            self.assertIn("holds", self.read("p.json"))
        with open(self.path("p.json"), encoding="utf-8") as f:
            self.assertIn(b"notes/n", base64.b64decode(json.load(f)["origin"]))
        self.assertIn(f"there is no position {end + 1}", self.refused(1, "log", "prove", "a.daybook", str(end + 1)))
        self.assertIn(f"there is no position {end + 5}", self.refused(1, "log", "prove", "a.daybook", "9", "--at", str(end + 5)))

    def test_forged_proofs_are_refused_by_both(self):
        self.daybook("log", "prove", "a.daybook", "20", "--with-entry", "--into", "p.json")
        self.daybook("log", "consistency", "a.daybook", "19", "--into", "c.json")
        other = "00" * 32
        for name, change in (("p.json", lambda p: p.update(position=21)), ("p.json", lambda p: p.update(leaf=other)),
                             ("p.json", lambda p: p["path"].__setitem__(0, other)), ("p.json", lambda p: p["path"].pop()),
                             ("p.json", lambda p: p["peaks"].__setitem__(0, other)), ("p.json", lambda p: p.update(head=other)),
                             ("p.json", lambda p: p.update(count=p["count"] + 1)),
                             ("p.json", lambda p: p.update(origin=base64.b64encode(b"x").decode())),
                             ("c.json", lambda p: p["trees"].__setitem__(0, other)), ("c.json", lambda p: p["trees"].pop()),
                             ("c.json", lambda p: p.update(old_head=other)), ("c.json", lambda p: p["old_peaks"].__setitem__(0, other))):
            self.forge(name, change)
            self.refused(1, "log", "check-proof", "forged.json")
            self.read("forged.json", status=1)
        self.forge("p.json", lambda p: p.update(store="00000000-0000-4000-8000-000000000000"))
        self.assertIn("is of another store", self.read("a.daybook/log", "forged.json", status=1))

    def test_a_signed_head(self):
        self.signed()
        self.assertEqual(os.stat(self.path("me.key")).st_mode & 0o077, 0)
        self.assertIn("which is signed", self.daybook("log", "check-proof", "head.json", "--public-key", "me.key.pub"))
        self.daybook("log", "prove", "a.daybook", "5", "--signed-head", "head.json", "--into", "p.json")
        self.receipts("a.daybook", ndjson([put(99)]))
        words = ("log", "check-proof", "p.json", "--signed-head", "head.json", "--public-key", "me.key.pub")
        self.assertIn("which is signed", self.daybook(*words))
        self.assertIn("holds", self.read("a.daybook/log", "p.json"))
        self.daybook("log", "consistency", "a.daybook", "head.json", "--into", "c.json")
        self.assertIn("holds", self.read("a.daybook/log", "c.json", "head.json"))
        self.assertTrue(json.loads(self.daybook("log", "check-proof", "c.json", "--signed-head", "head.json", "--json"))["ok"])
        self.daybook("log", "key", "new", "other.key")
        self.assertIn("by another key", self.refused(1, *words[:-1], "other.key.pub"))
        self.daybook("log", "prove", "a.daybook", "5", "--into", "p.json")
        self.assertIn("of another head", self.refused(1, *words))
        if shutil.which("minisign"):
            done = subprocess.run(["minisign", "-Vm", "head.json", "-p", "me.key.pub"], capture_output=True, text=True, cwd=self.dir)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_changed_statement_is_found(self):
        self.signed()
        with open(self.path("head.json"), encoding="utf-8") as f:
            text = f.read()
        with open(self.path("head.json"), "w", encoding="utf-8") as f:
            f.write(re.sub(r'"time":"\d', '"time":"1', text))
        self.assertIn("not over this content", self.refused(1, "log", "check-proof", "head.json", "--public-key", "me.key.pub"))

    def test_a_log_that_was_set_back_or_is_another(self):
        shutil.copytree(self.path("a.daybook"), self.path("old.daybook"))
        self.receipts("a.daybook", ndjson([put(98), put(99)]))
        self.signed()
        self.assertIn("was set back", self.refused(1, "log", "consistency", "old.daybook", "head.json"))
        self.receipts("old.daybook", ndjson(put(i) for i in range(100, 105)))
        self.assertIn("its first", self.refused(1, "log", "consistency", "old.daybook", "head.json"))

    def test_wrong_usage(self):
        for words in (("head", "a.daybook", "--sign"), ("head", "a.daybook", "x"), ("prove",), ("prove", "a.daybook", "1", "2"),
                      ("prove", "a.daybook", "x"), ("consistency", "a.daybook", "5", "4"), ("check-proof",), ("key", "old", "x"), ("key", "new")):
            self.refused(2, "log", *words)
        with open(self.path("no.json"), "w", encoding="utf-8") as f:
            f.write("{}")
        self.assertIn("'version' is missing", self.refused(1, "log", "check-proof", "no.json"))
        self.daybook("log", "key", "new", "k")
        self.assertIn("is there already", self.refused(1, "log", "key", "new", "k"))
        self.assertIn("no file of a minisign", self.refused(1, "log", "head", "a.daybook", "--into", "h", "--sign", "--key-file", "no.json"))


if __name__ == "__main__":
    unittest.main()
