// When two compilations under one key tell the same, and what is kept of both.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "db/merge_rows.hpp"

namespace mla {
namespace {

struct Field {
  const char* name;
  int Resources::*field;
};
constexpr Field kFields[] = {{"vgprs", &Resources::vgprs},
                             {"agprs", &Resources::agprs},
                             {"sgprs", &Resources::sgprs},
                             {"lds_bytes", &Resources::lds_bytes},
                             {"scratch_bytes", &Resources::scratch_bytes},
                             {"vgpr_spills", &Resources::vgpr_spills},
                             {"sgpr_spills", &Resources::sgpr_spills},
                             {"code_bytes", &Resources::code_bytes},
                             {"waves_per_simd", &Resources::waves_per_simd},
                             {"mfma", &Resources::mfma},
                             {"lds", &Resources::lds},
                             {"vmem", &Resources::vmem},
                             {"valu", &Resources::valu},
                             {"salu", &Resources::salu}};

// A crash and a passed deadline say something of the machine; everything else the next compilation
// under the key would say too.
bool is_settled(const CodeObjectRecord& c) {
  return c.verdict != Verdict::timed_out && c.verdict != Verdict::crashed;
}

struct Difference {
  std::string ours, theirs;
};

// Makes `ours` what both know, or tells in what they contradict each other. The order of the two
// makes no difference, nor does how often either comes by.
std::optional<Difference> join(CodeObjectRecord& ours, const CodeObjectRecord& theirs) {
  const auto differ = [](const char* what, const auto& a, const auto& b) {
    return Difference{fmt::format("{} {}", what, a), fmt::format("{} {}", what, b)};
  };
  if (ours.toolchain_id != theirs.toolchain_id) return Difference{"one toolchain", "another"};
  if (ours.arch != theirs.arch) return differ("arch", ours.arch, theirs.arch);
  if (ours.entry_template != theirs.entry_template)
    return differ("entry_template", ours.entry_template, theirs.entry_template);
  if (is_settled(ours) != is_settled(theirs)) {
    if (is_settled(theirs)) ours = theirs;
    return std::nullopt;
  }
  if (!is_settled(ours)) {
    const auto order = [](const CodeObjectRecord& c) {
      return std::tie(c.verdict, c.reason, c.compile_seconds);
    };
    if (order(theirs) < order(ours)) ours = theirs;
    return std::nullopt;
  }
  if (ours.verdict != theirs.verdict)
    return differ("verdict", name(ours.verdict), name(theirs.verdict));
  if (ours.content != theirs.content) return differ("content", ours.content, theirs.content);
  for (const auto& [name, field] : kFields) {
    int& mine = ours.resources.*field;
    const int other = theirs.resources.*field;
    // Unknown where no disassembler was at hand.
    if (mine >= 0 && other >= 0 && mine != other) return differ(name, mine, other);
    mine = std::max(mine, other);
  }
  // A compiler's words name its temporary files; the quickest was disturbed least.
  ours.reason = std::min(ours.reason, theirs.reason);
  ours.compile_seconds = std::min(ours.compile_seconds, theirs.compile_seconds);
  return std::nullopt;
}

bool is_equal(const CodeObjectRecord& a, const CodeObjectRecord& b) {
  return a.verdict == b.verdict && a.reason == b.reason && a.content == b.content &&
         a.compile_seconds == b.compile_seconds &&
         std::ranges::all_of(
             kFields, [&](const Field& f) { return a.resources.*f.field == b.resources.*f.field; });
}

}  // namespace

void Store::Merge::take_code_objects(Store& in) {
  auto keys = in.impl_->query("SELECT id, key FROM code_objects ORDER BY id");
  while (keys.step()) {
    CodeObjectRecord theirs = in.find_code_object(keys.text(1)).value();
    theirs.toolchain_id = toolchains_.at(theirs.toolchain_id);
    const std::string row = "code object " + theirs.key;
    const auto known = out_.find_code_object(theirs.key);
    if (!known) {
      code_objects_[theirs.id] = out_.put_unlinked(theirs);
      origins_[row] = in_name_;
      continue;
    }
    code_objects_[theirs.id] = known->id;
    CodeObjectRecord joined = *known;
    if (const auto difference = join(joined, theirs)) {
      conflict(row, difference->theirs, difference->ours);
    } else if (!is_equal(joined, *known)) {
      out_.put_unlinked(joined);
      if (!origins_.contains(row)) ++updated_code_objects_;
    }
  }
  auto links = in.impl_->query("SELECT variant_id, code_object_id FROM variant_code_objects");
  while (links.step()) {
    out_.impl_
        ->query(
            "INSERT INTO variant_code_objects (variant_id, code_object_id) VALUES (?, ?)"
            " ON CONFLICT DO NOTHING",
            variants_.at(links.integer(0)), code_objects_.at(links.integer(1)))
        .run();
  }
}

}  // namespace mla
