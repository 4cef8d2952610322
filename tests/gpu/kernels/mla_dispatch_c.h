/* The dispatcher as a C program uses it. */
#ifndef MLA_DISPATCH_C_H
#define MLA_DISPATCH_C_H

#include "kernels/mla_dispatch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens, plans and launches on the default stream; the caller waits, then closes *dispatcher. */
mla_status launch_in_c(const char* bundle, int device, const mla_problem* problem,
                       const mla_launch_args* args, void* workspace, size_t workspace_bytes,
                       mla_dispatcher** dispatcher);

#ifdef __cplusplus
}
#endif

#endif
