"""Commands in, receipts out: order, pipelining, and whatever a stream of bytes may hold."""
import json
import os
import subprocess
import unittest

from cli_case import PROGRAM, Case, ndjson, put

LINE_MAX = 17 * 1024 * 1024


class Send(Case):
    def test_receipts_keep_the_order_of_the_lines(self):
        store = self.store()
        commands = [put(i) for i in range(1, 1001)]
        receipts = self.receipts(store, ndjson(commands))
        self.assertEqual([r["id"] for r in receipts], [c["id"] for c in commands])
        self.assertEqual([r["position"] for r in receipts], list(range(2, 1002)))
        again = self.receipts(store, ndjson(commands))
        self.assertTrue(all(r["again"] for r in again))
        self.assertEqual([r["position"] for r in again], [r["position"] for r in receipts])

    def test_refusals_among_others_keep_their_place(self):
        store = self.store()
        lines = ndjson([put(1)]) + "nonsense\n" + ndjson([dict(put(2), table="nowhere")]) + "\n  \n" + ndjson([put(3)]) + "1\n" + ndjson([put(4)])
        receipts = self.receipts(store, lines, status=1)
        self.assertEqual([(r.get("id"), r["ok"], r.get("error"), r.get("line")) for r in receipts], [
            ("c1", True, None, None), (None, False, "bad_json", 2), ("c2", False, "unknown_table", None), ("c3", True, None, None),
            (None, False, "bad_command", 7), ("c4", True, None, None)])
        self.assertEqual(self.rows(store, "SELECT id FROM notes"), [["n1"], ["n3"], ["n4"]])

    def test_constraints_rules_and_reuse_by_name(self):
        store = self.store(commands=1)
        receipts = self.receipts(store, ndjson([
            dict(put(9), data={"title": "title 1"}), dict(put(9), data={"title": "x", "stars": -1}), dict(put(1), data={"title": "other"}),
            dict(put(9), do="patch", expect=5), dict(put(9), do="fly"), {"id": "c9", "do": "put"},
            dict(put(9), id="b", do="batch", commands=[])]), status=1)
        self.assertEqual([r["error"] for r in receipts[:3]], ["constraint", "constraint", "id_reused"])
        self.assertTrue(all(not r["ok"] and r["outcome"] == "none" for r in receipts))

    def test_garbage(self):
        store = self.store()
        before = self.rows(store, "SELECT * FROM notes")
        deep = "[" * 100000
        lines = [b"not JSON", b"{", b'{"id":"h', deep.encode(), b'{"a":' * 1000, b'{"id":"a","id":"b"}', b'{"n":1e400}', b"\x00", b'{"id":"\x00"}',
                 b"\xff\xfe", b'{"id":"\xc3"}', b'{"id":"\\ud800"}', b"null", b"[]", b'"text"', b"17", b"{} {}", b"\xef\xbb\xbf{}", b"{'a':1}", b"{\"a\":01}"]
        receipts = self.receipts(store, b"\n".join(lines), status=1)
        self.assertEqual(len(receipts), len(lines))
        self.assertEqual([r["line"] for r in receipts], list(range(1, len(lines) + 1)))
        self.golden("garbage.txt", "".join(f"{r['error']:12} {r['message']}\n" for r in receipts))
        self.assertEqual(self.rows(store, "SELECT * FROM notes"), before)

    def test_half_a_line_at_the_end(self):
        store = self.store()
        whole = ndjson([put(1)]).rstrip("\n")
        self.assertTrue(self.receipts(store, whole)[0]["ok"])
        cut = ndjson([put(1), put(2)])[:-10]
        receipts = self.receipts(store, cut, status=1)
        self.assertEqual([r["ok"] for r in receipts], [True, False])
        self.assertEqual(receipts[1]["line"], 2)

    def test_a_line_over_the_limit_is_refused_and_the_next_is_read(self):
        store = self.store()
        long = b'{"id":"' + b"x" * LINE_MAX + b'"}\n'
        receipts = self.receipts(store, long + ndjson([put(1)]).encode(), status=1)
        self.assertEqual((receipts[0]["error"], receipts[0]["message"]), ("too_big", "line 1 is over 17 MiB"))
        self.assertTrue(receipts[1]["ok"])

    def test_line_ends_of_windows_and_empty_input(self):
        store = self.store()
        self.assertTrue(self.receipts(store, ndjson([put(1)]).replace("\n", "\r\n").encode())[0]["ok"])
        self.assertEqual(self.receipts(store, ""), [])
        self.assertEqual(self.receipts(store, "\n\n"), [])

    def test_a_file_of_commands(self):
        store = self.store()
        with open(self.path("f.ndjson"), "w", encoding="utf-8") as f:
            f.write(ndjson(put(i) for i in range(1, 4)))
        self.assertEqual(len(self.daybook("send", store, "f.ndjson").splitlines()), 3)
        self.assertEqual(len(self.daybook("send", "f.ndjson").splitlines()), 3)
        self.assertIn("cannot read 'nowhere'", self.refused(1, "send", store, "nowhere"))
        self.assertIn("was taken for a file of commands", self.refused(1, "send", "nowhere"))
        self.assertIn("cannot read the commands", self.refused(1, "send", store, "run"))

    def test_quiet_prints_refusals_and_a_summary(self):
        store = self.store()
        done = self.run_program("send", store, "--quiet", input=ndjson([put(1), put(1), dict(put(2), table="x"), put(3)]))
        self.assertEqual(done.returncode, 1)
        self.assertEqual([json.loads(l)["id"] for l in done.stdout.splitlines()], ["c2"])
        self.assertEqual(done.stderr, "4 commands, 3 accepted (1 of them again), 1 refused\n")

    def test_a_single_line_gets_its_receipt_while_the_input_stays_open(self):
        store = self.store()
        with subprocess.Popen([PROGRAM, "send", store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env, cwd=self.dir) as p:
            for i in range(1, 6):
                p.stdin.write(ndjson([put(i)]))
                p.stdin.flush()
                self.assertEqual(json.loads(p.stdout.readline())["id"], f"c{i}")
            p.stdin.close()
            self.assertEqual(p.wait(30), 0)

    def test_a_reader_that_leaves_ends_it_quietly(self):
        store = self.store()
        with open(self.path("f.ndjson"), "w", encoding="utf-8") as f:
            f.write(ndjson(put(i) for i in range(1, 3001)))
        done = subprocess.run(["bash", "-c", f"{PROGRAM} send {store} f.ndjson | head -n 1"], capture_output=True, text=True, env=self.env, cwd=self.dir)
        self.assertEqual(done.stderr, "")
        self.assertTrue(json.loads(done.stdout)["ok"])

    def test_a_line_may_be_an_array(self):
        store = self.store()
        lines = ndjson([put(1)]) + json.dumps([put(2), dict(put(3), table="x"), {"do": "status"}]) + "\n" + ndjson([put(4)]) + "[]\n"
        receipts = self.receipts(store, lines, status=1)
        self.assertEqual([(r.get("id"), r["ok"]) for r in receipts], [("c1", True), ("c2", True), ("c3", False), (None, True), ("c4", True), (None, False)])
        self.assertEqual((receipts[5]["message"], receipts[5]["line"]), ("line 4 is an array of no commands", 4))
        many = [put(i) for i in range(10, 510)]
        self.assertEqual([r["id"] for r in self.receipts(store, json.dumps(many) + "\n" + ndjson([put(5)]))], [c["id"] for c in many] + ["c5"])

    def test_json_over_several_lines_is_told_to_go_on_one(self):
        store = self.store()
        receipts = self.receipts(store, json.dumps(put(1), indent=2) + "\n", status=1)
        self.assertTrue(all(not r["ok"] for r in receipts))
        self.assertEqual(receipts[0]["hint"], "each line is one whole JSON value (NDJSON); 'jq -c .' makes it so")
        self.assertEqual(receipts[0]["line"], 1)

    def test_requests_are_answered_too(self):
        store = self.store(commands=1)
        answers = self.receipts(store, ndjson([{"do": "status"}, {"do": "get", "table": "notes", "key": "n1"}]))
        self.assertTrue(all(a["ok"] for a in answers))
        self.assertEqual(answers[1]["row"]["title"], "title 1")

    def test_big_commands_go_alone(self):
        store = self.store()
        commands = [put(i, title=f"{i}" + "x" * 300000) for i in range(1, 9)]
        self.assertEqual([r["position"] for r in self.receipts(store, ndjson(commands))], list(range(2, 10)))


if __name__ == "__main__":
    unittest.main()
