#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tuner/source.hpp"
#include "tuner/tune_state.hpp"

namespace mla {

// What wins with another release is likely to be good with this one, and whoever compares the two
// asks what became of it. Compiled when the plan is done, so that the plan stays what it would have
// been without.
void Tuning::compile_other_winners() {
  // Shards follow one plan, and their databases differ.
  if (limits_.exhaustive || limits_.shard.count > 1) return;
  std::set<std::string> wanted;
  for (const Winner& winner : store_.winners(parts_.arch.name)) {
    if (winner.rocm == parts_.compiler.toolchain().record.release) continue;
    try {
      wanted.insert(decode_source(variant_launch(winner.params).config));
    } catch (const Error&) {
      // Of a version with other parameters.
    }
  }
  for (const Code& code : codes_) wanted.erase(decode_source(code.config));
  if (wanted.empty()) return;
  std::vector<Point> points;
  for (const Point& point : parts_.space.code_points())
    if (wanted.contains(decode_source(reader_(point).config))) points.push_back(point);
  if (points.empty()) return;
  progress_.begin("compiling winners of other releases", points.size());
  compile_points(points);
}

}  // namespace mla
