"""A log of another store, an older one, mixed ones, files that are no files, two writers: refused with the reason,
and nothing changed."""
import glob
import json
import os
import shutil
import subprocess
import unittest

from cli_case import Case, Daemon, ndjson, put

LONG = "x" * 250_000


class Hostile(Case):
    def setUp(self):
        super().setUp()
        self.store()
        self.grow(range(6))
        self.segments = sorted(glob.glob(self.path("a.daybook", "log", "*.seg")))
        self.assertGreaterEqual(len(self.segments), 2)

    def grow(self, numbers, store="a.daybook"):
        for number in numbers:
            self.receipts(store, ndjson([put(number, title=f"title {number} " + LONG)]))

    def sums(self):
        """Of regular files; LOCK says who asked last."""
        found = {}
        for folder, _, files in os.walk(self.path("a.daybook")):
            for name in files:
                path = os.path.join(folder, name)
                if name != "LOCK" and os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as f:
                        found[path] = hash(f.read())
        return found

    def refuses(self, *texts, codes=None):
        """Opening is refused with one of the texts; verify lists a fault; not a byte changes."""
        before = self.sums()
        said = self.refused(3, "send", "a.daybook", input=ndjson([put(99)]))
        self.assertTrue(any(text in said for text in texts), said)
        self.assertEqual(self.sums(), before)
        report = json.loads(self.daybook("verify", "a.daybook", "--json", status=1))
        if codes:
            self.assertIn(report["faults"][0]["error"], codes)
        self.assertEqual(self.sums(), before)

    def test_a_segment_that_is_no_file(self):
        for path in self.segments[:2]:
            os.rename(path, path + ".kept")
            for make in (lambda: os.symlink(path + ".kept", path), lambda: os.mkfifo(path), lambda: os.mkdir(path)):
                make()
                self.refuses(os.path.basename(path))
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)
            os.rename(path + ".kept", path)
        self.daybook("verify", "a.daybook")

    def test_a_file_of_terabytes(self):
        """What stands in the place of the segment prepared ahead is looked through as far as a segment can reach."""
        prepared = self.segments[-1]
        with open(prepared, "rb") as f:
            f.seek(8192)
            self.assertFalse(any(f.read(65536)), "the last segment is in use")
        os.unlink(prepared)
        with open(prepared, "wb") as f:
            f.truncate(1 << 42)
        self.daybook("verify", "a.daybook")
        self.assertEqual(len(self.receipts("a.daybook", ndjson([put(99)]))), 1)
        self.daybook("verify", "a.daybook")

    def test_the_log_of_another_store(self):
        self.store("b.daybook")
        self.grow(range(6), "b.daybook")
        shutil.rmtree(self.path("a.daybook", "log"))
        shutil.copytree(self.path("b.daybook", "log"), self.path("a.daybook", "log"))
        self.refuses("belongs to another store", codes=("foreign",))

    def test_an_older_copy_of_one_segment(self):
        last = self.segments[0]
        shutil.copytree(self.path("a.daybook"), self.path("old"))
        self.grow(range(6, 14))
        self.assertGreater(len(glob.glob(self.path("a.daybook", "log", "*.seg"))), len(self.segments))
        newest = self.segments[1]
        shutil.copy(os.path.join(self.path("old", "log"), os.path.basename(newest)), newest)
        self.refuses(os.path.basename(newest), os.path.basename(last))

    def test_an_older_log_under_a_newer_watermark(self):
        shutil.copytree(self.path("a.daybook", "log"), self.path("old"))
        self.grow(range(6, 8))
        mark = self.path("a.daybook", "log", "WATERMARK")
        shutil.copy(mark, self.path("mark"))
        shutil.rmtree(self.path("a.daybook", "log"))
        shutil.copytree(self.path("old"), self.path("a.daybook", "log"))
        shutil.copy(self.path("mark"), mark)
        self.refuses("acknowledged entries are gone", "the last segment is gone", "the watermark names it")

    def test_two_copies_that_went_different_ways_mixed(self):
        shutil.copytree(self.path("a.daybook"), self.path("b.daybook"))
        self.grow(range(6, 14))
        self.grow(range(20, 30), "b.daybook")
        ours = sorted(glob.glob(self.path("a.daybook", "log", "*.seg")))
        theirs = sorted(glob.glob(self.path("b.daybook", "log", "*.seg")))
        shutil.copy(theirs[1], ours[1])
        self.refuses(os.path.basename(ours[1]), os.path.basename(ours[2]))

    def test_a_second_writer_by_a_link_or_without_the_lock(self):
        daemon = Daemon(self, "a.daybook")
        # the same log under another name, its segments by hard links: their own lock holds
        os.mkdir(self.path("twin"))
        shutil.copy(self.path("a.daybook", "daybook.json"), self.path("twin"))
        shutil.copytree(self.path("a.daybook", "app"), self.path("twin", "app"))
        shutil.copytree(self.path("a.daybook", "log"), self.path("twin", "log"), copy_function=os.link)
        said = self.refused(3, "send", "twin", input=ndjson([put(99)]))
        self.assertRegex(said, "another process appends to it|is a copy")
        os.unlink(self.path("a.daybook", "LOCK"))
        shutil.rmtree(self.path("run"), ignore_errors=True)  # so that the daemon is not found
        os.mkdir(self.path("run"), 0o700)
        if os.path.exists(self.path("a.daybook", "run.json")):
            os.unlink(self.path("a.daybook", "run.json"))
        said = self.refused(3, "send", "a.daybook", input=ndjson([put(99)]))
        self.assertIn("another process appends to it", said)
        self.assertEqual(daemon.end(), 0)
        self.daybook("verify", "a.daybook")

    @unittest.skipIf(os.geteuid() != 0, "mounting is root's")
    def test_a_second_writer_by_a_bind_mount(self):
        os.mkdir(self.path("mounted"))
        if subprocess.run(["mount", "--bind", self.path("a.daybook"), self.path("mounted")], capture_output=True).returncode:
            self.skipTest("no mounting here")
        try:
            Daemon(self, "a.daybook")
            shutil.rmtree(self.path("run"), ignore_errors=True)
            os.mkdir(self.path("run"), 0o700)
            self.assertIn("held by process", self.refused(3, "serve", "mounted"))
        finally:
            subprocess.run(["umount", self.path("mounted")], check=True)


if __name__ == "__main__":
    unittest.main()
