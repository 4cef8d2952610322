#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "db/store.hpp"

namespace mla {

// What a merge came to, by table.
struct MergeReport {
  struct Table {
    std::string name;
    std::int64_t read = 0;     // rows of the inputs, all of them together
    std::int64_t added = 0;    // rows that `out` has more than before
    std::int64_t updated = 0;  // of code objects and sessions: rows that an input knew more about
  };
  std::vector<Table> tables;
  bool created = false;  // `out` was not there
};

// Gives `out` every row of the inputs that it lacks, in one transaction; `out` is created where it
// is not there. What makes two rows the same, what is a conflict and how ids come about stands in
// README.md under "Merging". The inputs are only read, each as it is at one moment: others may be
// writing them. Merging again, or merging what has been merged, changes nothing; the order of the
// inputs changes nothing but ids of tables other than measurements.
//
// Throws Error{usage}: no inputs, or `out` among them. Throws Error{database}, and `out` is as it
// was, where a file cannot be used (missing, foreign, damaged, of another format), where `out`
// cannot be written, or where rows contradict each other; the message names the files and the rows.
MergeReport merge_databases(const std::filesystem::path& out,
                            const std::vector<std::filesystem::path>& inputs,
                            const StoreOptions& options = {});

}  // namespace mla
