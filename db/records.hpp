#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla {

// What became of a variant: of its code object (compile time) or of its measurement (run time).
// STORED VALUES: never renumber, only append.
enum class Verdict : int {
  ok = 0,
  rejected = 1,        // broke a limit: spills, LDS, registers; the reason says which
  compile_failed = 2,  // the log is the reason
  wrong_result = 3,
  launch_failed = 4,
  timed_out = 5,
  crashed = 6,
  unverified = 7,  // compiled and ranked, never executed: cannot win
};

// Tried, and of no use. Unverified is no failure: nobody tried.
constexpr bool is_failure(Verdict verdict) {
  return verdict != Verdict::ok && verdict != Verdict::unverified;
}

// What a median is worth. STORED VALUES: never renumber, only append.
enum class Evidence : int {
  measured = 1,   // timed on this arch
  predicted = 2,  // compiled for it, verified, ranked by a model: no such GPU was there
};

// The winner view reads the final round alone. STORED VALUES: never renumber, only append.
enum class Round : int { search = 1, final = 2 };

std::string_view name(Verdict);
std::string_view name(Evidence);
std::string_view name(Round);
// Throw Error{database} for a value that no version of this program has stored.
Verdict verdict_from(int stored);
Evidence evidence_from(int stored);
Round round_from(int stored);

// Each record is one row of the table of its name; `id` is 0 until it is stored. `key` is an
// identity by content, 32 hexadecimal digits (xxh3-128): the same thing found twice is the same
// row.

struct Toolchain {
  std::int64_t id = 0;
  std::string compiler = {};  // "hiprtc", "nvrtc", "c++"
  // ROCm "7.2.4", CUDA "13.0", g++ "12.2.0": the winner view's column `rocm`.
  std::string release = {};
  std::string library = {};  // file version: "libhiprtc.so.7.2.53211"
  std::string llvm = {};     // "22.1.0"; empty where unknown
};

struct Device {
  std::int64_t id = 0;
  std::string arch = {};  // "gfx950"
  std::string name = {};  // "AMD Instinct MI355X"; for predictions "gfx950 (model)"
  int compute_units = 0;
  std::int64_t memory_bytes = 0;
  int clock_mhz = 0;
  std::string pci_id = {};     // empty: none
  std::string partition = {};  // ROCm's partition mode; empty: none
  std::string driver = {};
  std::string runtime = {};
};

// The shape asked for. Lengths are keys per query token; extra_len 0 means that there is no extra
// scope.
struct ProblemRecord {
  std::int64_t id = 0;
  std::string kernel = {};  // "sparse_mla_decode"
  int num_heads = 0;
  int num_tokens = 0;
  int main_len = 0;
  int extra_len = 0;
  int main_page = 0;    // tokens per page
  int extra_page = 0;   // 0 where there is no extra scope
  int main_format = 1;  // Fp8Format: 1 OCP, 2 FNUZ
  int extra_format = 1;
  std::string lengths = "uniform";  // or "ragged"
  bool warm_cache = false;

  friend bool operator==(const ProblemRecord&, const ProblemRecord&) = default;
};

struct VariantRecord {
  std::int64_t id = 0;
  std::string key = {};
  std::string kernel = {};
  std::string params = {};  // canonical JSON object: keys sorted, no spaces
};

// Resources as the code object states them; -1: not known for this arch.
struct Resources {
  int vgprs = -1;
  int agprs = -1;
  int sgprs = -1;
  int lds_bytes = -1;
  int scratch_bytes = -1;
  int vgpr_spills = -1;
  int sgpr_spills = -1;
  int code_bytes = -1;
  int waves_per_simd = -1;
  int mfma = -1;  // static instruction counts over the code object
  int lds = -1;
  int vmem = -1;
  int valu = -1;
  int salu = -1;
};

struct CodeObjectRecord {
  std::int64_t id = 0;
  std::string key = {};  // source, headers, options, compiler identity
  // The variant that it is put for, or was asked for; 0 where it was found by key. Variants that
  // differ only in how they are launched share one code object: put it once for each of them.
  std::int64_t variant_id = 0;
  std::int64_t toolchain_id = 0;
  std::string arch = {};
  std::string entry_template = {};  // "sparse_mla_decode" or "sparse_mla_reduce"
  Verdict verdict = Verdict::ok;
  std::string reason = {};   // empty when ok; the limit broken, or the compiler's log
  std::string content = {};  // hash of the code object itself; empty when there is none
  double compile_seconds = 0;
  Resources resources = {};
};

struct Session {
  std::int64_t id = 0;
  std::string started = {};  // UTC, ISO 8601
  std::string ended = {};    // empty while it runs, and for ever if it was killed
  std::string command = {};
  std::string version = {};
  std::uint64_t seed = 0;
  // JSON: clocks, temperature, governor, load: what a reader needs to trust the numbers.
  std::string conditions = "{}";
};

struct MeasurementRecord {
  std::int64_t id = 0;
  std::int64_t variant_id = 0;
  std::int64_t problem_id = 0;
  std::int64_t device_id = 0;
  std::int64_t toolchain_id = 0;
  std::int64_t session_id = 0;
  Evidence evidence = Evidence::predicted;
  Round round = Round::search;
  Verdict verdict = Verdict::ok;
  std::string reason = {};
  double median_us =
      0;  // of `samples`; for a prediction the model's time. 0 unless ok or unverified
  double mad_us = 0;
  double ci_low_us = 0;
  double ci_high_us = 0;
  double max_error = -1;               // largest |out - reference|; -1: not verified
  double cosine_gap = -1;              // 1 - cosine(out, reference); -1: not verified
  std::string recorded = {};           // UTC, ISO 8601; empty when put: now
  std::vector<float> samples_us = {};  // raw, in order of time; empty for a prediction
};

// A row of the winner view.
struct Winner {
  std::string arch = {};
  ProblemRecord problem = {};
  std::string rocm = {};
  std::string variant = {};  // VariantRecord::key
  std::string params = {};
  Evidence evidence = Evidence::predicted;
  double median_us = 0;
};

// The measurement that a winner won by, but for its samples.
struct WinnerOrigin {
  Device device = {};
  Toolchain toolchain = {};  // its release is Winner::rocm
  double mad_us = 0;
  double ci_low_us = 0;
  double ci_high_us = 0;
  double max_error = 0;
  double cosine_gap = 0;
  std::string recorded = {};
};

}  // namespace mla
