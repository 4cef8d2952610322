#include "tuner/embed.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string>

#include "db/error.hpp"
#include "tuner/whole_file.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBytesPerLine = 64;

constexpr const char* kHeader =
    R"(/* Written by `mla-tune export --cpp`: the fastest known kernels, with their code. */
#ifndef MLA_BUNDLE_H
#define MLA_BUNDLE_H

#include <mla_dispatch.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was found to be fastest for a shape; to read, the dispatcher does not need it. Lengths are
 * keys per query token, pages tokens, formats mla_fp8. */
typedef struct mla_bundle_winner {
  const char* arch;
  int heads, tokens, main_len, extra_len, main_page, extra_page, main_format, extra_format;
  const char* lengths; /* "uniform" or "ragged" */
  int warm_cache;
  const char* release;  /* of the compiler */
  const char* variant;  /* key */
  const char* params;   /* JSON */
  const char* evidence; /* "measured" or "predicted" */
  double median_us;
  const char* decode_key; /* of its code objects; reduce_key "" with one split */
  const char* reduce_key;
} mla_bundle_winner;

extern const mla_bundle_winner mla_bundle_winners[];
extern const size_t mla_bundle_winner_count;

/* The bundle: the very bytes that `mla-tune export --out` writes. */
extern const unsigned char mla_bundle_bytes[];
extern const size_t mla_bundle_size;

/* mla_open_memory() with them. */
mla_status mla_open_bundle(int32_t device, const mla_options* options,
                           mla_dispatcher** dispatcher);

#ifdef __cplusplus
}
#endif

#endif
)";

constexpr const char* kCMake =
    R"(# Written by `mla-tune export --cpp`. add_subdirectory() this folder and link with mla_bundle.
cmake_minimum_required(VERSION 3.16)
project(mla_bundle LANGUAGES CXX)
if(NOT TARGET mla_tune::mla_dispatch)
  find_package(mla_tune REQUIRED)
endif()
add_library(mla_bundle STATIC mla_bundle.cpp)
set_target_properties(mla_bundle PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(mla_bundle PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(mla_bundle PUBLIC mla_tune::mla_dispatch)
)";

// Of a literal: a byte that could end or escape it, or that is not to be seen, is three octal
// digits, never fewer, so that a digit behind it stays one.
void append_literal(std::string& out, std::string_view bytes) {
  out += '"';
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte <= '~' && c != '"' && c != '\\' && c != '?') {
      out += c;
    } else {
      for (const int shift : {6, 3, 0}) {
        if (shift == 6) out += '\\';
        out += static_cast<char>('0' + (byte >> shift & 7));
      }
    }
  }
  out += '"';
}

std::string literal(std::string_view text) {
  std::string out;
  append_literal(out, text);
  return out;
}

std::string row_of(const BundleWinner& row) {
  const Winner& w = row.winner;
  const ProblemRecord& p = w.problem;
  return fmt::format(
      "    {{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {},\n     {}, {},\n     {},\n"
      "     {}, {}, {}, {}}},\n",
      literal(w.arch), p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page,
      p.extra_page, p.main_format, p.extra_format, literal(p.lengths), int{p.warm_cache},
      literal(w.rocm), literal(w.variant), literal(w.params), literal(name(w.evidence)),
      w.median_us, literal(row.decode_key), literal(row.reduce_key));
}

}  // namespace

void embed_bundle(const fs::path& folder, const BundleContents& contents, std::string_view bytes) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed)
    throw Error(ErrorKind::system, fmt::format("cannot make {}: {}; name another folder with --cpp",
                                               folder.string(), failed.message()));
  std::string source =
      "// Written by `mla-tune export --cpp`; export again rather than edit.\n"
      "#include \"mla_bundle.h\"\n\nextern \"C\" {\n\n"
      "const mla_bundle_winner mla_bundle_winners[] = {\n";
  for (const auto& row : contents.winners) source += row_of(row.winner);
  fmt::format_to(std::back_inserter(source),
                 "}};\nconst size_t mla_bundle_winner_count = {};\n\n"
                 "const size_t mla_bundle_size = {};\n"
                 "alignas(64) const unsigned char mla_bundle_bytes[] =\n",
                 contents.winners.size(), bytes.size());
  for (std::size_t at = 0; at < bytes.size(); at += kBytesPerLine) {
    source += "    ";
    append_literal(source, bytes.substr(at, kBytesPerLine));
    source += '\n';
  }
  source +=
      "    ;\n\n"
      "mla_status mla_open_bundle(int32_t device, const mla_options* options,\n"
      "                           mla_dispatcher** dispatcher) {\n"
      "  return mla_open_memory(mla_bundle_bytes, mla_bundle_size, \"the bundle in the program\", "
      "device,\n                         options, dispatcher);\n}\n\n}\n";
  write_whole(folder / "mla_bundle.cpp", source);
  write_whole(folder / "mla_bundle.h", kHeader);
  write_whole(folder / "CMakeLists.txt", kCMake);
}

}  // namespace mla
