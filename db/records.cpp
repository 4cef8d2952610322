#include "db/records.hpp"

#include <fmt/format.h>

#include "db/error.hpp"

namespace mla {

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::rejected:
      return "rejected";
    case Verdict::compile_failed:
      return "compile_failed";
    case Verdict::wrong_result:
      return "wrong_result";
    case Verdict::launch_failed:
      return "launch_failed";
    case Verdict::timed_out:
      return "timed_out";
    case Verdict::crashed:
      return "crashed";
    case Verdict::unverified:
      return "unverified";
  }
  throw Error(ErrorKind::internal, fmt::format("no verdict has the value {}", int(verdict)));
}

std::string_view name(Evidence evidence) {
  switch (evidence) {
    case Evidence::measured:
      return "measured";
    case Evidence::predicted:
      return "predicted";
  }
  throw Error(ErrorKind::internal, fmt::format("no evidence has the value {}", int(evidence)));
}

std::string_view name(Round round) {
  switch (round) {
    case Round::search:
      return "search";
    case Round::final:
      return "final";
  }
  throw Error(ErrorKind::internal, fmt::format("no round has the value {}", int(round)));
}

namespace {

template <typename Enum>
Enum known(int stored) {
  const auto value = static_cast<Enum>(stored);
  try {
    name(value);
  } catch (const Error& error) {
    throw Error(ErrorKind::database, fmt::format("{}: what holds it is damaged, or was written by "
                                                 "a newer mla-tune",
                                                 error.what()));
  }
  return value;
}

}  // namespace

Verdict verdict_from(int stored) { return known<Verdict>(stored); }
Evidence evidence_from(int stored) { return known<Evidence>(stored); }
Round round_from(int stored) { return known<Round>(stored); }

}  // namespace mla
