"""Locked, missing, truncated, swapped, flipped, newer: refused with the reason, and not one byte changed."""
import fcntl
import glob
import json
import os
import shutil
import struct
import subprocess
import unittest

from cli_case import APP, PROGRAM, Case, ndjson, put

F_OFD_SETLK = 37


class Damage(Case):
    def setUp(self):
        super().setUp()
        self.store(commands=40)
        self.log = sorted(glob.glob(self.path("a.daybook", "log", "*.seg")))

    def change(self, path, offset, data):
        with open(path, "r+b") as f:
            f.seek(offset)
            f.write(data)

    def flip(self, path, offset):
        with open(path, "rb") as f:
            f.seek(offset)
            byte = f.read(1)[0]
        self.change(path, offset, bytes([byte ^ 16]))

    def offset_of(self, text):
        with open(self.log[0], "rb") as f:
            at = f.read().find(text)
        self.assertGreater(at, 0)
        return at

    def refuses_everything(self, *texts, verify=True):
        """Exit 3 with these texts from whatever opens the store; LOCK aside, no byte of it changes."""
        lock = os.path.join("a.daybook", "LOCK")
        before = self.checksums("a.daybook")
        for args in (("send", "a.daybook"), ("query", "a.daybook", "SELECT 1"), ("serve", "a.daybook"), ("stats", "a.daybook"),
                     ("rebuild", "a.daybook"), ("inbox", "a.daybook"), ("watch", "a.daybook"), ("log", "a.daybook"),
                     ("fingerprint", "a.daybook"), ("fingerprint", "a.daybook", "--at", "40"), ("replay", "a.daybook", "--into", "x.sqlite")):
            said = self.refused(3, *args, input=ndjson([put(99)]))
            for text in texts:
                self.assertIn(text, said, args)
            after = self.checksums("a.daybook")
            self.assertEqual({**after, lock: ""}, {**before, lock: ""}, args)
        if verify:
            done = self.run_program("verify", "a.daybook", "--json")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            report = json.loads(done.stdout)
            self.assertFalse(report["ok"])
            self.assertEqual({**self.checksums("a.daybook"), lock: ""}, {**before, lock: ""}, "verify")
            return report["faults"]
        return []

    def test_no_store_at_all(self):
        for args in (("send", "x"), ("query", "x", "SELECT 1"), ("serve", "x"), ("log", "x"), ("verify", "x"), ("stats", "x"),
                     ("fingerprint", "x"), ("replay", "x", "--into", "y"), ("rebuild", "x"), ("inbox", "x"), ("watch", "x")):
            if args[0] == "send":
                args += ("-",)
            self.assertIn("cannot open store 'x'", self.refused(3, *args), args)
        os.mkdir(self.path("empty"))
        self.assertIn("'empty' is no store: it has no 'daybook.json'", self.refused(3, "query", "empty", "SELECT 1"))
        for args in (("log", "empty"), ("watch", "empty"), ("verify", "empty"), ("doctor", "empty"), ("stats", "empty"), ("log", "empty", "--to", "0")):
            self.assertIn("is no store", self.refused(3, *args), args)
        self.assertEqual(os.listdir(self.path("empty")), [])
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        for args in (("log", "file"), ("watch", "file"), ("verify", "file"), ("doctor", "file"), ("stats", "file"), ("query", "file", "SELECT 1")):
            self.assertIn("'file'", self.refused(3, *args), args)

    def test_a_flipped_bit_in_acknowledged_bytes(self):
        self.flip(self.log[0], self.offset_of(b"notes/n20"))
        faults = self.refuses_everything("0000000000000001.seg")
        self.assertEqual(faults[0]["file"], "log/0000000000000001.seg")
        self.assertLessEqual(faults[0]["first_position"], 21)
        self.assertGreaterEqual(faults[0]["last_position"], 21)
        text = self.run_program("verify", "a.daybook").stdout
        self.assertRegex(text, r"log/0000000000000001\.seg: corrupt at offset \d+, positions \d+ to \d+: ")

    def test_a_truncated_segment(self):
        os.truncate(self.log[0], self.offset_of(b"notes/n20"))
        self.assertTrue(self.refuses_everything("0000000000000001.seg"))

    def test_an_emptied_segment(self):
        os.truncate(self.log[0], 0)
        self.assertTrue(self.refuses_everything("cannot open store 'a.daybook'"))

    def test_a_missing_segment(self):
        os.unlink(self.log[0])
        self.assertTrue(self.refuses_everything("cannot open store 'a.daybook'"))

    def test_segments_swapped_with_those_of_another_store(self):
        self.daybook("init", "b.daybook", "--app", os.path.join(os.path.dirname(__file__), "app"))
        self.receipts("b.daybook", ndjson(put(i) for i in range(1, 41)))
        shutil.copy(glob.glob(self.path("b.daybook", "log", "*1.seg"))[0], self.log[0])
        told = self.refuses_everything("segment '0000000000000001.seg' belongs to another store", "hint: nothing was changed; 'daybook verify' names each foreign file")
        self.assertIn("foreign", [f["error"] for f in told])

    def test_other_files_swapped_with_those_of_another_store(self):
        self.daybook("init", "b.daybook", "--app", os.path.join(os.path.dirname(__file__), "app"))
        mark = os.path.join("log", "WATERMARK")
        shutil.copy(self.path("a.daybook", mark), self.path("kept"))
        shutil.copy(self.path("b.daybook", mark), self.path("a.daybook", mark))
        told = self.refuses_everything("'WATERMARK' belongs to another store", "put the store's own back")
        self.assertEqual([(f["file"], f["error"]) for f in told], [("log/WATERMARK", "foreign")])
        shutil.copy(self.path("kept"), self.path("a.daybook", mark))
        shutil.copy(self.path("b.daybook", "daybook.json"), self.path("a.daybook", "daybook.json"))
        told = self.refuses_everything("belongs to another store", "or its 'daybook.json' if all the others are foreign to it")
        self.assertEqual({f["error"] for f in told}, {"foreign"})

    def test_a_missing_definition(self):
        shutil.rmtree(self.path("a.daybook", "app"))
        told = self.refuses_everything("cannot read the definition 'a.daybook/app'", "hint: nothing was changed; put the definition's files back in 'a.daybook/app'")
        self.assertEqual(told[0]["file"], "app")

    def test_a_missing_log(self):
        shutil.rmtree(self.path("a.daybook", "log"))
        self.assertEqual([f["error"] for f in self.refuses_everything("the folder 'log' of the store is missing")], ["lost"])

    def test_a_missing_or_broken_identity(self):
        path = self.path("a.daybook", "daybook.json")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for broken, said in ((text[:-20], "'daybook.json'"), ("", "'daybook.json'"), (text.replace("lineage", "linage"), "lacks a member")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(broken)
            self.assertEqual(self.refuses_everything(said)[0]["file"], "daybook.json")
        os.unlink(path)
        self.assertEqual(self.refuses_everything("it has no 'daybook.json'")[0]["file"], "daybook.json")

    def test_a_newer_format(self):
        path = self.path("a.daybook", "daybook.json")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace('"format": 1', '"format": 2'))
        self.refuses_everything("'daybook.json' has format 2, this Daybook reads 1", "hint: open it with a newer Daybook", verify=False)
        self.assertEqual(self.refused(3, "verify", "a.daybook"),
                         "daybook: store 'a.daybook' has format 2, this Daybook reads 1\nhint: verify it with a newer Daybook\n")

    def test_a_feature_that_is_needed_and_one_that_may_be_ignored(self):
        path = self.path("a.daybook", "daybook.json")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace('"format": 1', '"format": 1, "needs": [], "colour": "red"'))
        self.assertEqual(self.rows("a.daybook", "SELECT count(*) FROM notes"), [[40]])
        self.daybook("verify", "a.daybook")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace('"format": 1', '"format": 1, "needs": ["vault"]'))
        faults = self.refuses_everything("'daybook.json' needs 'vault', which this Daybook does not know")
        self.assertEqual((faults[0]["error"], faults[0]["law"]), ("version", 3))
        self.assertIn("needs 'vault'", self.refused(3, "salvage", "a.daybook", "--into", "b.daybook"))

    def test_a_broken_definition(self):
        with open(self.path("a.daybook", "app", "schema.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE notes (id TEXT);")
        self.assertEqual(self.refuses_everything("the definition in 'app' does not pass the check")[0]["file"], "app")

    def test_a_definition_that_the_log_does_not_know_is_told(self):
        with open(self.path("a.daybook", "app", "schema.sql"), "a", encoding="utf-8") as f:
            f.write("-- changed\n")
        out = self.daybook("verify", "a.daybook", status=1)
        self.assertIn("app: foreign at offset 0: the definition is not the one that the log recorded", out)

    def test_a_damaged_model_is_told_and_healed_by_the_next_opening(self):
        path = glob.glob(self.path("a.daybook", "models", "*", "main.sqlite"))[0]
        whole = json.loads(self.daybook("fingerprint", "a.daybook", "--json"))
        os.truncate(path, 5000)
        self.assertIn("it ends within a page", self.daybook("verify", "a.daybook", status=1))
        self.assertEqual(json.loads(self.daybook("fingerprint", "a.daybook", "--json")), whole)
        self.assertIn("no fault found", self.daybook("verify", "a.daybook"))
        shutil.rmtree(self.path("a.daybook", "models"))
        self.assertEqual(json.loads(self.daybook("fingerprint", "a.daybook", "--json")), whole)

    def test_what_is_no_model_is_told_and_put_aside_by_the_next_opening(self):
        whole = json.loads(self.daybook("fingerprint", "a.daybook", "--json"))
        models = self.path("a.daybook", "models")
        for number, make in enumerate((os.mkfifo, lambda path: os.symlink("/nowhere", path), lambda path: open(path, "x").close()), 1):
            shutil.rmtree(models)
            make(models)
            self.assertIn("models: corrupt at offset 0: it is no folder; the next opening puts it aside",
                          self.daybook("verify", "a.daybook", status=1))
            self.assertEqual(json.loads(self.daybook("fingerprint", "a.daybook", "--json")), whole)
            self.receipts("a.daybook", "")
            out = self.daybook("verify", "a.daybook")
            self.assertIn("no fault found", out)
            self.assertIn(f"aside       models.aside-{number}\n", out)
            report = json.loads(self.daybook("verify", "a.daybook", "--json"))
            self.assertEqual(len(report["aside"]), number)
            self.assertEqual(sorted(json.loads(self.daybook("stats", "a.daybook", "--json"))["aside"]), sorted(report["aside"]))

    def test_a_store_whose_path_is_no_text_is_told_as_one(self):
        name = os.fsencode(self.path("strange")) + b"\xff\xc3.daybook"
        told = self.path("strange\ufffd\ufffd.daybook")
        self.assertEqual(json.loads(self.daybook("init", name, "--app", APP, "--json")), {"ok": True, "store": told})
        again = self.run_program("init", name, "--app", APP, "--json")
        self.assertEqual(again.returncode, 1)
        self.assertIn("strange??.daybook' exists", json.loads(again.stdout)["message"])
        self.assertEqual(json.loads(self.daybook("doctor", name, "--json"))["store"], told)
        self.assertEqual(self.receipts(name, "{}\n", status=1)[0]["error"], "bad_command")

    def test_a_name_that_is_no_text_is_told_as_one(self):
        strange = os.fsencode(self.path("a.daybook", "models", "async-x")) + b"\xff\n\x1b[31m"
        os.mkdir(strange)
        with open(os.path.join(strange, b"state"), "wb") as file:
            file.write(b'{"failed":"\xff"}')
        os.mkdir(os.path.join(strange, b"00000001"))
        for args in (("verify", "a.daybook"), ("doctor", "a.daybook")):
            self.assertNotIn("async-x", self.daybook(*args, "--json"))
        os.mkdir(os.path.join(strange, b"mine"))
        self.receipts("a.daybook", "")
        told = "models/async-x\ufffd\n\x1b[31m.aside-1"
        self.assertEqual(json.loads(self.daybook("verify", "a.daybook", "--json"))["aside"], [told])
        self.assertEqual(json.loads(self.daybook("stats", "a.daybook", "--json"))["aside"], [told])
        self.assertIn("aside       models/async-x\ufffd\\x0a\\x1b[31m.aside-1\n", self.daybook("verify", "a.daybook"))
        advice = json.loads(self.daybook("doctor", "a.daybook", "--json"))
        self.assertEqual(advice["aside"], [told])
        self.assertIn("what is none of Daybook's lay where it keeps a cache", "".join(advice["advice"]))
        with open(self.path("a.daybook", "log", "recovery.ndjson"), encoding="utf-8") as file:
            note = [json.loads(line) for line in file][-1]
        self.assertEqual((note["folder"], note["name"], note["aside"]),
                         ("models", "async-x\ufffd\n\x1b[31m", "async-x\ufffd\n\x1b[31m.aside-1"))

    def test_verify_names_every_fault(self):
        self.flip(self.log[0], self.offset_of(b"notes/n20"))
        os.unlink(self.path("a.daybook", "daybook.json"))
        files = {f["file"] for f in json.loads(self.daybook("verify", "a.daybook", "--json", status=1))["faults"]}
        self.assertEqual(files, {"daybook.json", "log/0000000000000001.seg"})

    def test_checksums_find_a_flip_too(self):
        self.flip(self.log[0], self.offset_of(b"notes/n20"))
        report = json.loads(self.daybook("verify", "a.daybook", "--depth", "checksums", "--json", status=1))
        self.assertNotIn("head", report)
        self.assertGreater(report["fault_count"], 0)

    def test_a_store_that_another_process_holds(self):
        with open(self.path("a.daybook", "LOCK"), "r+b") as lock:
            fcntl.fcntl(lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            for args in (("send", "a.daybook"), ("serve", "a.daybook"), ("rebuild", "a.daybook")):
                said = self.refused(3, *args, input=ndjson([put(99)]))
                self.assertRegex(said, r"cannot lock 'LOCK': held by process \d+", args)
            self.assertEqual(self.rows("a.daybook", "SELECT count(*) FROM notes"), [[40]])
            self.assertEqual(len(self.daybook("log", "a.daybook").splitlines()), 41)
            self.assertEqual(json.loads(self.daybook("fingerprint", "a.daybook", "--json"))["position"], 41)
            self.assertIn("held by process", json.loads(self.daybook("doctor", "a.daybook", "--json"))["lock"])
            self.daybook("verify", "a.daybook")

    def test_too_few_descriptors(self):
        refusals = 0
        for limit in range(4, 40):
            done = subprocess.run(["bash", "-c", f'ulimit -n {limit}; exec "{PROGRAM}" query a.daybook "SELECT count(*) FROM notes"'],
                                  capture_output=True, text=True, env=self.env, cwd=self.dir)
            if done.returncode == 0:
                self.assertEqual(done.stdout, "count(*)\n40\n")
                break
            self.assertIn(done.returncode, (1, 3, 127), done.stderr)
            self.assertTrue(done.stderr)
            refusals += 1
        self.assertGreater(refusals, 0)
        self.assertEqual(done.returncode, 0)
        self.daybook("verify", "a.daybook")

    def test_an_index_is_named_and_made_anew(self):
        """Two segments, the index of the first flipped: verify names the file and what to do, and --index does it."""
        store = self.path("a.daybook")
        self.daybook("send", store, input=ndjson(put(i, title=f"{i} " * 700) for i in range(1000, 1500)))
        index = self.path("a.daybook", "log", "0000000000000001.idx")
        self.assertTrue(os.path.exists(index))
        self.daybook("verify", store)
        self.flip(index, 5000)
        done = self.run_program("verify", store, "--depth", "checksums")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"log/0000000000000001\.idx: corrupt at offset 4096: .*'daybook rebuild --index'.*\(L4\)")
        self.assertRegex(self.daybook("rebuild", store, "--index"), r"index +made anew; \d+ files removed")
        self.daybook("verify", store)
        self.assertEqual(json.loads(self.daybook("rebuild", store, "--index", "--json"))["ok"], True)
        self.refused(2, "rebuild", store, "main", "--index")


if __name__ == "__main__":
    unittest.main()
