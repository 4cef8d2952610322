#pragma once

namespace mla {

// "mlab": application_id of a bundle.
constexpr int kBundleApplicationId = 1835819362;
// The format written by this program: user_version of the file. Format 1 has the same tables, but
// reduce kernels that take it for granted that the decode kernel has ended.
constexpr int kBundleVersion = 2;

// bundle.sql, compiled in.
extern const char* const kBundleSql;

}  // namespace mla
