"""Help, options and everything that is refused before a store is touched."""
import os
import re
import unittest

from cli_case import APP, TOP, Case

LATER = """secret key erase snapshot restore sync
export metrics""".split()


class Usage(Case):
    def commands(self):
        return [c for c in re.findall(r"^  ([a-z]+) ", self.daybook("help"), re.M)]

    def options(self, command):
        return re.findall(r"^  (?:-\w, )?--([a-z-]+)", self.daybook("help", command), re.M)

    def test_help_of_everything_is_as_agreed(self):
        names = self.commands()
        self.assertGreaterEqual(len(names), 20)
        self.transcript("help.txt", [("help",)] + [("help", n) for n in names])

    def test_every_way_to_ask_for_help_is_the_same(self):
        self.assertEqual(self.daybook("help"), self.daybook("--help"))
        self.assertEqual(self.daybook("help"), self.daybook("-h"))
        for name in self.commands():
            text = self.daybook("help", name)
            self.assertEqual(text, self.daybook(name, "--help"))
            self.assertEqual(text, self.daybook(name, "x", "-h"))
            self.assertRegex(text, rf"(?m)^examples\n  \$ daybook {name}\b")

    def test_completion_knows_every_command_and_option(self):
        with open(os.path.join(TOP, "cli", "completion", "daybook.bash"), encoding="utf-8") as f:
            bash = f.read()
        listed = re.search(r'local commands="([^"]*)"', bash).group(1).split()
        self.assertEqual(listed, self.commands())
        for name in self.commands():
            words = re.search(rf'^ +{name}\) options="([^"]*)"', bash, re.M).group(1).split()
            self.assertEqual(sorted(words), sorted("--" + o for o in self.options(name)), name)

    def man_section(self, name):
        """The command's section of the man page, made of its help."""
        def roff(text):
            text = text.replace("\\", "\\e").replace("-", "\\-")
            return "\\&" + text if text[:1] in (".", "'") else text
        head, usage, *middle, options, examples = re.split(r"\n\n", self.daybook("help", name).rstrip("\n"))
        summary = head.split(": ", 1)[1]
        words = usage.split(" ", 3)
        out = [f".SS {name}", f".B daybook {name}", *[roff(w) for w in words[3:]], ".PP", roff(summary[0].upper() + summary[1:] + ".")]
        out += [roff(line) for part in middle for line in part.splitlines()]
        for line in options.splitlines()[1:]:
            option, text = re.fullmatch(r"  (.*?)  +(.*)", line).groups()
            flags, _, value = re.fullmatch(r"((?:-\w, )?--[a-z-]+)( (.*))?", option).groups()
            out += [".TP", f".B {roff(flags)}" + (f" \\fI{roff(value)}\\fR" if value else ""), roff(text)]
        out += [".PP", ".nf", *[roff(line[2:]) for line in examples.splitlines()[1:]], ".fi"]
        return "\n".join(out) + "\n"

    def test_the_man_page_says_what_the_help_says(self):
        path = os.path.join(TOP, "docs", "man", "daybook.1")
        with open(path, encoding="utf-8") as f:
            page = f.read()
        before, _, rest = page.partition(".SH COMMANDS\n")
        after = rest[rest.index(".SH EXIT STATUS\n"):]
        made = before + ".SH COMMANDS\n" + "".join(self.man_section(name) for name in self.commands()) + after
        if os.environ.get("DAYBOOK_GOLDEN") == "write":
            with open(path, "w", encoding="utf-8") as f:
                f.write(made)
            page = made
        self.assertEqual(page, made, "docs/man/daybook.1; DAYBOOK_GOLDEN=write makes it anew")

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
            ("qery",), ("xyzzy",), ("help", "fingerprnt"), ("help", "help", "x"), ("version", "x"), ("--frobnicate",),
            ("init",), ("init", "a"), ("init", "--json"), ("qery", "--json"), ("stats", "--jsn", "--json"), ("init", "a", "--app"), ("init", "a", "--ap=x"), ("init", "a", "b", "--app", APP),
            ("init", "--json=yes", "a"),
            ("check",), ("check", "a", "b"), ("check", "-x"),
            ("serve", "a", "--web", "127.0.0.1:1"), ("serve", "ipc://x"), ("serve", "a", "--listen", "tcp://x"), ("serve", "a", "b"),
            ("send", "a", "b", "c"), ("send", "--silent"),
            ("query", "--json", "--csv", "a", "SELECT 1"), ("query", "a"), ("query", "a", "SELECT 1", "--at", "yesterday"),
            ("query", "a", "SELECT 1", "--at", "0"), ("query", "a", "SELECT 1", "--at", ""), ("query", "a", "SELECT 1", "--at", "1969-12-31"),
            ("query", "a", ""), ("query", "a", " ; "), ("query", "a", "--name", ""), ("query", "a", "SELECT 1", "=1"), ("query", "a", "SELECT 1", "--order-time", "17"), ("query", "a", "SELECT 1", "x"),
            ("query", "a", "SELECT 1", "--at", "99999999999999999999"),
            ("log", "head"), ("log", "a", "b"), ("log", "a", "--from", "x"), ("log", "a", "--to", "-1"), ("log", "-f=1"),
            ("history", "a"), ("history", "a", "notes", "n1", "x"), ("history", "a", "notes", "n1", "--limit", "x"),
            ("explain",), ("explain", "a", "b"), ("diff", "a"), ("diff", "a", "--from", "x"), ("diff", "a", "--from", "1", "--to", "y"),
            ("upgrade", "a"), ("undo", "a"), ("undo", "a", "b"), ("undo",),
            ("watch", "a", "b"), ("watch", "--tabel", "x"),
            ("inbox", "a", "forget", "1"), ("inbox", "a", "aply", "1"), ("inbox", "a", "apply"), ("inbox", "a", "apply", "1", "2"),
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
