-- A bundle, format 1: what production reads. README.md beside this file is the contract. Written once, in order of id;
-- every table is STRICT. No rule calls what an untrusted schema may not call, such as json_valid().
PRAGMA application_id = 1835819362;  -- "mlab"
PRAGMA user_version = 2;

CREATE TABLE bundle (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version TEXT NOT NULL
) STRICT;

CREATE TABLE toolchains (
  id       INTEGER PRIMARY KEY,
  compiler TEXT NOT NULL,
  release  TEXT NOT NULL CHECK (release <> ''),
  library  TEXT NOT NULL,
  llvm     TEXT NOT NULL,
  UNIQUE (compiler, release, library, llvm)
) STRICT;

CREATE TABLE devices (
  id            INTEGER PRIMARY KEY,
  arch          TEXT NOT NULL CHECK (arch <> ''),
  name          TEXT NOT NULL,
  compute_units INTEGER NOT NULL,
  memory_bytes  INTEGER NOT NULL,
  clock_mhz     INTEGER NOT NULL,
  pci_id        TEXT NOT NULL,
  partition     TEXT NOT NULL,
  driver        TEXT NOT NULL,
  runtime       TEXT NOT NULL,
  UNIQUE (arch, name, compute_units, memory_bytes, clock_mhz, pci_id, partition, driver, runtime)
) STRICT;

CREATE TABLE variants (
  id     INTEGER PRIMARY KEY,
  key    TEXT NOT NULL UNIQUE CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  params TEXT NOT NULL
) STRICT;

-- checksum is of the code as the driver gets it; content is that code as one zstd frame.
CREATE TABLE code_objects (
  id           INTEGER PRIMARY KEY,
  key          TEXT NOT NULL UNIQUE CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  arch         TEXT NOT NULL CHECK (arch <> ''),
  kernel       TEXT NOT NULL CHECK (kernel <> ''),
  toolchain_id INTEGER NOT NULL REFERENCES toolchains (id),
  bytes        INTEGER NOT NULL CHECK (bytes > 0),
  checksum     TEXT NOT NULL CHECK (length(checksum) = 32),
  content      BLOB NOT NULL
) STRICT;

-- reduce_id is NULL where one split leaves nothing to reduce.
CREATE TABLE winners (
  id           INTEGER PRIMARY KEY,
  arch         TEXT NOT NULL CHECK (arch <> ''),
  toolchain_id INTEGER NOT NULL REFERENCES toolchains (id),
  variant_id   INTEGER NOT NULL REFERENCES variants (id),
  decode_id    INTEGER NOT NULL REFERENCES code_objects (id),
  reduce_id    INTEGER REFERENCES code_objects (id),
  evidence     INTEGER NOT NULL CHECK (evidence IN (1, 2)),
  median_us    REAL NOT NULL CHECK (median_us > 0 AND median_us < 1e300),
  kernel       TEXT NOT NULL CHECK (kernel <> ''),
  num_heads    INTEGER NOT NULL CHECK (num_heads >= 1),
  num_tokens   INTEGER NOT NULL CHECK (num_tokens >= 1),
  main_len     INTEGER NOT NULL CHECK (main_len >= 0),
  extra_len    INTEGER NOT NULL CHECK (extra_len >= 0),
  main_page    INTEGER NOT NULL CHECK (main_page >= 1),
  extra_page   INTEGER NOT NULL CHECK (extra_page >= 0),
  main_format  INTEGER NOT NULL CHECK (main_format IN (1, 2)),
  extra_format INTEGER NOT NULL CHECK (extra_format IN (1, 2)),
  lengths      TEXT NOT NULL CHECK (lengths IN ('uniform', 'ragged')),
  warm_cache   INTEGER NOT NULL CHECK (warm_cache IN (0, 1)),
  device_id    INTEGER NOT NULL REFERENCES devices (id),
  mad_us       REAL NOT NULL,
  ci_low_us    REAL NOT NULL,
  ci_high_us   REAL NOT NULL,
  max_error    REAL NOT NULL,
  cosine_gap   REAL NOT NULL,
  recorded     TEXT NOT NULL,
  CHECK ((extra_len = 0) = (extra_page = 0)),
  UNIQUE (arch, kernel, num_heads, num_tokens, main_len, extra_len, main_page, extra_page,
          main_format, extra_format, lengths, warm_cache, toolchain_id)
) STRICT;

CREATE TABLE fallbacks (
  id        INTEGER PRIMARY KEY,
  arch      TEXT NOT NULL CHECK (arch <> ''),
  params    TEXT NOT NULL,
  decode_id INTEGER NOT NULL REFERENCES code_objects (id),
  reduce_id INTEGER REFERENCES code_objects (id),
  UNIQUE (arch, params)
) STRICT;
