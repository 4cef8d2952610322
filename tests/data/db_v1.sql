-- A database of format 1, as the program of that time wrote it: it keeps the promise that old files open.
-- Never edited: format 1 is what this file says it is.
PRAGMA application_id = 1835819380;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE toolchains (
  id       INTEGER PRIMARY KEY,
  compiler TEXT NOT NULL CONSTRAINT compiler_named CHECK (compiler <> ''),
  release  TEXT NOT NULL CONSTRAINT release_named CHECK (release <> ''),
  library  TEXT NOT NULL,
  llvm     TEXT NOT NULL,
  UNIQUE (compiler, release, library, llvm)
) STRICT;
INSERT INTO toolchains VALUES(1,'hiprtc','7.2.4','libhiprtc.so','22.1.0');
INSERT INTO toolchains VALUES(2,'hiprtc','6.4.3','libhiprtc.so','22.1.0');
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
INSERT INTO devices VALUES(1,'gfx950','gfx950 (model)',256,1073741824,2400,'','','','');
INSERT INTO devices VALUES(2,'host','some CPU',2,0,0,'','','','');
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
INSERT INTO problems VALUES(1,'sparse_mla_decode',16,8,128,1024,64,2,1,1,'uniform',0);
INSERT INTO problems VALUES(2,'sparse_mla_decode',16,1,128,0,64,0,2,1,'ragged',1);
CREATE TABLE variants (
  id     INTEGER PRIMARY KEY,
  key    TEXT NOT NULL UNIQUE
         CONSTRAINT key_of_32_hex_digits CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  kernel TEXT NOT NULL CHECK (kernel <> ''),
  params TEXT NOT NULL CONSTRAINT params_json_object
         CHECK (json_valid(params) AND json_type(params) = 'object')
) STRICT;
INSERT INTO variants VALUES(1,'00000000000000000000000000000001','sparse_mla_decode','{"n":1}');
INSERT INTO variants VALUES(2,'00000000000000000000000000000002','sparse_mla_decode','{"n":2}');
INSERT INTO variants VALUES(3,'00000000000000000000000000000003','sparse_mla_decode','{"n":3}');
INSERT INTO variants VALUES(4,'00000000000000000000000000000004','sparse_mla_decode','{"n":4}');
CREATE TABLE code_objects (
  id              INTEGER PRIMARY KEY,
  key             TEXT NOT NULL UNIQUE
                  CONSTRAINT key_of_32_hex_digits CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  variant_id      INTEGER NOT NULL REFERENCES variants (id),
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
INSERT INTO code_objects VALUES(1,'00000000000000000000000000000065',1,1,'gfx950','sparse_mla_decode',0,'','000000000000000000000000000000c9',0.5,129,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,1);
INSERT INTO code_objects VALUES(2,'00000000000000000000000000000066',2,1,'gfx950','sparse_mla_decode',0,'','000000000000000000000000000000ca',1.0,130,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,2);
INSERT INTO code_objects VALUES(3,'00000000000000000000000000000067',3,1,'gfx950','sparse_mla_decode',1,'vgpr_spills 12 > 0','',1.5,131,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,3);
INSERT INTO code_objects VALUES(4,'00000000000000000000000000000068',4,2,'gfx950','sparse_mla_decode',0,'','000000000000000000000000000000cc',2.0,132,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,4);
CREATE TABLE sessions (
  id         INTEGER PRIMARY KEY,
  started    TEXT NOT NULL CHECK (started <> ''),
  ended      TEXT NOT NULL,
  command    TEXT NOT NULL,
  version    TEXT NOT NULL,
  seed       INTEGER NOT NULL,
  conditions TEXT NOT NULL CONSTRAINT conditions_json CHECK (json_valid(conditions))
) STRICT;
INSERT INTO sessions VALUES(1,'2026-01-02T03:04:07Z','2026-01-02T03:04:07Z','test','0',0,'{"load":0.5}');
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
INSERT INTO measurements VALUES(1,1,1,1,1,1,2,2,0,'',11.0,0.0,0.0,0.0,0.00010000000000000000479,9.9999999999999995472e-08,'2026-01-02T03:04:05Z',X'');
INSERT INTO measurements VALUES(2,1,2,2,1,1,1,2,0,'',49.0,0.0,0.0,0.0,0.00010000000000000000479,9.9999999999999995472e-08,'2026-01-02T03:04:06Z',X'000048420000444200004042');
INSERT INTO measurements VALUES(3,2,1,1,1,1,2,2,0,'',12.0,0.0,0.0,0.0,0.00010000000000000000479,9.9999999999999995472e-08,'2026-01-02T03:04:05Z',X'');
INSERT INTO measurements VALUES(4,2,2,2,1,1,1,2,3,'it''s 3e-2 off',0.0,0.0,0.0,0.0,-1.0,-1.0,'2026-01-02T03:04:06Z',X'');
INSERT INTO measurements VALUES(5,3,2,2,1,1,1,2,0,'',47.0,0.0,0.0,0.0,0.00010000000000000000479,9.9999999999999995472e-08,'2026-01-02T03:04:06Z',X'0000404200003c4200003842');
INSERT INTO measurements VALUES(6,4,1,1,1,1,2,2,0,'',14.0,0.0,0.0,0.0,0.00010000000000000000479,9.9999999999999995472e-08,'2026-01-02T03:04:05Z',X'');
INSERT INTO measurements VALUES(7,4,2,2,1,1,1,2,0,'',46.0,0.0,0.0,0.0,0.00010000000000000000479,9.9999999999999995472e-08,'2026-01-02T03:04:06Z',X'00003c420000384200003442');
CREATE INDEX measurements_tried
  ON measurements (variant_id, problem_id, device_id, toolchain_id, round);
CREATE INDEX measurements_of_problem ON measurements (problem_id, device_id, toolchain_id, round);
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
   WHERE m.round = 2
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY problem_id, arch, rocm
                               ORDER BY evidence, median_us, variant) AS place
    FROM newest
   WHERE age = 1 AND verdict = 0
)
SELECT r.arch, p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page,
       p.extra_page, r.rocm, r.variant, r.params,
       CASE r.evidence WHEN 1 THEN 'measured' WHEN 2 THEN 'predicted' END AS evidence,
       r.median_us
  FROM ranked r
  JOIN problems p ON p.id = r.problem_id
 WHERE r.place = 1;
COMMIT;
