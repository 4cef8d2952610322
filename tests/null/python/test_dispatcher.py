"""Plans in Python, by the library in $MLA_DISPATCH_LIBRARY. Nothing else is needed."""

import ctypes
import json
import os
import re
import sqlite3
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "python"))

from mla_tune import DispatchError, Dispatcher, Problem, _library  # noqa: E402

SERVED = Problem(heads=16, tokens=8, main_capacity=128, extra_capacity=1024)
KEY = "0123456789abcdef0123456789abcdef"


def make_database(path, params):
    db = sqlite3.connect(path)
    db.executescript((ROOT / "db" / "schema.sql").read_text())
    insert = lambda table, *row: db.execute(
        f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    insert("toolchains", 1, "hiprtc", "7.2.4", "", "")
    insert("devices", 1, "gfx950", "model", 256, 1, 2400, "", "", "", "")
    insert("problems", 1, "sparse_mla_decode", 16, 8, 128, 1024, 64, 64, 1, 1, "uniform", 0)
    insert("variants", 1, KEY, "sparse_mla_decode", json.dumps(params))
    insert("sessions", 1, "now", "", "test", "0", 0, "{}")
    insert("measurements", 1, 1, 1, 1, 1, 1, 2, 2, 0, "", 12.5, 0, 12, 13, 0, 0, "now", b"")
    db.commit()
    db.close()


class PlanningInPython(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "t.db"
        # The fallback's own parameters are some that are known to be valid.
        make_database(self.path, {})
        with self.opened() as dispatcher:
            self.params = dispatcher.plan(SERVED).params
        self.path.unlink()
        make_database(self.path, self.params)

    def tearDown(self):
        self.folder.cleanup()

    def opened(self, **options):
        return Dispatcher(self.path, arch="gfx950", **options)

    def test_the_very_shape_is_answered_as_predicted(self):
        with self.opened() as dispatcher:
            plan = dispatcher.plan(SERVED)
        self.assertEqual((plan.grade, plan.evidence), ("predicted", "predicted"))
        self.assertEqual(plan.variant, KEY)
        self.assertEqual(plan.params, self.params)
        self.assertEqual(plan.median_us, 12.5)
        self.assertEqual(plan.release, "7.2.4")
        self.assertEqual(plan.decode_grid, (8, 1, plan.splits))
        self.assertEqual(plan.workspace_bytes, 16384 + 8 * 16 * plan.splits * 515 * 4)
        self.assertFalse(plan.last_merges)
        self.assertEqual(plan.tuned_for["extra_len"], 1024)
        self.assertFalse(plan.has_code)

    def test_a_problem_is_planned_once(self):
        with self.opened() as dispatcher:
            self.assertIs(dispatcher.plan(SERVED), dispatcher.plan(SERVED))
            self.assertEqual(dispatcher.arch, "gfx950")
            self.assertFalse(dispatcher.has_code)

    def test_the_largest_workspace_is_that_of_all_problems(self):
        one = Problem(heads=128, tokens=1, main_capacity=128)
        with self.opened() as dispatcher:
            each = [dispatcher.plan(problem).workspace_bytes for problem in (SERVED, one)]
            self.assertEqual(dispatcher.workspace_bytes(SERVED, one), max(each))
            self.assertEqual(dispatcher.workspace_bytes(), 0)

    def test_the_fallback_is_named(self):
        with self.opened() as dispatcher:
            plan = dispatcher.plan(Problem(heads=128, tokens=1, main_capacity=128))
        self.assertEqual((plan.grade, plan.evidence), ("fallback", None))
        self.assertIsNone(plan.tuned_for)

    def test_options_are_passed_on(self):
        with self.opened(no_predicted=True) as dispatcher:
            self.assertEqual(dispatcher.plan(SERVED).grade, "fallback")
        with self.assertRaisesRegex(DispatchError, "32"):
            self.opened(public_key=b"short")
        with self.assertRaisesRegex(DispatchError, "nothing"):
            self.opened(variant="nothing")

    def test_what_cannot_be_launched_is_refused(self):
        with self.opened() as dispatcher:
            for wrong, word in (({"heads": 0}, "heads"), ({"heads": 129}, "heads"),
                                ({"tokens": 0}, "token"), ({"tokens": 2**40}, "tokens"),
                                ({"extra_capacity": -1}, "extra_capacity"),
                                ({"main_format": "int8"}, "fnuz")):
                shape = {"heads": 16, "tokens": 1, "main_capacity": 128, **wrong}
                with self.subTest(**wrong), self.assertRaisesRegex(DispatchError, word):
                    dispatcher.plan(Problem(**shape))

    def test_failures_give_their_reason(self):
        with self.assertRaisesRegex(DispatchError, "does not exist"):
            Dispatcher(self.path.with_name("none.db"), arch="gfx950")
        with self.assertRaisesRegex(DispatchError, "gfx1100"):
            Dispatcher(self.path, arch="gfx1100")
        with self.assertRaisesRegex(DispatchError, "arch"):
            Dispatcher(self.path)
        with self.assertRaisesRegex(DispatchError, "device 'tpu:0'"):
            Dispatcher(self.path, "tpu:0")
        with self.assertRaisesRegex(DispatchError, "MLA_DISPATCH_LIBRARY"):
            self.opened(library="/nowhere/libmla_dispatch.so")

    def test_a_closed_dispatcher_says_so(self):
        dispatcher = self.opened()
        dispatcher.plan(SERVED)
        dispatcher.close()
        dispatcher.close()
        with self.assertRaisesRegex(DispatchError, "closed"):
            dispatcher.plan(SERVED)

    def test_a_child_process_must_open_anew(self):
        dispatcher = self.opened()
        child = os.fork()
        if child == 0:
            try:
                dispatcher.plan(SERVED)
                os._exit(1)
            except DispatchError as error:
                os._exit(0 if error.status == 8 else 2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(dispatcher.plan(SERVED).variant, KEY)
        dispatcher.close()


class TheHeader(unittest.TestCase):
    def test_structs_have_the_fields_that_it_says(self):
        header = (ROOT / "kernels" / "mla_dispatch.h").read_text()
        header = re.sub(r"/\*.*?\*/|//[^\n]*", "", header, flags=re.S)
        sizes = {"size_t": 8, "int32_t": 4, "uint32_t": 4, "int64_t": 8, "double": 8, "float": 4}
        for name, struct in (("options", _library.Options), ("problem", _library.Problem),
                             ("plan_info", _library.PlanInfo), ("scope", _library.Scope),
                             ("launch_args", _library.LaunchArgs),
                             ("dispatcher_info", _library.DispatcherInfo)):
            body = re.search(rf"typedef struct mla_{name} {{(.*?)}}", header, re.S).group(1)
            fields = []
            for line in filter(None, map(str.strip, body.replace("*", " *").split(";"))):
                kind, names = re.fullmatch(r"(?:const )?(\w+)\s+(.*)", line, re.S).groups()
                for one in names.split(","):
                    star, field, count = re.fullmatch(r"\s*(\*?)\s*(\w+)(?:\[(\d+)\])?",
                                                      one).groups()
                    size = 8 if star else sizes.get(kind, ctypes.sizeof(_library.Scope))
                    fields.append((field, size * int(count or 1)))
            self.assertEqual(fields, [(field, ctypes.sizeof(kind))
                                      for field, kind in struct._fields_], name)

    def test_status_codes_are_its_own(self):
        header = (ROOT / "kernels" / "mla_dispatch.h").read_text()
        for name in ("USAGE", "DATABASE", "DEVICE", "CLOSED", "ARCH", "NO_CODE"):
            value = int(re.search(rf"MLA_ERROR_{name} = (\d+)", header).group(1))
            self.assertEqual(getattr(_library, name), value, name)


if __name__ == "__main__":
    unittest.main()
