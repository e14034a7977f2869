"""What scripts/tally counts and scripts/tidy finds: CI believes these two."""
import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
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
        self.assertEqual(self.count('<testcase name="a"/><testcase name="b"><error/></testcase><testcase name="c"><skipped/></testcase>'), (1, 1, 1))

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
        self.assertEqual(self.found("lib/net/a.cc", '// a\nA(const A&) = delete;\nauto s = "new throw";\nint x = 1\'000; new (at) T;\n'), [])

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

    def test_functions_are_measured(self):
        text = "// a\nnamespace x {\nint f(int a,\n      int b) {\n  if (a) {\n  }\n  return b;\n}\n\nstruct S {\n  int g();\n};\nint h();\n}\n"
        self.assertEqual(list(load("tidy").functions(text)), [(3, 6, "f")])


if __name__ == "__main__":
    unittest.main()
