/* The look-up alone, until its users have moved to mla_dispatch.h. */
#ifndef MLA_DISPATCH_FORMER_H
#define MLA_DISPATCH_FORMER_H

#include "kernels/mla_dispatch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mla_dispatch mla_dispatch; /* the winners of one arch, read once, immutable */

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
