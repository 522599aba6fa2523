"""script/run plays every example it names, and the README names them all."""
import os
import re
import subprocess
import unittest

from cli_case import PROGRAM, TOP, Case

RUN = os.path.join(TOP, "script", "run")


class Examples(Case):
    def run_script(self, *words):
        env = dict(self.env, DAYBOOK=PROGRAM, TMPDIR=self.dir, NO_COLOR="1")
        return subprocess.run([RUN, *words], capture_output=True, text=True, env=env, timeout=240)

    def test_the_menu_is_what_is_there(self):
        with open(RUN, encoding="utf-8") as f:
            listed = set(re.findall(r"^#.*script/run \[?(\w+)\]?  ", f.read(), re.M))
        there = {n for n in os.listdir(os.path.join(TOP, "examples")) if os.path.exists(os.path.join(TOP, "examples", n, "play.sh"))}
        with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
            told = {"packages", *re.findall(r"`script/run (\w+)`", f.read())}
        self.assertEqual((listed, told), (there, there))
        refused = self.run_script("chess")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("there is no example 'chess'", refused.stderr)

    def test_chat_and_jobs_play_to_the_end(self):
        for words, last in ((("chat", "100"), "commands/s"), (("jobs", "20"), "s in all")):
            done = self.run_script(*words)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn(last, done.stdout.splitlines()[-1])
            self.assertEqual(os.listdir(self.dir), ["run"])

    def test_what_their_pages_say_to_type_works(self):
        os.symlink(os.path.join(TOP, "examples"), self.path("examples"))
        env = dict(self.env, PATH=os.path.dirname(PROGRAM) + os.pathsep + os.environ["PATH"])
        for name in ("chat", "jobs"):
            with open(os.path.join(TOP, "examples", name, "README.md"), encoding="utf-8") as f:
                lines = re.search(r"```\n(.*?)```", f.read(), re.S).group(1).splitlines()
            self.assertGreaterEqual(len(lines), 4)
            for line in lines:
                done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, cwd=self.dir, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, ""), line)


if __name__ == "__main__":
    unittest.main()
