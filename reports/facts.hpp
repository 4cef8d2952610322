#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "db/store.hpp"

namespace mla {

// One trial, and where it stands.
struct FactRow {
  MeasurementRecord trial = {};  // its ids are places in the lists of Facts; no samples
  int file = 0;                  // place in Facts::files
  std::int64_t stored_id = 0;    // in that file
};

struct FactCode {
  CodeObjectRecord code = {};      // toolchain_id is a place in Facts::toolchains
  std::vector<int> variants = {};  // places in Facts::variants, ascending
  std::vector<int> files = {};     // that have it
};

struct FactSession {
  Session session = {};  // id as stored in its file
  int file = 0;
};

struct FactFile {
  std::filesystem::path path;
  int format = 0;
  std::size_t measurements = 0;
};

// What several databases hold, as if they were one: what is equal by content is one, wherever it
// stands. Places (ids) are those of these lists. Rows are in order of time: of one file in order of
// insertion, of several by the second in which they were recorded.
struct Facts {
  std::vector<FactFile> files;
  std::vector<Toolchain> toolchains;
  std::vector<Device> devices;
  std::vector<ProblemRecord> problems;
  std::vector<VariantRecord> variants;
  std::vector<FactCode> codes;  // of several files with the same key, as the last one has it
  std::vector<FactSession> sessions;
  std::vector<FactRow> rows;
  std::vector<Store> stores;  // one a file, open for reading

  std::vector<float> samples(const FactRow& row);
};

// Opens all of them for reading. Throws Error{database} as Store::open() does, and where files are
// of different formats; Error{usage} where one is named twice.
Facts read_facts(const std::vector<std::filesystem::path>& files);

// Throws Error{usage} where there is nothing at all, or nothing of `arch` (empty: any), naming the
// archs that there are.
void check_content(const Facts& facts, const std::string& arch);

}  // namespace mla
