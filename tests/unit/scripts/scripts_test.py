"""What scripts/tally counts, scripts/tidy finds and scripts/hardening reads: CI believes these three."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import platform
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class Tally(unittest.TestCase):
    def count(self, cases):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(f"<testsuite>{cases}</testsuite>")
            file.flush()
            return load("tally").count(file.name)[:3]

    def test_doctest_cases_are_counted_one_by_one(self):
        out = "<system-out>[doctest] test cases:  7 |  5 passed | 2 failed | 1 skipped</system-out>"
        self.assertEqual(self.count(f'<testcase name="a" status="fail"><failure/>{out}</testcase>'), (5, 2, 1))

    def test_a_crash_after_the_last_good_case_is_a_failure(self):
        out = "<system-out>[doctest] test cases: 7 | 7 passed | 0 failed | 0 skipped\nERROR: LeakSanitizer</system-out>"
        self.assertEqual(self.count(f'<testcase name="a" status="fail"><failure/>{out}</testcase>'), (7, 1, 0))

    def test_others_count_as_one(self):
        self.assertEqual(
            self.count(
                '<testcase name="a"/><testcase name="b"><error/></testcase><testcase name="c"><skipped/></testcase>'
            ),
            (1, 1, 1),
        )

    def test_nothing_run_is_not_success(self):
        tally = load("tally")
        tally.sys.argv = ["tally", "x=/nonexistent"]
        with contextlib.redirect_stdout(io.StringIO()) as words:
            self.assertEqual(tally.main(), 1)
        self.assertIn("0 passed, 1 failed", words.getvalue())


class Tidy(unittest.TestCase):
    def found(self, path, text):
        tidy = load("tidy")
        code = tidy.strip_comments(text)
        tidy.check_words(path, code)
        tidy.check_includes(path, code)
        tidy.check_opening(path, text)
        return tidy.problems

    def test_banned_words_in_code_only(self):
        self.assertEqual(len(self.found("lib/net/a.cc", "// a: delete, new and throw\nvoid f() { delete a; }\n")), 1)
        self.assertEqual(
            self.found(
                "lib/net/a.cc", '// a\nA(const A&) = delete;\nauto s = "new throw";\nint x = 1\'000; new (at) T;\n'
            ),
            [],
        )

    def test_foreign_headers_stay_where_they_belong(self):
        self.assertEqual(self.found("lib/net/a.cc", "// a\n#include <uv.h>\n"), [])
        self.assertEqual(len(self.found("lib/http/a.cc", "// a\n#include <uv.h>\n#include <openssl/ssl.h>\n")), 2)
        self.assertEqual(len(self.found("lib/http1/writer.cc", "// a\n#include <llhttp.h>\n")), 1)

    def test_two_files_know_versions(self):
        text = '// a\n#include "http1/client_session.h"\n'
        self.assertEqual(self.found("lib/upstream/connector.cc", text), [])
        self.assertEqual(len(self.found("lib/upstream/pool.cc", text)), 1)

    def test_a_header_has_pragma_once_and_an_opening(self):
        self.assertEqual(len(self.found("lib/net/a.h", "#include <string>\n")), 2)

    def test_lines_are_of_120_columns_at_most(self):
        tidy = load("tidy")
        tidy.check_columns("lib/net/a.cc", "/" * 120 + "\n" + "é" * 120 + "\n")
        self.assertEqual(tidy.problems, [])
        tidy.check_columns("lib/net/a.cc", "// a\n" + "/" * 121 + "\n")
        self.assertEqual(len(tidy.problems), 1)

    def test_a_cited_row_of_the_threats_is_there(self):
        tidy = load("tidy")
        tidy.check_rows("a.cc", "// (threats.md row 5), threats.md rows 1 to 3,\n// 5, threats.md 1a", {"1", "3", "5"})
        self.assertEqual(tidy.problems, [])
        tidy.check_rows("a.cc", "// threats.md rows 1 to 4, 6. threats.md row 7", {"1", "3", "5"})
        self.assertEqual(len(tidy.problems), 3)

    def test_each_rule_of_an_rfc_has_a_test_or_a_reason(self):
        def found(cell):
            tidy = load("tidy")
            tidy.check_evidence(
                "docs/rfc.md", f"| section | rule | shown by |\n|---|---|---|\n| 1.2 | a rule | {cell} |\n"
            )
            return len(tidy.problems)

        here = "tests/unit/scripts/scripts_test.py"
        self.assertEqual(found("nobody asks for it"), 0)
        self.assertEqual(found(""), 1)
        self.assertEqual(found(f'`{here}` "test_banned_words_in_code_only", "test_two_files_know_versions"'), 0)
        self.assertEqual(
            found(f'`{here}` "test_banned_words_in_code_only", "test_of_nothing"; `tests/none.py` "test_a"'), 2
        )
        self.assertEqual(found('`tests/unit/http/date_test.cc` "dates"; `tests/unit/http/date_test.cc` "date"'), 1)

    def test_the_rules_of_the_rfcs_that_are_written_down(self):
        tidy = load("tidy")
        tidy.check_evidence("docs/rfc.md", (SCRIPTS.parent / "docs/rfc.md").read_text())
        self.assertEqual(tidy.problems, [])

    def test_functions_are_measured(self):
        text = (
            "// a\nnamespace x {\nint f(int a,\n      int b) {\n  if (a) {\n  }\n  return b;\n}\n\nstruct S {\n"
            "  int g();\n};\nint h();\n}\n"
        )
        self.assertEqual(list(load("tidy").functions(text)), [(3, 6, "f")])


PROGRAM = """
#include <cstdio>
#include <cstring>
#include <vector>
struct Base { virtual int call(int) = 0; };
struct Derived : Base { int call(int x) override { return x + 1; } };
Derived derived;
Base* volatile chosen = &derived;
int main(int argc, char** argv) {
  volatile char large[3 * 65536];
  large[argc] = 1;
  char text[16];
  std::strcpy(text, argv[0]);
  std::vector<int> v(argc);
  return v[std::strlen(text)] + chosen->call(large[0]);
}
"""
HARDENED = [
    "-O2",
    "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=3",
    "-D_GLIBCXX_ASSERTIONS",
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-fPIE",
    "-pie",
    "-Wl,-z,relro,-z,now,-z,separate-code,-z,noexecstack",
]
if platform.machine() == "x86_64":
    HARDENED.append("-fcf-protection=full")


class Hardening(unittest.TestCase):
    def found(self, *more):
        """What scripts/hardening says of a small program that was built with all flags and then `more`."""
        hardening = load("hardening")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "program.cc")
            source.write_text(PROGRAM)
            binary = str(source.with_suffix(""))
            subprocess.run(
                [os.environ.get("CXX", "c++"), *HARDENED, *more, "-w", str(source), "-o", binary], check=True
            )
            return hardening.faults(hardening.Binary(binary))[0]

    def lacks(self, word, *more):
        found = self.found(*more)
        self.assertTrue(any(word in fault for fault in found), f"{more}: {found}")

    def test_nothing_is_missing_with_all_flags(self):
        self.assertEqual(self.found(), [])
        self.assertEqual(self.found("-Wl,-rpath,/usr/lib/somewhere:/opt/lib"), [])

    def test_each_missing_flag_is_seen(self):
        self.lacks("position independent", "-no-pie", "-fno-pie")
        self.lacks("RELRO", "-Wl,-z,norelro")
        self.lacks("lazily", "-Wl,-z,lazy")
        self.lacks("executable stack", "-Wl,-z,execstack")
        self.lacks("mapped executable", "-Wl,-z,noseparate-code")
        self.lacks("canaries", "-fno-stack-protector")
        self.lacks("fortified", "-D_FORTIFY_SOURCE=0")
        self.lacks("libstdc++", "-U_GLIBCXX_ASSERTIONS")

    @unittest.skipUnless(platform.machine() == "x86_64", "of x86-64")
    def test_missing_marks_in_code_are_seen(self):
        self.lacks("stack frames", "-fno-stack-clash-protection")
        self.lacks("endbr64", "-fcf-protection=none")

    def test_the_callers_folder_is_no_place_for_libraries(self):
        for path in ("/usr/lib/x:", ":/usr/lib/x", "/usr/lib/x::/usr/lib/y", "lib", "$ORIGIN/../lib"):
            self.lacks("RUNPATH", f"-Wl,--enable-new-dtags,-rpath,{path}")
        self.lacks("RPATH", "-Wl,--disable-new-dtags,-rpath,lib")


if __name__ == "__main__":
    unittest.main()
