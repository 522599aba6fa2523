"""salvage: a new store from what is good of a damaged one; the old one is not touched."""
import glob
import json
import os
import shutil
import time
import unittest

from cli_case import APP, Case, Daemon, ndjson, put

TURNS = 14
LONG = "x" * 300_000


class Salvage(Case):
    def setUp(self):
        super().setUp()
        self.env["DAYBOOK_KEEP_PLAIN"] = "1"  # texts are sought in the files
        self.store()
        for turn in range(TURNS):  # each a batch of its own, over several segments
            self.receipts("a.daybook", ndjson([put(turn, title=f"title {turn} " + LONG)]))
        self.log = sorted(glob.glob(self.path("a.daybook", "log", "*.seg")))
        self.assertGreaterEqual(len(self.log), 3)

    def flip(self, path, offset):
        with open(path, "r+b") as f:
            f.seek(offset)
            byte = f.read(1)[0]
            f.seek(offset)
            f.write(bytes([byte ^ 4]))

    def where(self, text):
        """(file, offset) of a text in the segments."""
        for path in self.log:
            with open(path, "rb") as f:
                at = f.read().find(text)
            if at >= 0:
                return path, at
        raise AssertionError(text)

    def identity(self, store):
        with open(self.path(store, "daybook.json"), encoding="utf-8") as f:
            return json.load(f)

    def titles(self, store):
        return [row[0] for row in self.rows(store, "SELECT title FROM notes ORDER BY id")]

    def salvage(self, missing, *args, into="b.daybook", same_replica=True):
        """Salvages; the turns that are missing, and no others, are gone; the new store is sound and goes on."""
        before = self.checksums("a.daybook")
        report = json.loads(self.daybook("salvage", "a.daybook", "--into", into, "--json", *args))
        self.assertEqual(self.checksums("a.daybook"), before)
        self.assertEqual(sorted(self.titles(into)), sorted(f"title {n} " + LONG for n in range(TURNS) if n not in missing))
        self.daybook("verify", into)
        self.assertEqual(report["new_replica"], not same_replica)
        self.assertGreater(report["fault_count"], 0)
        ids = [json.loads(line)["id"].rsplit(".", 1)[0] for line in self.daybook("log", "a.daybook", "--json").splitlines()] \
            if self.run_program("log", "a.daybook").returncode == 0 else []
        kept = [json.loads(line)["id"].rsplit(".", 1)[0] for line in self.daybook("log", into, "--json").splitlines()]
        if ids:
            self.assertLessEqual(set(kept[:-1]), set(ids))
        # what was kept is known there as accepted, what is missing can be sent again
        again = self.receipts(into, ndjson(put(n, title=f"title {n} " + LONG) for n in range(TURNS)))
        self.assertEqual([n for n, r in enumerate(again) if not r.get("again")], sorted(missing))
        self.assertEqual(len(self.titles(into)), TURNS)
        self.daybook("verify", into)
        return report

    def test_a_damaged_batch(self):
        self.flip(*self.where(b"title 7 "))
        report = self.salvage({7})
        self.assertEqual((report["missing"], report["kept"]), (1, TURNS))
        self.assertEqual(report["missing_positions"], [{"first": 9, "last": 9}])
        self.assertEqual([entry["count"] for entry in report["missing_entries"]], [1])
        self.assertRegex(report["missing_entries"][0]["first"], r"^[0-9a-f]{32}\.1\.9$")
        self.assertGreater(report["damaged_bytes"], 300_000)
        self.assertEqual(report["faults"][0]["law"], 1)
        self.assertNotEqual(self.identity("a.daybook")["timeline"], self.identity("b.daybook")["timeline"])
        self.assertNotEqual(self.identity("a.daybook")["incarnation"], self.identity("b.daybook")["incarnation"])

    def test_two_damaged_batches_and_what_is_between(self):
        self.flip(*self.where(b"title 3 "))
        self.flip(*self.where(b"title 12 "))
        report = self.salvage({3, 12})
        self.assertEqual(report["missing_positions"], [{"first": 5, "last": 5}, {"first": 14, "last": 14}])

    def test_both_headers_of_a_segment(self):
        for offset in (3, 4096 + 3):
            self.flip(self.log[1], offset)
        self.assertEqual(self.salvage(set())["missing"], 0)

    def test_the_last_batch(self):
        self.flip(*self.where(b"title 13 "))
        report = self.salvage({13})
        self.assertEqual(report["missing_entries"], [])  # no later entry tells its id
        self.assertEqual(report["missing_positions"], [{"first": 15, "last": 15}])

    def test_a_missing_segment_and_two(self):
        def turns(path):
            with open(path, "rb") as f:
                data = f.read()
            return {n for n in range(TURNS) if b'"title":"title %d ' % n in data}
        gone = turns(self.log[1])
        os.unlink(self.log[1])
        report = self.salvage(gone)
        self.assertEqual(report["missing"], len(gone))
        gone |= turns(self.log[0])
        os.unlink(self.log[0])
        report = self.salvage(gone, into="c.daybook")
        self.assertTrue(report["new_definition"])  # the entry that named it was in the first segment

    def test_no_identity(self):
        os.unlink(self.path("a.daybook", "daybook.json"))
        self.salvage(set(), same_replica=False)

    def test_no_definition(self):
        shutil.rmtree(self.path("a.daybook", "app"))
        said = self.refused(3, "salvage", "a.daybook", "--into", "b.daybook")
        self.assertIn("hint: name the app's definition with --app", said)
        self.assertFalse(os.path.exists(self.path("b.daybook")))
        report = json.loads(self.daybook("salvage", "a.daybook", "--into", "b.daybook", "--app", APP, "--json"))
        self.assertFalse(report["new_definition"])
        self.assertEqual(len(self.titles("b.daybook")), TURNS)

    def test_another_definition_is_named_in_the_new_store(self):
        shutil.copytree(APP, self.path("app"))
        with open(self.path("app", "schema.sql"), "a", encoding="utf-8") as f:
            f.write("-- later\n")
        out = self.run_program("salvage", "a.daybook", "--into", "b.daybook", "--app", "app")
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertIn("runs another definition", out.stderr)
        self.daybook("verify", "b.daybook")

    def test_an_app_before_the_last_leaves_nothing_in_the_way(self):
        later = self.path("later")
        shutil.copytree(APP, later)
        with open(os.path.join(later, "schema.sql"), "a", encoding="utf-8") as f:
            f.write("-- later\n")
        self.daybook("upgrade", "a.daybook", "--app", later)
        os.mkdir(self.path("b.daybook"))
        for into, left in (("b.daybook", []), ("c.daybook", None), ("./d.daybook//", None)):
            said = self.refused(3, "salvage", "a.daybook", "--into", into, "--app", APP)
            self.assertIn(f"'{APP}' is older than the app that 'a.daybook' ran last", said)
            self.assertIn("with --app", said)
            there = os.listdir(self.path(into)) if os.path.exists(self.path(into)) else None
            self.assertEqual(there, left)
            self.daybook("salvage", "a.daybook", "--into", into)
            self.assertEqual(len(self.titles(into)), TURNS)
        shutil.rmtree(self.path("a.daybook", "app"))
        shutil.copytree(APP, self.path("a.daybook", "app"))
        said = self.refused(3, "salvage", "a.daybook", "--into", "e.daybook")
        self.assertIn("'a.daybook/app' is older than the app that the log names last", said)
        self.assertFalse(os.path.exists(self.path("e.daybook")))
        said = self.refused(3, "send", "a.daybook", input=ndjson([put(99)]))
        self.assertIn("hint: put the newer app's folder back to 'a.daybook/app'", said)

    def test_what_is_said_without_json(self):
        self.flip(*self.where(b"title 7 "))
        done = self.run_program("salvage", "a.daybook", "--into", "b.daybook")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("missing positions 9 to 9\n", done.stderr)
        self.assertRegex(done.stderr, r"missing entries [0-9a-f]{32}\.1\.9 to [0-9a-f]{32}\.1\.9 \(1\)")
        self.assertRegex(done.stdout, r"kept +14 entries")

    def repaired(self, status=0, *args):
        return json.loads(self.daybook("verify", "a.daybook", "--repair-from", *args, "--json", status=status))

    def test_a_segment_is_mended_from_a_copy(self):
        shutil.copytree(self.path("a.daybook"), self.path("copy"))
        before = self.checksums("copy")
        with open(self.log[1], "rb") as f:
            whole = f.read()
        for damage in (lambda: self.flip(*self.where(b"title 7 ")), lambda: os.truncate(self.log[1], 50_000), lambda: os.unlink(self.log[1])):
            damage()
            report = self.repaired(0, "copy/log")
            self.assertTrue(report["ok"])
            self.assertEqual([(r["file"], r["mended"]) for r in report["repairs"]], [(os.path.basename(self.log[1]), True)])
            with open(self.log[1], "rb") as f:
                self.assertEqual(f.read(), whole)
        self.assertEqual(len(glob.glob(self.path("a.daybook", "log", "*.damaged-*"))), 2)  # a missing one leaves none
        self.assertEqual(self.checksums("copy"), before)
        self.assertEqual(len(self.titles("a.daybook")), TURNS)
        self.assertEqual(self.repaired(0, "copy")["repairs"], [])

    def test_what_does_not_prove_itself_mends_nothing(self):
        self.store("other.daybook", 3)
        self.flip(*self.where(b"title 7 "))
        before = self.checksums("a.daybook")
        for source in ("other.daybook", "run"):
            report = self.repaired(1, source)
            self.assertEqual([r["mended"] for r in report["repairs"]], [False])
            self.assertEqual({**self.checksums("a.daybook"), "a.daybook/LOCK": ""}, {**before, "a.daybook/LOCK": ""})
        self.assertIn("is this store's own log", self.refused(3, "verify", "a.daybook", "--repair-from", "a.daybook"))
        self.assertIn("no such file", self.refused(3, "verify", "a.daybook", "--repair-from", "nothing"))
        text = self.daybook("verify", "a.daybook", "--repair-from", "run", status=1)
        self.assertRegex(text, r"log/\d+\.seg: not mended, the other folder's does not serve: there is no such segment")

    def scrubbed(self):
        """What stats says of the scrub, once a round has ended."""
        daemon = Daemon(self, "a.daybook", "--scrub", "1000")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            scrub = json.loads(self.daybook("stats", "a.daybook", "--json"))["scrub"]
            if "last_full" in scrub:
                break
        self.assertEqual(daemon.end(), 0)
        return scrub

    def test_the_scrub_tells_and_does_nothing(self):
        self.flip(*self.where(b"title 1 "))
        sums = self.checksums("a.daybook/log")
        scrub = self.scrubbed()
        self.assertEqual((scrub["faults"], scrub["bytes_per_second"]), (1, 1000 * 1024 * 1024))
        self.assertRegex(scrub["fault"], r"^log/0000000000000001\.seg at offset \d+, positions 3 to \d+: ")
        segments = {name: value for name, value in self.checksums("a.daybook/log").items() if "01.seg" in name}
        self.assertEqual(segments, {name: value for name, value in sums.items() if "01.seg" in name})
        report = json.loads(self.daybook("doctor", "a.daybook", "--json"))
        self.assertEqual((report["scrub_faults"], report["scrub_fault"]), (1, scrub["fault"]))
        self.assertTrue([text for text in report["advice"] if "the scrub found damage" in text])
        self.assertEqual(json.loads(self.daybook("stats", "a.daybook", "--json"))["scrub"]["bytes_per_second"], 0)

    def test_a_scrub_of_a_sound_store(self):
        scrub = self.scrubbed()
        self.assertEqual(scrub["faults"], 0)
        self.assertGreater(scrub["full_bytes"], 2_000_000)
        self.assertIn("no rate for --scrub", self.refused(2, "serve", "a.daybook", "--scrub", "1000000"))

    def test_refusals(self):
        for into in ("a.daybook", "a.daybook/x", "a.daybook/"):
            self.assertIn("cannot be in the old one", self.refused(2, "salvage", "a.daybook", "--into", into))
        self.assertIn("--into", self.refused(2, "salvage", "a.daybook"))
        self.assertIn("is not empty", self.refused(3, "salvage", "a.daybook", "--into", "run/.."))
        self.assertIn("no such file", self.refused(3, "salvage", "nothing", "--into", "b.daybook"))
        for path in self.log:
            os.truncate(path, 0)
        self.assertIn("nothing in the log of 'a.daybook' can be salvaged", self.refused(3, "salvage", "a.daybook", "--into", "b.daybook"))
        with open(self.path("a.daybook", "daybook.json"), encoding="utf-8") as f:
            text = f.read()
        with open(self.path("a.daybook", "daybook.json"), "w", encoding="utf-8") as f:
            f.write(text.replace('"format": 1', '"format": 2'))
        self.assertIn("format 2", self.refused(3, "salvage", "a.daybook", "--into", "b.daybook"))
        self.assertFalse(os.path.exists(self.path("b.daybook")))


if __name__ == "__main__":
    unittest.main()
