#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "db/merge.hpp"
#include "db/store_impl.hpp"

namespace mla {

// Private to db/: the rows of other databases brought into one, within the transaction that the
// caller holds. What contradicts is collected, so that all of it can be told at once; where there
// is any, the caller undoes the transaction.
class Store::Merge {
 public:
  Merge(Store& out, std::string out_name) : out_(out), out_name_(std::move(out_name)) {}

  // Rows by table: of StoreStats::tables, and variant_code_objects.
  using Counts = std::vector<std::pair<std::string, std::int64_t>>;
  static Counts counts(Store& store);

  // All rows of an input, as it is at this moment; `name` is what messages call it. How many there
  // are.
  Counts take(Store& in, const std::string& name);
  // Once all are taken: gives measurements their ids in the order in which they were recorded.
  void put_in_order();

  const std::vector<std::string>& conflicts() const { return conflicts_; }
  std::int64_t updated_code_objects() const { return updated_code_objects_; }
  std::int64_t updated_sessions() const { return updated_sessions_; }

 private:
  using Ids = std::map<std::int64_t, std::int64_t>;  // of an input, to those of `out`

  void take_variants(Store& in);
  void take_code_objects(Store& in);
  void take_sessions(Store& in);
  void take_session(Session session, std::vector<Session>& known, std::set<std::int64_t>& matched);
  void take_measurements(Store& in);
  std::int64_t equal_measurement(const MeasurementRecord& m, const std::set<std::int64_t>& matched);
  std::string translated(const std::string& conditions) const;
  void conflict(const std::string& row, const std::string& theirs, const std::string& ours);
  const std::string& origin(const std::string& row) const;

  Store& out_;
  std::string out_name_;
  std::string in_name_;
  std::map<std::string, std::string> origins_;  // rows that came with an input, by what they are
  std::vector<std::string> conflicts_;
  std::int64_t updated_code_objects_ = 0;
  std::int64_t updated_sessions_ = 0;
  std::int64_t added_measurements_ = 0;

  // Of the input at hand.
  Ids toolchains_, devices_, problems_, variants_, code_objects_, sessions_;
  std::set<std::int64_t> new_sessions_;  // ids in `out`
};

}  // namespace mla
