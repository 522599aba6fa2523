"""What `cmake --install` puts down is enough for a program outside the tree."""
import glob
import os
import re
import shutil
import subprocess
import unittest

from cli_case import PROGRAM, TOP, Case

BUILD = os.path.dirname(PROGRAM)


class Install(Case):
    def setUp(self):
        super().setUp()
        subprocess.run(["cmake", "--install", BUILD, "--prefix", self.path("usr")], check=True, capture_output=True)
        self.library = glob.glob(self.path("usr", "**", "libdaybook.so"), recursive=True)[0]
        self.env["PKG_CONFIG_PATH"] = os.path.join(os.path.dirname(self.library), "pkgconfig")
        self.env["LD_LIBRARY_PATH"] = os.path.dirname(self.library)

    def test_exactly_what_the_headers_mark_can_be_seen(self):
        marked = set()
        for header in ("store/daybook.h", "base/result.h", "base/error.h"):
            with open(os.path.join(TOP, header), encoding="utf-8") as f:
                marked |= set(re.findall(r"^DBK_API [^(]*?(dbk_\w+)\(", f.read(), re.M))
        listed = subprocess.run(["nm", "-D", "--defined-only", self.library], check=True, capture_output=True, text=True).stdout
        self.assertEqual({line.split()[2] for line in listed.splitlines()}, marked)

    def test_a_program_builds_with_pkg_config_and_runs(self):
        with open(os.path.join(TOP, "examples", "embed", "embed.c"), encoding="utf-8") as f:
            source = f.read().replace('"store/daybook.h"', "<daybook.h>")
        with open(self.path("embed.c"), "w", encoding="utf-8") as f:
            f.write(source)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "daybook"], check=True, capture_output=True, text=True, env=self.env).stdout.split()
        subprocess.run(["cc", "-std=c11", "embed.c", "-o", "embed", *flags], check=True, cwd=self.dir)
        schema = os.path.join(TOP, "examples", "embed", "schema.sql")
        done = subprocess.run([self.path("embed"), "notes.daybook", schema], check=True, cwd=self.dir, env=self.env, capture_output=True, text=True)
        self.assertIn('"rows":[["n1","Hello"]]', done.stdout)

    def test_the_other_files_are_in_their_places(self):
        for pattern in ("bin/daybook", "share/man/man1/daybook.1", "share/bash-completion/completions/daybook", "include/daybook/daybook.h",
                        "**/cmake/daybook/daybook-config.cmake", "**/libdaybook.a"):
            self.assertTrue(glob.glob(self.path("usr", pattern), recursive=True), pattern)


if __name__ == "__main__":
    for tool in ("cmake", "nm", "cc", "pkg-config"):
        assert shutil.which(tool), tool
    unittest.main()
