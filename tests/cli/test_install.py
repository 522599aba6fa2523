"""What `cmake --install` puts down is enough for a program outside the tree."""
import glob
import os
import re
import shutil
import subprocess
import unittest

from cli_case import PROGRAM, TOP, Case

BUILD = os.path.dirname(PROGRAM)
EXAMPLE = os.path.join(TOP, "examples", "embed")
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(daybook 0.1 REQUIRED)
foreach(kind shared static)
  add_executable(c_${kind} EXAMPLE/embed.c)
  add_executable(cpp_${kind} EXAMPLE/embed.cpp)
endforeach()
target_link_libraries(c_shared PRIVATE daybook::daybook)
target_link_libraries(cpp_shared PRIVATE daybook::daybook)
target_link_libraries(c_static PRIVATE daybook::daybook_static)
target_link_libraries(cpp_static PRIVATE daybook::daybook_static)
"""


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

    def tool(self, *args, **more):
        done = subprocess.run(args, capture_output=True, text=True, cwd=more.pop("cwd", self.dir), env=self.env, **more)
        self.assertEqual(done.returncode, 0, f"{args}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def runs(self, program):
        store = os.path.basename(program) + ".daybook"
        self.assertIn('"ok":true', self.tool(program, store, os.path.join(EXAMPLE, "schema.sql")))

    def test_the_examples_build_with_pkg_config_and_run(self):
        flags = self.tool("pkg-config", "--cflags", "--libs", "daybook").split()
        self.tool("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", os.path.join(EXAMPLE, "embed.c"), "-o", "embed", *flags)
        self.tool("c++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", os.path.join(EXAMPLE, "embed.cpp"), "-o", "embed_cpp", *flags)
        self.runs(self.path("embed"))
        self.runs(self.path("embed_cpp"))
        libs = self.tool("pkg-config", "--static", "--libs", "daybook").split()
        archive = glob.glob(self.path("usr", "**", "libdaybook.a"), recursive=True)[0]
        self.tool("cc", os.path.join(EXAMPLE, "embed.c"), "-o", "embed_static", flags[0], *[archive if f == "-ldaybook" else f for f in libs])
        self.runs(self.path("embed_static"))
        self.assertNotIn("libdaybook", self.tool("ldd", self.path("embed_static")))

    def test_pkg_config_tells_where_the_tree_stands_and_nothing_of_ours(self):
        for place in ("usr", "moved"):
            if place == "moved":
                os.rename(self.path("usr"), self.path("moved"))
                self.env["PKG_CONFIG_PATH"] = self.env["PKG_CONFIG_PATH"].replace(self.path("usr"), self.path("moved"))
            flags = self.tool("pkg-config", "--cflags", "--libs", "daybook").split()
            self.assertEqual([f[:2] for f in flags], ["-I", "-L", "-l"], flags)
            self.assertEqual(os.path.realpath(flags[0][2:]), self.path(place, "include", "daybook"))
            self.assertTrue(os.path.exists(os.path.join(flags[1][2:], "libdaybook.so")))

    def test_the_cmake_package_serves_both_languages_and_both_libraries(self):
        os.mkdir(self.path("project"))
        with open(self.path("project", "CMakeLists.txt"), "w", encoding="utf-8") as f:
            f.write(PROJECT.replace("EXAMPLE", EXAMPLE))
        self.tool("cmake", "-S", "project", "-B", "out", f"-DCMAKE_PREFIX_PATH={self.path('usr')}")
        self.tool("cmake", "--build", "out")
        for name in ("c_shared", "cpp_shared", "c_static", "cpp_static"):
            linked = "libdaybook.so" in self.tool("ldd", self.path("out", name))
            self.assertEqual(linked, name.endswith("shared"))
            self.runs(self.path("out", name))

    def test_no_installed_text_names_the_place_where_it_was_built(self):
        for file in glob.glob(self.path("usr", "**", "*.*"), recursive=True):
            if file.endswith((".pc", ".cmake", ".h", ".1")):
                with open(file, encoding="utf-8") as f:
                    self.assertNotIn(TOP, f.read(), file)

    def test_to_build_the_program_is_to_build_all_that_is_installed(self):
        inputs = self.tool("ninja", "-C", BUILD, "-t", "inputs", "daybook")
        self.assertIn("libdaybook.a", inputs)
        self.assertIn("libdaybook.so", inputs)

    def test_the_other_files_are_in_their_places(self):
        for pattern in ("bin/daybook", "share/man/man1/daybook.1", "share/bash-completion/completions/daybook", "include/daybook/daybook.h",
                        "**/cmake/daybook/daybook-config.cmake", "**/libdaybook.a"):
            self.assertTrue(glob.glob(self.path("usr", pattern), recursive=True), pattern)


if __name__ == "__main__":
    for tool in ("cmake", "nm", "cc", "c++", "ldd", "ninja", "pkg-config"):
        assert shutil.which(tool), tool
    unittest.main()
