"""docs/performance.md is well-formed whatever was measured, and says where Daybook is behind."""
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import performance_page as page  # noqa: E402

MACHINE = {"date": "2026-01-02 03:04 UTC", "kernel": "Linux 6", "system": "Debian", "cpu": "one", "cores": 2, "memory": "4 GiB",
           "disk": "/dev/x ext4", "load": 0.1, "commit": "abc"}


def row(work, peer, label, durable="P", **measured):
    return {"w": work, "peer": peer, "label": label, "durable": durable, **measured}


def kept(rows):
    return {"machine": MACHINE, "versions": {"SQLite": "3"}, "rows": rows}


class Page(unittest.TestCase):
    def assert_tables(self, text):
        """Every table has a head, a line of dashes and rows of as many cells."""
        lines = text.replace("\\|", "").splitlines()
        for i, line in enumerate(lines):
            if line.startswith("|"):
                self.assertEqual(line.count("|"), lines[i - 1].count("|") if lines[i - 1].startswith("|") else line.count("|"), line)
            if line.startswith("|---"):
                self.assertTrue(lines[i - 1].startswith("|") and not lines[i - 2].startswith("|"))

    def part(self, text, title):
        return text.split(f"## {title}\n")[1].split("\n## ")[0]

    def test_nothing_measured(self):
        text = page.write(None, None, None)
        self.assertIn("../shared/peers", text)
        self.assertEqual(text.count("Not measured yet"), 2)
        self.assert_tables(text)

    def test_what_was_not_measured_here_stays(self):
        rows = [row("A", "sqlite", "WAL FULL", ev_s=100.0), row("A", "daybook-store", "durable", ev_s=90.0)]
        figures = {"machine": MACHINE, "figures": [{"name": "f", "goal": ">= 1", "reached": "2", "met": True, "detail": ""}]}
        whole = page.write(kept(rows), figures, "| it is flat |")
        self.assertEqual(page.write(None, None, None, whole), whole)
        self.assertEqual(page.write(kept(rows), None, None, whole), whole)
        self.assertNotIn("it is flat", page.write(None, None, "other", whole))

    def test_only_one_work(self):
        text = page.write(kept([row("A", "sqlite", "WAL FULL", ev_s=100.0)]), None, None)
        self.assertIn("| SQLite | WAL FULL | power loss | 100 |", text)
        self.assert_tables(text)

    def test_behind_at_equal_durability_alone(self):
        rows = [row("A", "daybook-store", "durable", ev_s=100.0), row("A", "daybook-log", "durable", ev_s=300.0),
                row("A", "sqlite", "WAL FULL", ev_s=50.0), row("A", "sqlite", "WAL NORMAL", "p", ev_s=900.0),
                row("F", "daybook-store", "open", ev_s=1.0, open_ms=8.0), row("F", "lmdb", "open", open_ms=2.0)]
        text = page.write(kept(rows), None, None)
        behind = self.part(text, "Where Daybook is behind")
        self.assertNotIn("**A", behind)
        self.assertIn("LMDB, open, is 4 times better.", behind)
        self.assertIn("| A: one writer, one event per acknowledgement | SQLite, WAL FULL | 50 events/s | 100 events/s | 2x | 6x |", text)
        self.assert_tables(text)

    def test_a_bulk_load_that_syncs_at_the_end_is_compared_apart(self):
        rows = [row("C", "daybook-store", "bulk", "p", ev_s=100.0, disk_b_ev=100.0), row("C", "sqlite", "FULL, tx 1000", ev_s=80.0, disk_b_ev=300.0),
                row("C", "lmdb", "NOSYNC, tx 1000", "p", ev_s=400.0, disk_b_ev=350.0)]
        compared = {one["name"]: one for one in page.compare(page.prepared(rows))}
        self.assertEqual([one["other"]["peer"] for one in compared.values()], ["sqlite", "lmdb", "sqlite"])
        self.assertIn("LMDB, NOSYNC, tx 1000, is 4 times better", "\n".join(page.behind(compared.values())))

    def test_the_median_of_the_repetitions(self):
        rows = page.prepared([row("B", "redis", "always", ev_s=value) for value in (1.0, 9.0, 3.0)])
        self.assertEqual([(one["ev_s"], one["runs"]) for one in rows], [(3.0, 3)])

    def test_growth_is_the_page_of_its_own_or_what_was_printed_with_all_plots(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "docs/growth").mkdir(parents=True)
            self.assertEqual(page.growth_of(root, None), "")
            self.assertEqual(page.growth_of(root, "| a |"), "| a |")
            for name in ("open-growth.svg", "growth/append-growth.svg"):
                (root / "docs" / name).touch()
            (root / "docs/growth.md").write_text("# Growth\n\nIt is flat. ![x](open-growth.svg)\n")
            self.assertEqual(page.growth_of(root, "| a |"), "It is flat. ![x](open-growth.svg)\n\n![append-growth](growth/append-growth.svg)")

    def test_figures_of_the_benchmarks(self):
        text = "figure   goal\none: a / b | c      >= 0.85      0.7578    MISSED raw 215.0 us\ntwo   <= 9         8      met    \nnoise\n"
        figures = page.figures_of(text)
        self.assertEqual([(one["name"], one["met"]) for one in figures], [("one: a / b | c", False), ("two", True)])
        text = page.write(None, {"machine": {**MACHINE, "load": 7}, "figures": figures, "quick": True}, "A table.")
        self.assertIn("1 of 2 met", text)
        self.assertIn("**missed**", text)
        self.assertIn("a busy machine", text)
        self.assertIn("A table.", text)
        self.assert_tables(text)


if __name__ == "__main__":
    unittest.main()
