-- The database of mla-tune, format 2. README.md beside this file is the contract: units, values, rules.
-- Every table is STRICT; `id` is the row's number in order of insertion; no row is ever deleted.
PRAGMA application_id = 1835819380;  -- "mlat"
PRAGMA user_version = 2;

CREATE TABLE toolchains (
  id       INTEGER PRIMARY KEY,
  compiler TEXT NOT NULL CONSTRAINT compiler_named CHECK (compiler <> ''),
  release  TEXT NOT NULL CONSTRAINT release_named CHECK (release <> ''),
  library  TEXT NOT NULL,
  llvm     TEXT NOT NULL,
  UNIQUE (compiler, release, library, llvm)
) STRICT;

CREATE TABLE devices (
  id            INTEGER PRIMARY KEY,
  arch          TEXT NOT NULL CONSTRAINT arch_named CHECK (arch <> ''),
  name          TEXT NOT NULL,
  compute_units INTEGER NOT NULL CHECK (compute_units >= 0),
  memory_bytes  INTEGER NOT NULL CHECK (memory_bytes >= 0),
  clock_mhz     INTEGER NOT NULL CHECK (clock_mhz >= 0),
  pci_id        TEXT NOT NULL,
  partition     TEXT NOT NULL,
  driver        TEXT NOT NULL,
  runtime       TEXT NOT NULL,
  UNIQUE (arch, name, compute_units, memory_bytes, clock_mhz, pci_id, partition, driver, runtime)
) STRICT;

CREATE TABLE problems (
  id           INTEGER PRIMARY KEY,
  kernel       TEXT NOT NULL CONSTRAINT kernel_named CHECK (kernel <> ''),
  num_heads    INTEGER NOT NULL CHECK (num_heads >= 1),
  num_tokens   INTEGER NOT NULL CHECK (num_tokens >= 1),
  main_len     INTEGER NOT NULL CHECK (main_len >= 0),
  extra_len    INTEGER NOT NULL CHECK (extra_len >= 0),
  main_page    INTEGER NOT NULL CHECK (main_page >= 1),
  extra_page   INTEGER NOT NULL CHECK (extra_page >= 0),
  main_format  INTEGER NOT NULL CHECK (main_format IN (1, 2)),
  extra_format INTEGER NOT NULL CHECK (extra_format IN (1, 2)),
  lengths      TEXT NOT NULL CONSTRAINT lengths_known CHECK (lengths IN ('uniform', 'ragged')),
  warm_cache   INTEGER NOT NULL CHECK (warm_cache IN (0, 1)),
  CONSTRAINT extra_page_with_extra_len CHECK ((extra_len = 0) = (extra_page = 0)),
  UNIQUE (kernel, num_heads, num_tokens, main_len, extra_len, main_page, extra_page,
          main_format, extra_format, lengths, warm_cache)
) STRICT;

CREATE TABLE variants (
  id     INTEGER PRIMARY KEY,
  key    TEXT NOT NULL UNIQUE
         CONSTRAINT key_of_32_hex_digits CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  kernel TEXT NOT NULL CHECK (kernel <> ''),
  params TEXT NOT NULL CONSTRAINT params_json_object
         CHECK (json_valid(params) AND json_type(params) = 'object')
) STRICT;

CREATE TABLE code_objects (
  id              INTEGER PRIMARY KEY,
  key             TEXT NOT NULL UNIQUE
                  CONSTRAINT key_of_32_hex_digits CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  toolchain_id    INTEGER NOT NULL REFERENCES toolchains (id),
  arch            TEXT NOT NULL CHECK (arch <> ''),
  entry_template  TEXT NOT NULL CHECK (entry_template <> ''),
  verdict         INTEGER NOT NULL CHECK (verdict BETWEEN 0 AND 7),
  reason          TEXT NOT NULL,
  content         TEXT NOT NULL,
  compile_seconds REAL NOT NULL CHECK (compile_seconds >= 0),
  vgprs           INTEGER NOT NULL,
  agprs           INTEGER NOT NULL,
  sgprs           INTEGER NOT NULL,
  lds_bytes       INTEGER NOT NULL,
  scratch_bytes   INTEGER NOT NULL,
  vgpr_spills     INTEGER NOT NULL,
  sgpr_spills     INTEGER NOT NULL,
  code_bytes      INTEGER NOT NULL,
  waves_per_simd  INTEGER NOT NULL,
  mfma            INTEGER NOT NULL,
  lds             INTEGER NOT NULL,
  vmem            INTEGER NOT NULL,
  valu            INTEGER NOT NULL,
  salu            INTEGER NOT NULL
) STRICT;

-- Variants that differ only in how they are launched share their code.
CREATE TABLE variant_code_objects (
  variant_id     INTEGER NOT NULL REFERENCES variants (id),
  code_object_id INTEGER NOT NULL REFERENCES code_objects (id),
  PRIMARY KEY (variant_id, code_object_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  id         INTEGER PRIMARY KEY,
  started    TEXT NOT NULL CHECK (started <> ''),
  ended      TEXT NOT NULL,
  command    TEXT NOT NULL,
  version    TEXT NOT NULL,
  seed       INTEGER NOT NULL,
  conditions TEXT NOT NULL CONSTRAINT conditions_json CHECK (json_valid(conditions))
) STRICT;

-- samples stands last: what precedes it can be read without touching the pages that it overflows into.
CREATE TABLE measurements (
  id           INTEGER PRIMARY KEY,
  variant_id   INTEGER NOT NULL REFERENCES variants (id),
  problem_id   INTEGER NOT NULL REFERENCES problems (id),
  device_id    INTEGER NOT NULL REFERENCES devices (id),
  toolchain_id INTEGER NOT NULL REFERENCES toolchains (id),
  session_id   INTEGER NOT NULL REFERENCES sessions (id),
  evidence     INTEGER NOT NULL CHECK (evidence IN (1, 2)),
  round        INTEGER NOT NULL CHECK (round IN (1, 2)),
  verdict      INTEGER NOT NULL CHECK (verdict BETWEEN 0 AND 7),
  reason       TEXT NOT NULL,
  median_us    REAL NOT NULL,
  mad_us       REAL NOT NULL CHECK (mad_us >= 0),
  ci_low_us    REAL NOT NULL,
  ci_high_us   REAL NOT NULL,
  max_error    REAL NOT NULL CHECK (max_error >= -1),
  cosine_gap   REAL NOT NULL CHECK (cosine_gap >= -1),
  recorded     TEXT NOT NULL,
  samples      BLOB NOT NULL,
  CONSTRAINT median_finite CHECK (median_us >= 0 AND median_us < 1e300),
  CONSTRAINT ok_has_a_time CHECK (verdict <> 0 OR median_us > 0),
  CONSTRAINT failure_has_no_time CHECK (verdict IN (0, 7) OR median_us = 0),
  CONSTRAINT interval_in_order CHECK (ci_low_us <= ci_high_us),
  CONSTRAINT ok_was_verified CHECK (verdict <> 0 OR max_error >= 0),
  CONSTRAINT samples_are_float32 CHECK (length(samples) % 4 = 0),
  CONSTRAINT prediction_has_no_samples CHECK (evidence = 1 OR length(samples) = 0),
  CONSTRAINT measured_ok_has_samples CHECK (evidence <> 1 OR verdict <> 0 OR length(samples) > 0)
) STRICT;

-- "Was this tried already?" is one descent of this index.
CREATE INDEX measurements_tried
  ON measurements (variant_id, problem_id, device_id, toolchain_id, round);
CREATE INDEX measurements_of_problem ON measurements (problem_id, device_id, toolchain_id, round);

-- Of each variant, by problem, arch and release, the row that counts: measured before predicted, then the newest.
-- A failure counts whatever its round: what broke in the search must not win by an older final round.
CREATE VIEW winner AS
WITH newest AS (
  SELECT m.problem_id, d.arch, t.release AS rocm, v.key AS variant, v.params,
         m.evidence, m.verdict, m.median_us,
         row_number() OVER (PARTITION BY m.problem_id, d.arch, t.release, m.variant_id
                            ORDER BY m.evidence, m.id DESC) AS age
    FROM measurements m
    JOIN devices d ON d.id = m.device_id
    JOIN toolchains t ON t.id = m.toolchain_id
    JOIN variants v ON v.id = m.variant_id
   WHERE m.round = 2 OR m.verdict NOT IN (0, 7)
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY problem_id, arch, rocm
                               ORDER BY evidence, median_us, variant) AS place
    FROM newest
   WHERE age = 1 AND verdict = 0
)
SELECT r.arch, p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page,
       p.extra_page, r.rocm, r.variant, r.params,
       CASE r.evidence WHEN 1 THEN 'measured' WHEN 2 THEN 'predicted' END AS evidence,
       r.median_us, p.main_format, p.extra_format, p.lengths, p.warm_cache
  FROM ranked r
  JOIN problems p ON p.id = r.problem_id
 WHERE r.place = 1;

-- One verdict a variant, by arch and release: a failure anywhere, else ok anywhere, else unverified. Of several
-- failures the highest number.
CREATE VIEW variant_verdict AS
WITH newest AS (
  SELECT m.variant_id, d.arch, t.release AS rocm, m.verdict,
         row_number() OVER (PARTITION BY m.variant_id, d.arch, t.release, m.problem_id, m.round
                            ORDER BY m.evidence, m.id DESC) AS age
    FROM measurements m
    JOIN devices d ON d.id = m.device_id
    JOIN toolchains t ON t.id = m.toolchain_id
), facts AS (
  SELECT variant_id, arch, rocm, verdict FROM newest WHERE age = 1
   UNION ALL
  SELECT l.variant_id, c.arch, t.release, CASE c.verdict WHEN 0 THEN 7 ELSE c.verdict END
    FROM variant_code_objects l
    JOIN code_objects c ON c.id = l.code_object_id
    JOIN toolchains t ON t.id = c.toolchain_id
), worst AS (
  SELECT variant_id, arch, rocm, max(CASE verdict WHEN 7 THEN -1 ELSE verdict END) AS verdict
    FROM facts
   GROUP BY variant_id, arch, rocm
)
SELECT w.arch, w.rocm, v.key AS variant, CASE w.verdict WHEN -1 THEN 7 ELSE w.verdict END AS verdict
  FROM worst w
  JOIN variants v ON v.id = w.variant_id;
