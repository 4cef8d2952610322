#pragma once

#include <functional>
#include <string>
#include <vector>

#include "db/bundle_write.hpp"
#include "db/store.hpp"
#include "tuner/progress.hpp"
#include "tuner/tune.hpp"
#include "tuner/winner_file.hpp"

namespace mla {

// What of a database goes to production.
struct Selection {
  std::vector<std::string> archs = {};  // empty: every arch that has winners
  std::string release = {};             // "7.2": winners compiled by it alone; empty: all
};

// In the order of Store::winners(). Winners that this version's kernels do not take are passed over
// and named in `notes`. Throws Error{usage} where an arch has none.
std::vector<KnownWinner> exported_winners(Store& store, const Selection& selection,
                                          std::vector<std::string>& notes);

struct ExportParts {
  Store& store;
  SourceHeaders headers;
  // The compiler of that very release for that arch; throws Error{toolchain} where there is none.
  std::function<Compiler&(const std::string& arch, const std::string& release)> compiler;
  Progress& progress;
  std::function<bool()> stop;  // asked often; once true collect_bundle() throws Error{interrupted}
  int jobs = 1;
};

// The winners with their code objects, each made by its winner's release, and of each arch every
// launch of the built-in variant, made by the newest of those releases. A code object comes from
// the compiler's cache, or is compiled again. Where its key is not one that the winner was tuned
// with (the templates or the compiler changed since), `notes` says so: it is right by its own
// verification, but its time may be another. Throws Error{toolchain} where one does not compile.
BundleContents collect_bundle(const std::vector<KnownWinner>& winners, const ExportParts& parts,
                              std::vector<std::string>& notes);

}  // namespace mla
