/* Sparse MLA decode in production: the fastest known kernel of a GPU for a shape, launched.
 *
 *   mla_dispatcher* dispatcher;
 *   if (mla_open("production.bundle", 0, NULL, &dispatcher) != MLA_OK) complain(mla_last_error());
 *   mla_problem problem = mla_problem_init();      // when the model loads, or a graph is captured
 *   problem.heads = 16; problem.tokens = 64;
 *   problem.main_capacity = 128; problem.extra_capacity = 1024; problem.has_sink = 1;
 *   const mla_launch_plan* plan;
 *   mla_plan(dispatcher, &problem, &plan);
 *   mla_plan_info info = mla_plan_info_init();
 *   mla_get_plan_info(plan, &info);                // info.workspace_bytes: allocate that once
 *   mla_launch_args args = mla_launch_args_init(); // q, caches, lists, out
 *   mla_launch(plan, &args, workspace, workspace_bytes, stream);
 *
 * Errors. Nothing throws, aborts or prints (but for MLA_DISPATCH=log). What is not MLA_OK leaves
 * its reason and remedy in mla_last_error() of the calling thread. Arguments of a failed launch
 * were not touched, and nothing was launched unless MLA_ERROR_DEVICE says so.
 *
 * Threads. Every function but mla_close may be called from any number of threads at once. A cached
 * plan's look-up and a launch take no lock, run no SQL, allocate nothing and never synchronise.
 * The first mla_plan() that picks a variant reads its code object and hands it to the driver, under
 * a lock: with options.eager that is done by mla_open. Launches of one plan may overlap, on
 * different streams, each with a workspace of its own.
 *
 * Graphs. mla_launch() may be captured, and replayed with other list lengths: the device reads
 * them. Pointers, strides, tokens and heads are captured as they are.
 *
 * After fork() the child's calls answer MLA_ERROR_CLOSED (it must open anew), as do those after
 * mla_close(). mla_close() in a child only forgets.
 *
 * Structs begin with their `size` and grow at their end alone: no more is read or written than the
 * caller knows. Make them with the mla_*_init() functions. Enumerators are never renumbered.
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

typedef struct mla_dispatcher mla_dispatcher;   /* one file's winners for one device */
typedef struct mla_launch_plan mla_launch_plan; /* how to launch one problem: immutable */

typedef enum mla_status {
  MLA_OK = 0,
  MLA_ERROR_INTERNAL = 1,
  MLA_ERROR_USAGE = 2,    /* an argument: null, out of range, misaligned, too small */
  MLA_ERROR_DATABASE = 3, /* the file cannot be used, or holds a damaged code object */
  MLA_ERROR_DEVICE = 5,   /* no driver, no such device, or the driver refused */
  MLA_ERROR_SYSTEM = 6,   /* memory */
  MLA_ERROR_CLOSED = 8,   /* the dispatcher was closed, or opened before a fork() */
  MLA_ERROR_ARCH = 9,     /* no kernels for this device's arch, or none in this file */
  MLA_ERROR_NO_CODE = 10  /* a plan without code objects was launched: export a bundle */
} mla_status;

/* How well a plan fits its problem, in the order in which they are preferred: exact, nearest,
 * predicted, fallback. */
typedef enum mla_grade {
  MLA_GRADE_NONE = 0,     /* of no plan */
  MLA_GRADE_EXACT = 1,    /* measured for this shape */
  MLA_GRADE_NEAREST = 2,  /* measured for a near one: tuned_* */
  MLA_GRADE_FALLBACK = 3, /* built in: runs everywhere, never tuned */
  MLA_GRADE_PREDICTED = 4 /* ranked by a model for this or a near shape: tuned_* */
} mla_grade;

typedef enum mla_evidence {
  MLA_EVIDENCE_NONE = 0,
  MLA_EVIDENCE_MEASURED = 1, /* timed on this arch */
  MLA_EVIDENCE_PREDICTED = 2 /* no such GPU was there */
} mla_evidence;

typedef enum mla_fp8 { MLA_FP8_OCP = 1, MLA_FP8_FNUZ = 2 } mla_fp8;

/* What an option says against the environment variable MLA_DISPATCH. */
typedef enum mla_switch { MLA_UNSET = 0, MLA_ON = 1, MLA_OFF = 2 } mla_switch;

enum { MLA_DEVICE_NONE = -1 };
enum { MLA_PUBLIC_KEY_BYTES = 32, MLA_WORKSPACE_ALIGNMENT = 256, MLA_COUNTER_BYTES = 16384 };

/* MLA_DISPATCH holds any of "no-nearest", "no-predicted", "log" and "variant=KEY", separated by
 * commas; an option that is set wins over it. Strings are copied. */
typedef struct mla_options {
  size_t size;
  const char* arch;          /* null: the device's. Required with MLA_DEVICE_NONE */
  const char* variant;       /* key, or its beginning, of the one variant to use; null: the best */
  const char* release;       /* ROCm (or CUDA) that runs here, "7.2"; null: ask the driver */
  const char* driver;        /* libamdhip64 or libcuda to load; null: the one loaded, or found */
  const uint8_t* public_key; /* Ed25519, 32 bytes: only bundles signed by it; null: any */
  int32_t eager;             /* not 0: mla_open loads every code object of the arch */
  int32_t allow_untrusted;   /* not 0: also a bundle that others own or may write */
  int32_t no_nearest;        /* mla_switch: winners of the very shape alone; then the fallback */
  int32_t no_predicted;      /* mla_switch: winners that were measured alone; then the fallback */
  int32_t log;               /* mla_switch: one line on standard error for each new plan */
  int32_t zeroed_workspaces; /* not 0: every workspace was filled with zeros before its first
                                launch, and nobody else writes to it: see mla_launch */
} mla_options;

/* The shape of a launch. */
typedef struct mla_problem {
  size_t size;
  int32_t heads;          /* of this rank: 1 to 128 */
  int32_t tokens;         /* query rows, at most, 1 or more; a launch may have fewer */
  int32_t main_capacity;  /* keys a token: those to be fast for. Every shorter list is right, and */
  int32_t extra_capacity; /* fast; a longer one is right too. 0: this scope is absent */
  int32_t main_page;      /* tokens per page; not read of an absent scope */
  int32_t extra_page;
  int32_t main_format; /* mla_fp8; not read of an absent scope */
  int32_t extra_format;
  int32_t has_sink;  /* not 0: launches give a sink */
  int32_t wants_lse; /* not 0: launches give room for lse */
} mla_problem;

/* How a problem will be launched, and why so. Strings live until mla_close. */
typedef struct mla_plan_info {
  size_t size;
  int32_t grade;           /* mla_grade */
  int32_t evidence;        /* mla_evidence; none for a fallback */
  const char* variant;     /* key of the variant; "fallback" */
  const char* params;      /* its parameters: a JSON object, with the splits it was tuned in */
  const char* release;     /* ROCm (CUDA) that compiled it; "" for a fallback */
  double median_us;        /* of tuned_*, not of the problem; 0 without evidence */
  int64_t workspace_bytes; /* for the problem's tokens; 0: none is needed */
  int32_t release_differs; /* 1: another major.minor runs here than the one it was tuned with */
  int32_t has_code;        /* 1: it can be launched */
  int32_t kernel_count;    /* launches of one mla_launch: 2 where results are left to merge */
  int32_t splits;
  int32_t split_main, split_extra, split_map; /* fields of DecodeArgs, as they are launched */
  int32_t tuned_heads, tuned_tokens;          /* the shape that was tuned; 0 for a fallback */
  int32_t tuned_main_len, tuned_extra_len;
  int32_t tuned_main_page, tuned_extra_page;
  uint32_t decode_grid[3];     /* at the problem's tokens */
  uint32_t decode_block;       /* threads, in x */
  uint32_t decode_dynamic_lds; /* bytes */
  uint32_t reduce_grid[3];
  uint32_t reduce_block; /* 0: no reduce kernel follows */
  uint32_t last_merges;  /* 1: instead of one, the workgroup that ends last merges the splits. Only
                            with options.zeroed_workspaces; a winner that would, merges by the
                            fallback's reduce kernel without */
  uint32_t grid_order;   /* field of DecodeArgs */
  uint32_t reserved;
} mla_plan_info;

/* One scope of the KV cache: pages of page_size tokens, page_stride bytes apart; in each page token
 * i has 448 e4m3 and 64 bf16 at byte i*576, and 7 UE8M0 scale bytes (one per 64 columns) at
 * page_size*576 + i*8. Query token t reads the slots indices[indptr[t]] .. indices[indptr[t+1]-1];
 * slots outside [0, rows) are skipped. Device memory. An absent scope is all zero. */
typedef struct mla_scope {
  const void* cache; /* 16-byte aligned */
  const int32_t* indices;
  const int32_t* indptr; /* [tokens + 1] */
  int64_t page_stride;   /* bytes; a multiple of 16, and page_size*584 at least */
  int32_t page_size;     /* tokens; the problem's */
  int32_t rows;          /* tokens in the cache */
  int32_t format;        /* mla_fp8; the problem's */
  int32_t ragged;        /* not 0: lists differ in length, so that long ones come first. Right
                            either way; 2 % slower where they do not; ignored on gfx9 */
} mla_scope;

/* What one launch works on: device memory; strides count elements. */
typedef struct mla_launch_args {
  size_t size;
  int32_t tokens; /* 0 (nothing happens) to those of the problem */
  int32_t heads;  /* the problem's */
  const void* q;  /* bf16 [tokens, heads, 512], rows dense and 16-byte aligned */
  int64_t q_token_stride, q_head_stride;
  mla_scope main, extra;
  const float* sink; /* fp32 [heads], in scaled-logit space; null exactly where has_sink is 0 */
  void* out;         /* bf16 [tokens, heads, 512], rows dense and 8-byte aligned */
  int64_t out_token_stride, out_head_stride;
  float* lse; /* fp32 [tokens, heads]: natural logarithm, sink excluded, +inf for an empty row;
                 null exactly where wants_lse is 0 */
  int64_t lse_token_stride;
  float scale; /* softmax scale: positive; 512^-0.5 for DeepSeek-V4 */
  int32_t reserved;
} mla_launch_args;

/* What a dispatcher is. Strings live until mla_close. */
typedef struct mla_dispatcher_info {
  size_t size;
  const char* arch;
  const char* device;   /* the GPU's name; "" without one */
  const char* release;  /* that runs here: of options, or the driver's; "" where unknown */
  int32_t has_code;     /* 1: a bundle; 0: a tuning database, whose plans cannot be launched */
  int32_t winners;      /* shapes of this arch */
  int32_t passed_over;  /* winners that this version cannot launch */
  int32_t plans;        /* made so far */
  int32_t code_objects; /* loaded so far */
  int32_t reserved;
} mla_dispatcher_info;

/* Each struct with its size, the defaults of DeepSeek-V4 (pages of 64, OCP, scale 512^-0.5) and
 * zero elsewhere. */
static inline mla_options mla_options_init(void);
static inline mla_problem mla_problem_init(void);
static inline mla_plan_info mla_plan_info_init(void);
static inline mla_launch_args mla_launch_args_init(void);
static inline mla_dispatcher_info mla_dispatcher_info_init(void);

/* Version of the library: "0.1.0". */
MLA_API const char* mla_version(void);

/* Why the last call of this thread that failed did so, and what to do about it; "" before the
 * first. Valid until the thread's next failure. Never null. */
MLA_API const char* mla_last_error(void);

/* Opens a bundle (`mla-tune export`), or a tuning database, whose plans can be made and looked at
 * but not launched. Either is read once; what becomes of the file afterwards is of no consequence.
 * `device` is a GPU's ordinal of the driver's counting, or MLA_DEVICE_NONE for plans alone; with
 * MLA_DEVICE_NONE and arch "host" launches run on the CPU, in the calling thread, on host memory,
 * and have ended when mla_launch returns. `options` may be null. *dispatcher is null unless MLA_OK.
 * The calling thread's current device and context are what they were when a call returns. A
 * device's primary context is used: memory and streams are those of the host process's runtime, and
 * resetting the device makes the dispatcher useless. */
MLA_API mla_status mla_open(const char* path, int32_t device, const mla_options* options,
                            mla_dispatcher** dispatcher);

/* The same for a bundle that the program has in memory, where it must stay unchanged until
 * mla_close; `name` stands for its path in messages. */
MLA_API mla_status mla_open_memory(const void* bundle, size_t bytes, const char* name,
                                   int32_t device, const mla_options* options,
                                   mla_dispatcher** dispatcher);

/* Frees everything, plans and their strings included, and unloads the code: graphs and launches
 * that use it must be over. No other call on it may be under way. Null is allowed. */
MLA_API void mla_close(mla_dispatcher* dispatcher);

MLA_API mla_status mla_get_dispatcher_info(const mla_dispatcher* dispatcher,
                                           mla_dispatcher_info* info);

/* The plan for a problem, the same handle every time it is asked for; it lives until mla_close.
 * MLA_ERROR_USAGE for a problem out of range (*plan is null unless MLA_OK) and once 65536 different
 * problems were planned. May be called while a stream is captured. */
MLA_API mla_status mla_plan(mla_dispatcher* dispatcher, const mla_problem* problem,
                            const mla_launch_plan** plan);

MLA_API mla_status mla_get_plan_info(const mla_launch_plan* plan, mla_plan_info* info);

/* Bytes of workspace that suffice for each of `count` problems, whose structs follow each other
 * problems[0].size bytes apart. Plans them all. */
MLA_API mla_status mla_workspace_bytes(mla_dispatcher* dispatcher, const mla_problem* problems,
                                       size_t count, int64_t* bytes);

/* Enqueues the plan's kernels on `stream` (hipStream_t, CUstream; null: the default stream) of the
 * dispatcher's device. `workspace` is device memory of the caller's, aligned to
 * MLA_WORKSPACE_ALIGNMENT, that no launch on another stream uses at the time; it may be null where
 * the plan needs none. For fewer tokens than the problem's proportionally less suffices.
 *
 * It need not be initialised, unless options.zeroed_workspaces promised that its first
 * MLA_COUNTER_BYTES are zeros: there kernels count each other's workgroups, and leave zeros to the
 * next launch. That promise may save a kernel launch where splits are merged; of one that is not
 * kept, out is not written. */
MLA_API mla_status mla_launch(const mla_launch_plan* plan, const mla_launch_args* args,
                              void* workspace, size_t workspace_bytes, void* stream);

static inline mla_options mla_options_init(void) {
  mla_options options = {sizeof(mla_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0};
  return options;
}

static inline mla_problem mla_problem_init(void) {
  mla_problem problem = {sizeof(mla_problem), 0, 0, 0, 0, 64, 64, MLA_FP8_OCP, MLA_FP8_OCP, 0, 0};
  return problem;
}

static inline mla_plan_info mla_plan_info_init(void) {
  mla_plan_info info = {sizeof(mla_plan_info),
                        0,
                        0,
                        NULL,
                        NULL,
                        NULL,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0,
                        {0, 0, 0},
                        0,
                        0,
                        {0, 0, 0},
                        0,
                        0,
                        0,
                        0};
  return info;
}

static inline mla_launch_args mla_launch_args_init(void) {
  const mla_scope absent = {NULL, NULL, NULL, 0, 0, 0, 0, 0};
  mla_launch_args args = {
      sizeof(mla_launch_args), 0, 0, NULL, 0, 0, absent, absent, NULL, NULL, 0, 0, NULL, 0,
      0.04419417382415922f,    0};
  return args;
}

static inline mla_dispatcher_info mla_dispatcher_info_init(void) {
  mla_dispatcher_info info = {sizeof(mla_dispatcher_info), NULL, NULL, NULL, 0, 0, 0, 0, 0, 0};
  return info;
}

#ifdef __cplusplus
}
#endif

#endif
