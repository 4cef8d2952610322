/* How to launch sparse MLA decode on one GPU architecture, from what tuning found out.
 *
 *   mla_dispatch* table;
 *   char why[512];
 *   if (mla_dispatch_open("tuning.db", "gfx950", &table, why, sizeof why) != MLA_OK) ...
 *   mla_query query = MLA_QUERY_INIT;
 *   query.heads = 16; query.tokens = 8; query.main_len = 128; query.extra_len = 1024;
 *   mla_answer answer = MLA_ANSWER_INIT;
 *   mla_dispatch_lookup(table, &query, &answer);
 *
 * The rules of matching are those of kernels/dispatch.hpp. No function throws or aborts. The
 * structs grow at their end only: `size` says how much of one the caller knows, and no more is read
 * or written. Values of the enumerations are never renumbered.
 */
#ifndef MLA_DISPATCH_H
#define MLA_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MLA_API __attribute__((visibility("default")))
#else
#define MLA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mla_dispatch mla_dispatch; /* the winners of one arch, read once, immutable */

typedef enum mla_status {
  MLA_OK = 0,
  MLA_ERROR_INTERNAL = 1,
  MLA_ERROR_USAGE = 2,    /* a null pointer, a size that is too small, an arch without kernels */
  MLA_ERROR_DATABASE = 3, /* the file cannot be used */
  MLA_ERROR_SYSTEM = 6    /* out of memory */
} mla_status;

typedef enum mla_grade {
  MLA_GRADE_NONE = 0,    /* the query is out of range: nothing to launch */
  MLA_GRADE_EXACT = 1,   /* tuned for this shape */
  MLA_GRADE_NEAREST = 2, /* tuned for the shape in tuned_* */
  MLA_GRADE_FALLBACK = 3 /* built in, never tuned */
} mla_grade;

typedef enum mla_evidence {
  MLA_EVIDENCE_NONE = 0,
  MLA_EVIDENCE_MEASURED = 1, /* timed on this arch */
  MLA_EVIDENCE_PREDICTED = 2 /* ranked by a model: no such GPU was there */
} mla_evidence;

typedef enum mla_fp8 { MLA_FP8_OCP = 1, MLA_FP8_FNUZ = 2 } mla_fp8;

/* The shape of one launch. Lengths are keys per query token, at most; with extra_len 0 the extra
 * scope is absent and extra_page and extra_format are not read. */
typedef struct mla_query {
  size_t size;
  int32_t heads, tokens;
  int32_t main_len, extra_len;
  int32_t main_page, extra_page;     /* tokens per page */
  int32_t main_format, extra_format; /* mla_fp8 */
} mla_query;
#define MLA_QUERY_INIT \
  { sizeof(mla_query), 0, 0, 0, 0, 64, 64, MLA_FP8_OCP, MLA_FP8_OCP }

/* How to launch. Strings live as long as the table. */
typedef struct mla_answer {
  size_t size;
  int32_t grade;       /* mla_grade */
  int32_t evidence;    /* mla_evidence */
  const char* variant; /* key of the variant; "fallback"; "" with MLA_GRADE_NONE */
  const char* params;  /* its parameters as a JSON object; "" with MLA_GRADE_NONE */
  double median_us;    /* of tuned_*, not of the query; 0 without evidence */
  int64_t workspace_bytes;
  uint32_t decode_grid[3];
  uint32_t decode_block; /* threads, in x */
  uint32_t reduce_grid[3];
  uint32_t reduce_block; /* 0: no reduce kernel follows */
  int32_t splits;
  int32_t split_main, split_extra, split_map; /* fields of DecodeArgs */
  int32_t tuned_heads, tuned_tokens;
  int32_t tuned_main_len, tuned_extra_len;
  int32_t tuned_main_page, tuned_extra_page;
  uint32_t decode_dynamic_lds; /* bytes to ask for at the launch of the decode kernel */
  uint32_t reserved;
} mla_answer;
#define MLA_ANSWER_INIT                                                                          \
  {                                                                                              \
    sizeof(mla_answer), 0, 0, 0, 0, 0, 0, {0, 0, 0}, 0, {0, 0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
        0, 0, 0                                                                                  \
  }

/* Reads the winners of `arch` from a tuning database; the file is closed again on return. *table is
 * set on MLA_OK alone, and null otherwise. `message` (may be null) receives what went wrong and
 * what to do about it, cut to message_size bytes with its zero; it is empty on success. */
MLA_API mla_status mla_dispatch_open(const char* database, const char* arch, mla_dispatch** table,
                                     char* message, size_t message_size);

/* Null is allowed. Strings of former answers are gone afterwards. */
MLA_API void mla_dispatch_close(mla_dispatch* table);

/* From any number of threads; no lock, no allocation, no synchronisation, safe while a graph is
 * captured. MLA_OK with whatever grade, none included; MLA_ERROR_USAGE for a null pointer or for a
 * struct whose `size` was not set. */
MLA_API mla_status mla_dispatch_lookup(const mla_dispatch* table, const mla_query* query,
                                       mla_answer* answer);

#ifdef __cplusplus
}
#endif

#endif
