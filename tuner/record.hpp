#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "db/store.hpp"
#include "tuner/arch.hpp"

// What a database knows of one arch's times, in one file: for judging search, models and dispatch
// where there is no such device.
//
// The file is a zstd frame of one JSON object; tests/data/README.md is its schema.

namespace mla {

struct RecordVariant {
  std::string params;  // canonical JSON, as VariantRecord has it
  int code = 0;        // its decode kernel, in Record::codes
};

// The newest row of a variant for a problem on a device.
struct RecordRow {
  int problem = 0;  // places in the lists of Record
  int variant = 0;
  int device = 0;
  Round round = Round::search;
  Verdict verdict = Verdict::ok;
  double predicted_us = 0;
  std::vector<float> samples_us = {};  // raw, in order of time
};

struct Record {
  std::string arch;
  std::string compiler;
  std::string release;
  std::vector<Device> devices;          // without ids
  std::vector<ProblemRecord> problems;  // likewise
  std::vector<Resources> codes;
  std::vector<RecordVariant> variants;
  std::vector<RecordRow> rows;
};

std::string encode_record(const Record& record);
// Throws Error{usage} for bytes that are no record, or one of another version.
Record decode_record(std::string_view bytes);

// Measured rows of `arch`, by release `rocm` or "<rocm>.*" (empty: the newest release that has
// any), of `problems` (empty: all); predictions are today's model's.
Record collect_record(Store& store, const Arch& arch, std::string_view rocm,
                      const std::vector<ProblemRecord>& problems);

}  // namespace mla
