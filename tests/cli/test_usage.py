"""Help, options and everything that is refused before a store is touched."""
import os
import re
import unittest

from cli_case import APP, TOP, Case

LATER = """upgrade undo set get unset reset secret key erase snapshot restore sync types
export import bench metrics""".split()


class Usage(Case):
    def commands(self):
        return [c for c in re.findall(r"^  ([a-z]+) ", self.daybook("help"), re.M) if c not in ("help", "version")]

    def options(self, command):
        return re.findall(r"^  (?:-\w, )?--([a-z-]+)", self.daybook("help", command), re.M)

    def test_help_of_everything_is_as_agreed(self):
        names = self.commands()
        self.assertGreaterEqual(len(names), 17)
        self.transcript("help.txt", [("help",)] + [("help", n) for n in names])

    def test_every_way_to_ask_for_help_is_the_same(self):
        self.assertEqual(self.daybook("help"), self.daybook("--help"))
        self.assertEqual(self.daybook("help"), self.daybook("-h"))
        for name in self.commands():
            text = self.daybook("help", name)
            self.assertEqual(text, self.daybook(name, "--help"))
            self.assertEqual(text, self.daybook(name, "x", "-h"))
            self.assertIn(f"$ daybook {name}", text)

    def test_man_page_and_completion_know_every_command_and_option(self):
        with open(os.path.join(TOP, "docs", "man", "daybook.1"), encoding="utf-8") as f:
            man = f.read().replace("\\-", "-").replace("\\&", "")
        with open(os.path.join(TOP, "cli", "completion", "daybook.bash"), encoding="utf-8") as f:
            bash = f.read()
        listed = re.search(r'local commands="([^"]*)"', bash).group(1).split()
        self.assertEqual(listed, self.commands() + ["help", "version"])
        sections = dict(re.findall(r"^\.SS (\w+)\n(.*?)(?=^\.S)", man, re.M | re.S))
        for name in self.commands():
            words = re.search(rf'^ +{name}\) options="([^"]*)"', bash, re.M).group(1).split()
            self.assertEqual(sorted(words), sorted("--" + o for o in self.options(name)), name)
            for option in self.options(name):
                self.assertRegex(sections[name], rf"--{option}\b", name)

    def test_completion_is_shell_that_completes(self):
        import subprocess
        script = f'. {TOP}/cli/completion/daybook.bash; COMP_WORDS=(daybook fin); COMP_CWORD=1; _daybook; echo "${{COMPREPLY[@]}}"'
        self.assertEqual(subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.strip(), "fingerprint")
        script = f'. {TOP}/cli/completion/daybook.bash; COMP_WORDS=(daybook query --or); COMP_CWORD=2; _daybook; echo "${{COMPREPLY[@]}}"'
        self.assertEqual(subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.strip(), "--order-time")

    def test_version(self):
        self.assertRegex(self.daybook("version"), r"^daybook \d+\.\d+\.\d+\n$")
        self.assertEqual(self.daybook("version"), self.daybook("--version"))

    def test_without_a_command_the_help_goes_to_stderr(self):
        self.assertIn("usage: daybook COMMAND", self.refused(2))

    def test_what_a_later_version_brings_is_refused_by_name(self):
        for name in LATER:
            self.assertIn(f"'{name}' comes with a later version", self.refused(2, name, "x"))

    def test_wrong_usage_of_every_command(self):
        self.transcript("usage.txt", [
            ("qery",), ("xyzzy",), ("help", "fingerprnt"), ("--frobnicate",),
            ("init",), ("init", "a"), ("init", "a", "--app"), ("init", "a", "--ap=x"), ("init", "a", "b", "--app", APP),
            ("init", "--json=yes", "a"),
            ("check",), ("check", "a", "b"), ("check", "-x"),
            ("serve", "a", "--web", "127.0.0.1:1"), ("serve", "ipc://x"), ("serve", "a", "--listen", "tcp://x"), ("serve", "a", "b"),
            ("send", "a", "b", "c"), ("send", "--silent"),
            ("query", "--json", "--csv", "a", "SELECT 1"), ("query", "a"), ("query", "a", "SELECT 1", "--at", "yesterday"),
            ("query", "a", "SELECT 1", "--at", "0"), ("query", "a", "SELECT 1", "--order-time", "17"), ("query", "a", "SELECT 1", "x"),
            ("query", "a", "SELECT 1", "--at", "99999999999999999999"),
            ("log", "head"), ("log", "a", "b"), ("log", "a", "--from", "x"), ("log", "a", "--to", "-1"), ("log", "-f=1"),
            ("history", "a"), ("history", "a", "notes", "n1", "x"), ("history", "a", "notes", "n1", "--limit", "x"),
            ("explain",), ("explain", "a", "b"), ("diff", "a"), ("diff", "a", "--from", "x"), ("diff", "a", "--from", "1", "--to", "y"),
            ("watch", "a", "b"), ("watch", "--tabel", "x"),
            ("inbox", "a", "forget", "1"), ("inbox", "a", "apply"), ("inbox", "a", "apply", "1", "2"),
            ("replay", "a"), ("replay", "a", "--into", "x", "--to", "never"), ("replay", "ipc://x", "--into", "x"),
            ("rebuild", "a", "other"), ("rebuild", "a", "main", "x"),
            ("fingerprint", "a", "--at", "2026-13-01T00:00:00Z"), ("fingerprint", "a", "b"),
            ("verify", "a", "--depth", "deep"), ("verify", "ipc://x"),
            ("stats", "a", "b"), ("doctor", "ipc://x"), ("doctor", "a", "b"),
        ])

    def test_no_store_named_and_none_here(self):
        for args in (("serve",), ("query", "SELECT 1"), ("log",), ("watch",), ("inbox",), ("replay", "--into", "x"), ("rebuild",),
                     ("fingerprint",), ("verify",), ("stats",), ("send",)):
            self.assertIn("no store is named and none is here", self.refused(2, *args))

    def test_words_behind_two_dashes_are_no_options(self):
        self.assertIn("'--a' is no store", self.refused(3, "stats", "--", "--a") .replace("cannot open directory '--a': no such file or directory", "'--a' is no store"))


if __name__ == "__main__":
    unittest.main()
