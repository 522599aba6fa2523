"""Tests that others wrote, from folders that are not part of this tree; without a folder its part is skipped.

DAYBOOK_JSON_SUITE    nst/JSONTestSuite: every file of test_parsing/ as a value that `daybook send` puts, and read back
DAYBOOK_SCHEMA_SUITE  json-schema-org/JSON-Schema-Test-Suite: every schema of tests/draft7 as an app's, its values by `send`

Both print what they counted. (Parser and validator alone, without the program: json_suite and schema_suite.)"""
import collections
import glob
import json
import os
import unittest

from cli_case import Case

JSON_SUITE = os.environ.get("DAYBOOK_JSON_SUITE")
SCHEMA_SUITE = os.environ.get("DAYBOOK_SCHEMA_SUITE")
# Taken or refused, RFC 8259 leaves open; Daybook refuses them (docs/commands.md, bad_json).
DOUBLE = ("y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json")


def show(title, counts):
    print(f"\n{title}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


@unittest.skipUnless(JSON_SUITE, "DAYBOOK_JSON_SUITE names no folder with JSONTestSuite")
class JsonSuite(Case):
    def test_every_file_as_a_value_that_is_put(self):
        with open(self.path("s.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE docs(id TEXT PRIMARY KEY NOT NULL, body JSON);")
        self.daybook("init", "j.daybook", "--app", "s.sql")
        names = sorted(glob.glob(os.path.join(JSON_SUITE, "test_parsing", "*.json")))
        self.assertGreater(len(names), 300)
        lines, texts = [], []
        for number, name in enumerate(names):
            with open(name, "rb") as f:
                texts.append(f.read())
            # A line is one value, so ends of lines go; inside a string one is wrong, and stays so.
            inside = "unescaped_newline" in name
            text = texts[-1].replace(b"\n", b"\x01" if inside else b" ")
            lines.append(b'{"id":"c%d","do":"put","table":"docs","key":"k%d","data":{"body":%s}}\n' % (number, number, text))
        receipts = self.receipts("j.daybook", b"".join(lines), status=1)
        self.assertEqual(len(receipts), len(names))
        counts, wrong = collections.Counter(), []
        for name, receipt in zip(map(os.path.basename, names), receipts):
            counts[f"{name[0]} {'taken' if receipt['ok'] else receipt['error']}"] += 1
            if name[0] in "yn" and receipt["ok"] != (name[0] == "y" and name not in DOUBLE):
                wrong.append((name, receipt))
            if not receipt["ok"] and (receipt["error"] not in ("bad_json", "too_big") or ": byte " not in receipt["message"]):
                wrong.append((name, receipt))
        show("JSONTestSuite", counts)
        self.assertEqual(wrong, [])
        self.read_back(texts, receipts)
        self.daybook("verify", "j.daybook")

    def read_back(self, texts, receipts):
        kept = [i for i, receipt in enumerate(receipts) if receipt["ok"] and texts[i].strip() != b"null"]
        asked = "".join(json.dumps({"do": "get", "table": "docs", "key": f"k{i}"}) + "\n" for i in kept)
        exact = {"parse_int": str, "parse_float": str}  # number text is content
        out = [json.loads(line, **exact) for line in self.daybook("send", "j.daybook", input=asked).strip().split("\n")]
        for i, answer in zip(kept, out):
            self.assertEqual(answer["row"]["body"], json.loads(texts[i], **exact), texts[i])


@unittest.skipUnless(SCHEMA_SUITE, "DAYBOOK_SCHEMA_SUITE names no folder with JSON-Schema-Test-Suite")
class SchemaSuite(Case):
    """One app: a type of event for each schema that `check` takes; a value is the member `v` of what is appended."""

    def setUp(self):
        super().setUp()
        os.makedirs(self.path("app", "schemas"))
        with open(self.path("app", "schema.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL);")
        with open(self.path("app", "app.json"), "w", encoding="utf-8") as f:
            f.write('{"daybook":1,"name":"suite"}')

    def schema_file(self, name, schema):
        path = self.path("app", "schemas", name + ".json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(schema, f)
        return path

    def groups(self):
        for name in sorted(glob.glob(os.path.join(SCHEMA_SUITE, "tests", "draft7", "*.json"))):
            with open(name, encoding="utf-8") as f:
                for number, group in enumerate(json.load(f)):
                    yield os.path.basename(name)[:-5], number, group

    def test_every_schema_of_draft_7(self):
        counts, taken, lines, wanted = collections.Counter(), 0, [], []
        for keyword, number, group in self.groups():
            # The suite's schema judges the member: at its own place its pointers and ids stay what they are.
            name = f"{keyword.replace('-', '_')}.x{number}"
            schema = group["schema"]
            if isinstance(schema, dict) and any(word in json.dumps(schema) for word in ("$ref", "$id")):
                counts["skipped: its pointers begin at the root (schema_suite runs it)"] += len(group["tests"])
                continue
            path = self.schema_file(name, {"properties": {"v": schema}})
            said = self.run_program("check", "app")
            if said.returncode:
                self.assertEqual(said.returncode, 1)
                self.assertIn(" is not checked here", said.stdout + said.stderr)
                counts["refused by check, by name"] += len(group["tests"])
                os.unlink(path)
                continue
            taken += 1
            for test in group["tests"]:
                lines.append({"id": f"c{len(lines)}", "do": "append", "stream": "s", "type": name, "data": {"v": test["data"]}})
                wanted.append((keyword, group["description"], test))
        self.assertGreater(taken, 150)
        self.daybook("init", "s.daybook", "--app", "app")
        receipts = self.receipts("s.daybook", "".join(json.dumps(line) + "\n" for line in lines), status=1)
        wrong = []
        for (keyword, about, test), receipt in zip(wanted, receipts):
            if not receipt["ok"] and receipt["error"] != "schema":
                counts["never judged: " + receipt["error"]] += 1
            elif receipt["ok"] != test["valid"] and keyword != "format":
                wrong.append((keyword, about, test, receipt))
            elif receipt["ok"] != test["valid"]:
                counts["formats that judge, where the suite has them as notes"] += 1
            else:
                counts["right"] += 1
        show("JSON-Schema-Test-Suite, draft 7", counts)
        self.assertEqual(wrong, [])
        self.assertGreater(counts["right"], 600)


if __name__ == "__main__":
    unittest.main(verbosity=2)
