"""The Python package against the library in $MLA_DISPATCH_LIBRARY."""

import json
import os
import sqlite3
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "python"))

from mla_tune import Dispatch, DispatchError, Query  # noqa: E402

SERVED = Query(heads=16, tokens=8, main_len=128, extra_len=1024)
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


class DispatchTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "t.db"
        # The fallback's own parameters are some that are known to be valid.
        make_database(self.path, {})
        with Dispatch(self.path, "gfx950") as table:
            self.params = table.lookup(SERVED).params
        self.path.unlink()
        make_database(self.path, self.params)

    def tearDown(self):
        self.folder.cleanup()

    def test_answers_the_very_shape_as_predicted(self):
        with Dispatch(self.path, "gfx950") as table:
            answer = table.lookup(SERVED)
        self.assertEqual((answer.grade, answer.evidence), ("predicted", "predicted"))
        self.assertEqual(answer.variant, KEY)
        self.assertEqual(answer.params, self.params)
        self.assertEqual(answer.median_us, 12.5)
        self.assertEqual(answer.decode_grid, (8, 1, answer.splits))
        self.assertEqual(answer.workspace_bytes, 8 * 16 * answer.splits * 515 * 4)
        self.assertEqual(answer.tuned_for["extra_len"], 1024)

    def test_names_the_fallback(self):
        with Dispatch(self.path, "gfx950") as table:
            answer = table.lookup(Query(heads=128, tokens=1, main_len=128))
        self.assertEqual((answer.grade, answer.evidence), ("fallback", None))
        self.assertIsNone(answer.tuned_for)

    def test_refuses_what_cannot_be_launched(self):
        with Dispatch(self.path, "gfx950") as table:
            with self.assertRaisesRegex(DispatchError, "heads"):
                table.lookup(Query(heads=0, tokens=1, main_len=1))

    def test_raises_with_the_reason(self):
        with self.assertRaisesRegex(DispatchError, "does not exist"):
            Dispatch(self.path.with_name("none.db"), "gfx950")
        with self.assertRaisesRegex(DispatchError, "gfx1100"):
            Dispatch(self.path, "gfx1100")
        table = Dispatch(self.path, "gfx950")
        table.close()
        table.close()
        with self.assertRaisesRegex(DispatchError, "closed"):
            table.lookup(SERVED)


if __name__ == "__main__":
    unittest.main()
