#pragma once

namespace mla {

// "mlat": application_id of the file.
constexpr int kApplicationId = 1835819380;
// The format written by this program: user_version of the file.
constexpr int kSchemaVersion = 2;

// schema.sql, compiled in: makes an empty database one of format kSchemaVersion.
extern const char* const kSchemaSql;

// Step n makes a database of format n + 1 one of format n + 2 and says so in user_version. Steps
// are frozen once files of their format are out: a change of the schema is a new step, at the end.
extern const char* const kMigrations[kSchemaVersion - 1];

}  // namespace mla
