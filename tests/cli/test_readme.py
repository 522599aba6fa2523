"""What README.md tells to type does what it shows."""
import os
import re
import subprocess
import unittest

from cli_case import PROGRAM, TOP, Case


class Readme(Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
            self.text = f.read()

    def test_the_backend_in_one_file(self):
        section = self.text[self.text.index("## A backend in one file"):]
        with open(self.path("schema.sql"), "w", encoding="utf-8") as f:
            f.write(re.search(r"```sql\n(.*?)```", section, re.S).group(1))
        os.makedirs(self.path("build"))
        os.symlink(os.path.dirname(PROGRAM), self.path("build", "release"))
        shell = re.search(r"```\n(\$ .*?)```", section, re.S).group(1)
        path = f"export PATH={self.path('build', 'release')}:$PATH; "
        steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", shell, re.M)
        self.assertGreaterEqual(len(steps), 6)
        for command, shown in steps:
            done = subprocess.run(["bash", "-c", path + command], capture_output=True, text=True, cwd=self.dir, env=self.env)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            if shown:
                self.assertRegex(done.stdout, "^" + re.escape(shown).replace("…", ".*") + "$")

    def test_every_command_it_names_is_one(self):
        known = set(re.findall(r"^  ([a-z]+) ", self.daybook("help"), re.M))
        for name in re.findall(r"daybook ([a-z]+)", re.sub(r"```.*?```", "", self.text, flags=re.S)):
            if name not in ("notes", "lib"):
                self.assertTrue(name in known or f"`daybook {name}" not in self.text, name)

    def test_every_file_it_names_is_there(self):
        for name in re.findall(r"`((?:docs|script|examples|base)/[\w./-]*)`", self.text):
            if name != "base/port_darwin.c":  # is to be written
                self.assertTrue(os.path.exists(os.path.join(TOP, name)), name)


if __name__ == "__main__":
    unittest.main()
