-- Format 1 to 2. In format 1 each code object belonged to one variant, and the winner view did not tell all of the
-- problem and let a variant win that had failed since its final round. Frozen: later changes are later steps.
DROP VIEW winner;

ALTER TABLE code_objects RENAME TO code_objects_1;

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

INSERT INTO code_objects (id, key, toolchain_id, arch, entry_template, verdict, reason, content,
  compile_seconds, vgprs, agprs, sgprs, lds_bytes, scratch_bytes, vgpr_spills, sgpr_spills, code_bytes,
  waves_per_simd, mfma, lds, vmem, valu, salu)
SELECT id, key, toolchain_id, arch, entry_template, verdict, reason, content,
  compile_seconds, vgprs, agprs, sgprs, lds_bytes, scratch_bytes, vgpr_spills, sgpr_spills, code_bytes,
  waves_per_simd, mfma, lds, vmem, valu, salu
  FROM code_objects_1;

INSERT INTO variant_code_objects (variant_id, code_object_id)
SELECT variant_id, id FROM code_objects_1;

DROP TABLE code_objects_1;

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

PRAGMA user_version = 2;
