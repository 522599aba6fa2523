"""Every block of docs/guide is true: files are written, commands are typed, and what they print is what the page shows.

A page stands alone: its blocks run in order, in one shell, in an empty folder. A block of sql or json is the
file that the line above it names: "`notes/schema.sql`:", or with "Add to" before it, what comes at its end; one
without a name is only to be read, and must stand on the page as it is in a file. In a block of sh, "$ " begins
a command and "> " goes on with it. The lines below must be what it prints: "…" stands for any text of a line, a
line of "…" alone for any lines, an object for one that has these members. A command fails exactly where the
page shows a "daybook: ", an "ok":false or faults. A command that shows `ready` last goes on while the page does."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from cli_case import PROGRAM, TOP, Case

GUIDE = os.path.join(TOP, "docs", "guide")
RECOVERY = os.path.join(TOP, "docs", "recovery.md")
END = "== the command has ended: "


class Block:
    def __init__(self, page, line, kind, above, text):
        self.place, self.kind, self.text = f"{page}:{line}", kind, text
        named = re.search(r"(Add to )?`([\w./-]+)`:$", above)
        self.file = named.group(2) if named else None
        self.adds = bool(named and named.group(1))

    def steps(self):
        """Of a shell block: command, lines shown."""
        found = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif line.startswith("> ") and found and not found[-1][1]:
                found[-1][0] += "\n" + line[2:]
            else:
                assert found, f"{self.place}: a block of sh begins with a command"
                found[-1][1].append(line)
        return found


def blocks(name, text):
    found, above, lines = [], "", text.splitlines()
    at = 0
    while at < len(lines):
        fence = re.match(r"```(\w*)$", lines[at])
        if fence:
            end = lines.index("```", at + 1)
            found.append(Block(name, at + 1, fence.group(1), above, "\n".join(lines[at + 1:end]) + "\n"))
            at = end
        elif lines[at].strip():
            above = lines[at].strip()
        at += 1
    return found


def has(shown, got):
    """Every member shown is there; text may leave things out with …"""
    if isinstance(shown, dict):
        return isinstance(got, dict) and all(k in got and has(v, got[k]) for k, v in shown.items())
    if isinstance(shown, list):
        return isinstance(got, list) and len(shown) == len(got) and all(map(has, shown, got))
    if isinstance(shown, str) and isinstance(got, str):
        return re.fullmatch(re.escape(shown).replace("…", ".*"), got) is not None
    return type(shown) is type(got) and shown == got


def same_line(shown, got):
    if shown.startswith("{"):
        try:
            return has(json.loads(shown), json.loads(got))
        except ValueError:
            pass
    squeeze = lambda text: re.sub(r"\s+", " ", text.rstrip())
    return re.fullmatch(re.escape(squeeze(shown)).replace("…", ".*"), squeeze(got)) is not None


def same(shown, got):
    if not shown:
        return not got
    if shown[0].strip() == "…":
        return any(same(shown[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and same_line(shown[0], got[0]) and same(shown[1:], got[1:])


class Shell:
    """One bash for a whole page."""

    def __init__(self, case):
        bin = os.path.dirname(PROGRAM)
        env = dict(case.env, PATH=bin + os.pathsep + os.environ["PATH"])
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, cwd=case.folder, env=env)
        self.case, self.env, self.kept = case, env, []

    def run(self, command):
        """What it printed, and its exit status."""
        self.process.stdin.write(f"{{ {command}\n}} </dev/null\necho \"{END}$?\"\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            before, mark, status = line.rstrip("\n").partition(END)
            if before or not mark:
                lines.append(before)
            if mark:
                return lines, int(status)
        raise AssertionError(f"the shell ended in: {command}")

    def keep(self, command):
        process = subprocess.Popen(["bash", "-c", "exec " + command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   cwd=self.case.folder, env=self.env)
        self.kept.append(process)
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] == "ready":
                break
        return lines

    def close(self):
        for process in self.kept:
            process.terminate()
            process.communicate(timeout=60)
        self.process.communicate(timeout=60)


class Guide(Case):
    def setUp(self):
        super().setUp()
        self.folder = self.path("page")

    def write(self, block):
        path = os.path.join(self.folder, block.file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a" if block.adds else "w", encoding="utf-8") as f:
            f.write(("\n" if block.adds else "") + block.text)

    def read_only(self, block):
        """Shown again for talking about it: it has to be part of a file that the page wrote."""
        squeeze = lambda text: re.sub(r"\s+", " ", text).strip()
        texts = []
        for folder, _, files in os.walk(self.folder):
            texts += [open(os.path.join(folder, f), encoding="utf-8").read() for f in files if f.endswith((".sql", ".json"))]
        self.assertTrue(any(squeeze(block.text) in squeeze(t) for t in texts), f"{block.place} is in no file of the page")

    def run_step(self, place, shell, command, shown):
        if shown and shown[-1] == "ready":
            got, status = shell.keep(command), 0
        else:
            got, status = shell.run(command)
        fails = any(l.startswith("daybook: ") or '"ok":false' in l or re.fullmatch(r"\d+ faults?", l) for l in shown)
        told = f"\n{place}: $ {command}\n--- shown\n" + "\n".join(shown) + f"\n--- printed [{status}]\n" + "\n".join(got)
        if not same(shown, got) or (status != 0) != fails:
            raise AssertionError(told)

    def play(self, name, text):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        shell = Shell(self)
        try:
            for block in blocks(name, text):
                if block.kind in ("sql", "json", "txt") and block.file:
                    self.write(block)
                elif block.kind in ("sql", "json"):
                    self.read_only(block)
                elif block.kind == "sh":
                    for command, shown in block.steps():
                        self.run_step(block.place, shell, command, shown)
                else:
                    raise AssertionError(f"{block.place}: a block of '{block.kind}' proves nothing")
        finally:
            shell.close()

    def test_every_page_is_true(self):
        pages = sorted(f for f in os.listdir(GUIDE) if f.endswith(".md") and f != "README.md")
        self.assertTrue(pages)
        for name in pages:
            with self.subTest(page=name), open(os.path.join(GUIDE, name), encoding="utf-8") as f:
                text = f.read()
                self.assertIn("```sh", text)
                self.play(name, text)

    def test_the_page_for_trouble_is_true(self):
        with open(RECOVERY, encoding="utf-8") as f:
            self.play("recovery.md", f.read())

    def test_what_doctor_says_is_what_the_page_for_trouble_explains(self):
        """Each advice that the program can give has its line, and each line is an advice."""
        with open(RECOVERY, encoding="utf-8") as f:
            table = f.read().split("## What doctor says")[1].split("\n## ")[0]
        explained = re.findall(r"^\| `([^`]+)` \|", table, re.M)
        sources = ""
        for name in ("cli/cmd_doctor.c", "store/location.c"):
            with open(os.path.join(TOP, name), encoding="utf-8") as f:
                sources += re.sub(r'"\s*\n\s*"', "", f.read())
        for text in explained:
            for part in text.split(": "):
                self.assertIn(part.removeprefix("commands "), sources, text)
        self.assertEqual(len(re.findall(r"\badvise\(\s*r,\s*\"", sources)) + 4, len(explained))   # two levels of room, two places

    def test_the_contents_name_every_page_in_order(self):
        with open(os.path.join(GUIDE, "README.md"), encoding="utf-8") as f:
            named = re.findall(r"\(([\w-]+\.md)\)", f.read())
        self.assertEqual(named, sorted((f for f in os.listdir(GUIDE) if f != "README.md"), key=lambda f: int(f.split("-")[0])))

    LIES = [
        ("made store 'notes.daybook'", "made store 'other.daybook'"),
        ('"ok":true,"position":2', '"ok":true,"position":3'),
        ('"title":"Hello"', '"title":"Goodbye"'),
        ("n1 Hello", "n1 Hullo"),
        ("n1 Hello", ""),
        ("is good", "is bad"),
        ("$ daybook check notes\n", "$ daybook check nots\n"),
        ("id TEXT PRIMARY KEY", "id TEXT"),
        ('"error":"not_found"', '"error":"denied"'),
        ('"ok":false', '"ok":true'),
    ]
    TRUE = ("`notes/schema.sql`:\n\n```sql\nCREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT);\n```\n\n"
            "```sh\n$ daybook check notes\n'notes' is good: …\n$ daybook init notes.daybook --app notes\nmade store 'notes.daybook'\n"
            "$ daybook send notes.daybook <<'END'\n"
            '> {"id":"1","do":"put","table":"notes","key":"n1","data":{"title":"Hello"}}\n> END\n'
            '{"ok":true,"position":2}\n'
            "$ daybook query notes.daybook 'SELECT * FROM notes'\n…\nn1 Hello\n"
            "$ echo '{\"id\":\"2\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n2\"}' | daybook send notes.daybook\n"
            '{"ok":false,"error":"not_found"}\n```\n')

    def test_a_lie_is_seen(self):
        self.play("true", self.TRUE)
        for old, new in self.LIES:
            with self.subTest(lie=new):
                lie = self.TRUE.replace(old, new)
                self.assertNotEqual(lie, self.TRUE)
                with self.assertRaises(AssertionError):
                    self.play("lie", lie)


if __name__ == "__main__":
    unittest.main()
