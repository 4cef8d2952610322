#pragma once

#include "db/error.hpp"
#include "kernels/mla_dispatch.h"

// Private to the C API: how trouble becomes a status.

namespace mla {

// Keeps the reason for mla_last_error() of this thread, cut where it is too long.
mla_status fail(mla_status status, const char* why) noexcept;
// The same with a number in the place of the one %lld that `why` has.
mla_status fail_with(mla_status status, const char* why, long long number) noexcept;
// In a handler: of the exception in flight.
mla_status fail_with_exception() noexcept;
const char* last_error() noexcept;

}  // namespace mla
