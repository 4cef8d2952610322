#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "db/store.hpp"
#include "tuner/winner_file.hpp"

namespace mla {

struct ImportReport {
  std::size_t added = 0;  // winners that are rows of the database now
  std::size_t known = 0;  // that it had already
  // One sentence for each winner that meets something else here: what is here, what came, and which
  // of the two the dispatcher will take.
  std::vector<std::string> conflicts;
};

// Adds what others found out. Each winner becomes a measurement of the final round, with its median
// as the only sample where it was measured; the view `winner` decides as it always does. Nothing
// here is replaced: a winner whose variant was measured here for that problem, or failed here, is
// left out, and so is a prediction where there is one. Importing again adds nothing. All or
// nothing; the database is open for writing. Throws Error{usage} where a winner is none.
ImportReport import_winners(Store& store, std::span<const KnownWinner> winners,
                            const Session& session);

}  // namespace mla
