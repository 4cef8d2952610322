#pragma once

#include <array>

namespace mla {

// The format written by this program: user_version of the file.
constexpr int kSchemaVersion = 1;
// "mlat": application_id of the file.
constexpr int kApplicationId = 1835819380;

// schema.sql, compiled in.
extern const char* const kSchemaSql;

}  // namespace mla
