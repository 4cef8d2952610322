#include "tests/gpu/kernels/mla_dispatch_c.h"

mla_status launch_in_c(const char* bundle, int device, const mla_problem* problem,
                       const mla_launch_args* args, void* workspace, size_t workspace_bytes,
                       mla_dispatcher** dispatcher) {
  const mla_launch_plan* plan = NULL;
  mla_plan_info info = mla_plan_info_init();
  mla_status status = mla_open(bundle, device, NULL, dispatcher);
  if (status != MLA_OK) return status;
  status = mla_plan(*dispatcher, problem, &plan);
  if (status != MLA_OK) return status;
  status = mla_get_plan_info(plan, &info);
  if (status != MLA_OK) return status;
  if ((size_t)info.workspace_bytes > workspace_bytes) return MLA_ERROR_USAGE;
  return mla_launch(plan, args, workspace, workspace_bytes, NULL);
}
