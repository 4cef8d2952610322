#pragma once

namespace mla {

// "mlab": application_id of a bundle.
constexpr int kBundleApplicationId = 1835819362;
// The format written by this program: user_version of the file.
constexpr int kBundleVersion = 1;

// bundle.sql, compiled in.
extern const char* const kBundleSql;

}  // namespace mla
