#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "db/records.hpp"

namespace mla {

enum class StoreMode {
  read_only,  // the file must exist; a file of an older format is read through a migrated copy in
              // memory
  read_write_create,  // creates the file or migrates it; there is one such process per file at a
                      // time
};

struct StoreOptions {
  int busy_timeout_ms =
      5000;  // how long to wait for a program that does not know our writer's lock
  std::int64_t max_pages =
      0;  // refuse to grow beyond this many pages of 4 KiB, as a full disk would; 0: no limit
};

// Counts, for people and reports.
struct StoreStats {
  struct VerdictCount {
    std::string arch;
    std::string rocm;
    Verdict verdict = Verdict::ok;
    std::int64_t count = 0;
  };
  struct WinnerCount {
    std::string arch;
    std::string rocm;
    Evidence evidence = Evidence::predicted;
    std::int64_t count = 0;
  };
  int format = 0;                                            // user_version
  std::int64_t bytes = 0;                                    // of the file, without its -wal
  std::vector<std::pair<std::string, std::int64_t>> tables;  // rows by table
  std::vector<VerdictCount>
      variants;  // the variant_verdict view: each variant once by arch and rocm
  std::vector<VerdictCount> code_objects;
  std::vector<VerdictCount> measurements;
  std::vector<WinnerCount> winners;  // one per problem that has one
};

// All that a file holds, of one moment, each table but variants in order of
// insertion.
struct StoreContent {
  std::vector<Toolchain> toolchains;
  std::vector<Device> devices;
  std::vector<ProblemRecord> problems;
  std::vector<VariantRecord> variants;
  std::vector<CodeObjectRecord> code_objects;                           // variant_id 0
  std::vector<std::pair<std::int64_t, std::int64_t>> code_of_variants;  // variant, code object
  std::vector<Session> sessions;
  std::vector<MeasurementRecord> measurements;  // without samples
};

// Keeps every measurement, failures included, and answers who is fastest. README.md in this
// directory is the contract of the file itself.
//
// Everything throws Error{database} with what happened and what to do when the file cannot be used
// (full, locked, damaged, read-only), and Error{internal} for a record that breaks a rule of the
// schema; the message names the rule. Outside a transaction every call is durable against the death
// of the process when it returns. One thread at a time; not to be used in a child after fork().
// Records' `id` fields are ignored by put().
class Store {
 public:
  class Transaction;
  class Merge;  // private to db/

  // Throws Error{database}: no such file (read_only), a directory, not SQLite, not ours, of a newer
  // format, damaged, not writable, or being written by another process (the message names it). What
  // is not ours is left untouched.
  static Store open(const std::filesystem::path& path, StoreMode mode,
                    const StoreOptions& options = {});
  // The format of a file as it is stored, without changing it; 0: there is nothing in it. What a
  // killed writer left undone is undone by a look that may write. Throws as open() does; the file
  // must exist.
  static int stored_format(const std::filesystem::path& path,
                           StoreMode mode = StoreMode::read_only);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  // All or nothing for what is put while it lives. One at a time.
  [[nodiscard]] Transaction transaction();

  // Insert or find by content; return the id.
  std::int64_t put(const Toolchain& toolchain);
  std::int64_t put(const Device& device);
  std::int64_t put(const ProblemRecord& problem);
  // Throws Error{internal} where the key is known with other params: keys are identities.
  std::int64_t put(const VariantRecord& variant);

  // Insert, or replace what became of the code object with the same key; and link it with its
  // variant.
  std::int64_t put(const CodeObjectRecord& code_object);

  // Always a new row: a repeated measurement does not erase the former one. `recorded` empty: now.
  std::int64_t put(const MeasurementRecord& measurement);

  // `started` empty: now.
  std::int64_t start_session(const Session& session);
  // Sets `ended` to now. conditions empty: keeps what start_session stored.
  void end_session(std::int64_t id, std::string_view conditions = {});

  std::optional<CodeObjectRecord> find_code_object(std::string_view key);
  // The newest row under this key. One index look-up, so that asking before every trial is cheap.
  std::optional<MeasurementRecord> find_measurement(std::int64_t variant_id,
                                                    std::int64_t problem_id, std::int64_t device_id,
                                                    std::int64_t toolchain_id, Round round);

  // What is known about one search, oldest first: the newest row of each variant. Samples are left
  // out.
  std::vector<MeasurementRecord> measurements(std::int64_t problem_id, std::int64_t device_id,
                                              std::int64_t toolchain_id, Round round);
  // Variants whose key begins with `prefix`, by key.
  std::vector<VariantRecord> variants(std::string_view key_prefix = {});
  std::optional<VariantRecord> variant(std::int64_t id);
  std::vector<CodeObjectRecord> code_objects(std::int64_t variant_id);
  std::vector<ProblemRecord> problems();
  std::vector<Device> devices();
  std::vector<Toolchain> toolchains();
  std::vector<Session> sessions();

  // Holds everything but samples in memory at once.
  StoreContent content();
  // Of one measurement, in order of time; empty where there are none, or no such row.
  std::vector<float> samples(std::int64_t measurement_id);

  // The winner view, ordered by arch, problem and rocm. Empty: every arch.
  std::vector<Winner> winners(std::string_view arch = {});
  // Of one of winners(). Error{database} where the file has it no more, or its indices lie.
  WinnerOrigin origin(const Winner& winner);
  StoreStats stats();
  // Everything that is wrong with the content, one sentence each; empty: nothing. Reads the whole
  // file.
  std::vector<std::string> check();

 private:
  struct Impl;
  class Savepoint;
  explicit Store(std::unique_ptr<Impl> impl);
  std::int64_t put_unlinked(const CodeObjectRecord& code_object);
  std::unique_ptr<Impl> impl_;
};

// Undoes on destruction what was not committed. Must not outlive the Store's file being open.
class Store::Transaction {
 public:
  Transaction(Transaction&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // Throws Error{database} where nothing can be stored any more; nothing of the transaction is
  // stored then.
  void commit();

 private:
  friend class Store;
  explicit Transaction(Impl* impl);
  Impl* impl_;
};

}  // namespace mla
