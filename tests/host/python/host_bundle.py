"""A bundle of arch host, made once for all tests of a process by the mla-tune in $MLA_TUNE_PROGRAM."""

import atexit
import functools
import os
import subprocess
import tempfile
from pathlib import Path

TOKENS, HEADS, MAIN, EXTRA = 3, 16, 20, 40  # the problem that was tuned

SHAPES = f"""kernel: sparse_mla_decode
problems:
  - {{heads: {HEADS}, tokens: {TOKENS}, main_len: {MAIN}, extra_len: {EXTRA}, extra_page: 64}}
"""


@functools.lru_cache(maxsize=None)
def folder():
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


@functools.lru_cache(maxsize=None)
def host_bundle():
    program, shapes, database = os.environ["MLA_TUNE_PROGRAM"], folder() / "s.yaml", folder() / "t.db"
    shapes.write_text(SHAPES)
    environment = dict(os.environ, XDG_CACHE_HOME=str(folder()), XDG_DATA_HOME=str(folder()))
    bundle = folder() / "host.mla"
    for words in (["tune", "--arch", "host", "--device", "host", "--shapes", shapes, "--db", database,
                   "--code-objects", "1", "--launches", "1", "--jobs", "1", "--verify", "1"],
                  ["export", "--db", database, "--arch", "host", "--out", bundle]):
        done = subprocess.run([program, *map(str, words)], env=environment, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
    return bundle
