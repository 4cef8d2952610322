#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/compare.hpp"
#include "tuner/arch.hpp"
#include "tuner/expression.hpp"

namespace mla {

// What another value of a parameter costs.
enum class Changes {
  code,    // another compilation
  launch,  // another grid of the same code
  reduce,  // another reduce kernel beside the same decode kernel
};

struct Parameter {
  std::string name;
  const Enumeration* enumeration = nullptr;  // null: an integer
  std::vector<int> values;                   // those of the arch, in the file's order; never empty
  Changes changes = Changes::code;
};

// One value per parameter, in the order of Space::parameters(). A code point has the code
// parameters' values alone.
using Point = std::vector<int>;

struct Constraint {
  std::string name;
  Expression expression;  // of ValueType::truth
  std::string because;
  std::string where;  // file:line
};

struct Refused {
  std::string constraint;
  std::string because;
  std::string where;
  std::int64_t points = 0;
};

// total == admissible + the sum of refused. Constraints are tested in the order in which their
// parameters are bound (code, launch, reduce; each as in the file), those of one parameter as in
// the file; a refused point is charged to the first that refuses it.
struct SpaceCounts {
  std::int64_t total = 0;
  std::int64_t admissible = 0;
  std::int64_t code_total = 0;       // combinations of code parameters
  std::int64_t code_admissible = 0;  // of them, those that code_points() lists
  std::vector<Refused> refused;      // every constraint, in the order of testing
};

// A quantity derived from parameters and limits, under a name constraints may use.
struct Let {
  std::string name;
  int slot = 0;
  Expression expression;
};

// What a file says, checked; slots number the parameters, then the lets.
struct SpaceParts {
  std::string file;
  std::string kernel;  // "sparse_mla_decode"
  std::string arch;
  std::string reduce;                 // the template of its reduce kernel; empty: it has none
  std::vector<Parameter> parameters;  // code, launch, reduce
  std::vector<Let> lets;
  std::vector<Constraint> constraints;
  Tolerance tolerance;  // when its output is right
  std::string tolerance_because;
};

// The variants that a YAML space admits for one arch. Immutable: use from any number of threads.
class Space {
 public:
  // Reads <configs>/spaces/<kernel>.yaml, and the space of its reduce kernel beside it, whose
  // constraints hold for the reduce_ parameters. Throws Error{usage} with file:line and the nearest
  // known name.
  static Space load(const std::filesystem::path& configs, const std::string& kernel,
                    const Arch& arch);
  explicit Space(SpaceParts parts);

  const std::string& kernel() const { return parts_.kernel; }
  const std::string& reduce() const { return parts_.reduce; }
  const std::string& arch() const { return parts_.arch; }
  const std::vector<Parameter>& parameters() const { return parts_.parameters; }
  std::size_t code_parameters() const { return code_parameters_; }  // they come first
  const Tolerance& tolerance() const { return parts_.tolerance; }

  SpaceCounts count() const;

  // The code points that break no constraint on code parameters, in lexical order of the file's
  // values. Some may admit no launch at all: then launch_points() is empty.
  void for_each_code(const std::function<void(const Point&)>& visit) const;
  std::vector<Point> code_points() const;

  // The admissible points of that code: `code` itself, followed by launch and reduce parameters.
  std::vector<Point> launch_points(const Point& code) const;

  // The first constraint that a whole point or a code point breaks; null: none. Values outside the
  // parameters' lists are taken as they are.
  const Constraint* refusal(const Point& point) const;

  // What the `let` of that name comes to at a whole or code point; none where there is no such let,
  // or where it needs parameters that a code point lacks.
  std::optional<std::int64_t> derived(const Point& point, std::string_view let) const;

  // Throws Error{usage} naming the constraint that refused the last points, where `counts` admits
  // none.
  void require_admissible(const SpaceCounts& counts) const;

  // Canonical JSON of a whole point (keys sorted, no spaces, enumerators by name), and back.
  // point() throws Error{usage} naming a missing, an unknown or a misspelt key, or a value that the
  // parameter does not have.
  std::string params(const Point& point) const;
  Point point(std::string_view params) const;

 private:
  struct Walk;
  // What can be computed and tested once the parameter before it is bound.
  struct Step {
    std::vector<int> lets;
    std::vector<int> constraints;
  };

  int bind(std::size_t step, std::int64_t* slots) const;
  void walk(Walk& walk, std::size_t level, std::size_t end) const;

  SpaceParts parts_;
  std::size_t code_parameters_ = 0;
  std::size_t slots_ = 0;
  std::vector<Step> steps_;                // one more than parameters: step 0 needs none
  std::vector<std::int64_t> box_;          // points under one value of each parameter before it
  std::vector<int> code_slots_of_launch_;  // what launch constraints read of the code point
};

}  // namespace mla
