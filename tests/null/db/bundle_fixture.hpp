#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "db/bundle_write.hpp"
#include "tests/null/db/fixture.hpp"

namespace mla::test {

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void put_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  std::filesystem::permissions(path, std::filesystem::perms(0644));
}

inline BundleContents::Code a_code(int n, const std::string& arch = "gfx950") {
  return {.key = key(n),
          .arch = arch,
          .kernel = n % 2 == 1 ? "sparse_mla_decode" : "sparse_mla_reduce",
          .toolchain = a_toolchain(),
          .code = "\177ELF" + arch + std::string(static_cast<std::size_t>(100 + n), 'c')};
}

inline BundleContents::Row a_winner(int tokens, const std::string& decode,
                                    const std::string& reduce, const std::string& arch = "gfx950") {
  return {.winner = {.winner = {.arch = arch,
                                .problem = a_problem(tokens),
                                .rocm = "7.2.4",
                                .variant = key(70),
                                .params = R"({"block_h":16,"block_k":32})",
                                .evidence = Evidence::measured,
                                .median_us = 12.5 + tokens},
                     .decode_key = decode,
                     .reduce_key = reduce},
          .origin = {.device = a_device(arch),
                     .toolchain = a_toolchain(),
                     .mad_us = 0.25,
                     .ci_low_us = 12,
                     .ci_high_us = 13,
                     .max_error = 1e-4,
                     .cosine_gap = 1e-7,
                     .recorded = "2026-01-02T03:04:05Z"}};
}

// Two archs; gfx950 has a winner with a reduce kernel and one without.
inline BundleContents small_contents() {
  return {.version = "0.1.0",
          .winners = {a_winner(1, key(1), key(2)), a_winner(8, key(3), ""),
                      a_winner(8, key(5), key(6), "host")},
          .fallbacks = {{"gfx950", R"({"block_h":16})", key(1), ""},
                        {"gfx950", R"({"block_h":16,"split_extra":2})", key(1), key(2)},
                        {"host", R"({"block_h":16})", key(5), key(6)}},
          .code_objects = {a_code(1), a_code(2), a_code(3), a_code(5, "host"), a_code(6, "host")}};
}

// All that a bundle answers, as one text.
inline std::string answers(const Bundle& bundle) {
  std::string all = bundle.version();
  const auto say = [&](const auto&... words) { ((all += '|', all += words), ...); };
  const auto number = [](auto value) { return std::to_string(value); };
  for (const std::string& arch : bundle.archs()) {
    say("arch", arch);
    for (const auto& [w, decode, reduce] : bundle.winners(arch)) {
      const ProblemRecord& p = w.problem;
      say(w.arch, p.kernel, number(p.num_heads), number(p.num_tokens), number(p.main_len),
          number(p.extra_len), number(p.main_page), number(p.extra_page), number(p.main_format),
          number(p.extra_format), p.lengths, number(p.warm_cache), w.rocm, w.variant, w.params,
          name(w.evidence), number(w.median_us), decode, reduce);
    }
    for (const auto& o : bundle.origins(arch))
      say(o.device.arch, o.device.name, o.toolchain.compiler, o.toolchain.release,
          o.toolchain.library, o.toolchain.llvm, number(o.mad_us), number(o.ci_low_us),
          number(o.ci_high_us), number(o.max_error), number(o.cosine_gap), o.recorded);
    for (const auto& f : bundle.fallbacks(arch)) say(f.arch, f.params, f.decode_key, f.reduce_key);
  }
  for (const auto& c : bundle.code_objects())
    say(c.key, c.arch, c.kernel, c.release, number(c.bytes), c.checksum, bundle.code_object(c.key));
  return all;
}

}  // namespace mla::test
