#pragma once

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tuner/source.hpp"
#include "tuner/winner_file.hpp"

namespace mla {

// A winner that everything takes; `splits` tells variants apart.
inline KnownWinner a_known_winner(int tokens = 8, int splits = 4,
                                  Evidence evidence = Evidence::measured, double us = 12.25,
                                  const std::string& arch = "gfx950") {
  Launch launch = fallback_launch(arch, {.heads = 16, .tokens = 1, .main_len = 128});
  launch.splits.split_extra = splits;
  KnownWinner known;
  Winner& w = known.winner;
  w.arch = arch;
  w.problem = {.kernel = "sparse_mla_decode",
               .num_heads = 16,
               .num_tokens = tokens,
               .main_len = 128,
               .extra_len = 1024,
               .main_page = 64,
               .extra_page = 2};
  w.rocm = "7.2.4";
  w.params = variant_params(launch);
  w.variant = variant_key("sparse_mla_decode", w.params);
  w.evidence = evidence;
  w.median_us = us;
  known.origin = {.device = {.arch = arch,
                             .name = "MI355X, \"the\" one",
                             .compute_units = 256,
                             .memory_bytes = 288000000000,
                             .clock_mhz = 2400,
                             .pci_id = "0000:05:00.0",
                             .partition = "SPX",
                             .driver = "6.14",
                             .runtime = "7.2.4"},
                  .toolchain = {.compiler = "hiprtc",
                                .release = "7.2.4",
                                .library = "libhiprtc.so.7.2.53211",
                                .llvm = "22.1.8"},
                  .mad_us = 0.1,
                  .ci_low_us = us - 0.125,
                  .ci_high_us = us + 0.125,
                  .max_error = 0.00048828125,
                  .cosine_gap = 2.5e-07,
                  .recorded = "2026-01-02T03:04:05Z"};
  return known;
}

// All of it, to compare.
inline std::string in_full(const std::vector<KnownWinner>& winners) { return winners_csv(winners); }

}  // namespace mla
