#include "tuner/space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "db/error.hpp"
#include "tuner/suggest.hpp"

namespace mla {

// A depth-first walk through a range of parameters. A constraint that fails cuts the whole box of
// points that agree in the parameters bound so far.
struct Space::Walk {
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> refused;  // by constraint
  std::function<void(const std::vector<std::int64_t>&)> admit;
};

Space::Space(SpaceParts parts) : parts_(std::move(parts)) {
  const std::vector<Parameter>& parameters = parts_.parameters;
  const std::size_t n = parameters.size();
  code_parameters_ = static_cast<std::size_t>(
      std::count_if(parameters.begin(), parameters.end(),
                    [](const Parameter& p) { return p.changes == Changes::code; }));
  slots_ = n + parts_.lets.size();

  box_.assign(n + 1, 1);
  for (std::size_t i = n; i > 0; --i)
    if (__builtin_mul_overflow(box_[i], static_cast<std::int64_t>(parameters[i - 1].values.size()),
                               &box_[i - 1]))
      throw Error(ErrorKind::usage,
                  parts_.file + ": the product of all values overflows; list fewer of them");

  // The step at which each slot is known: a parameter's own, a let's latest operand's.
  std::vector<std::size_t> known(slots_, 0);
  const auto ready = [&](const Expression& expression) {
    std::size_t step = 0;
    for (const int slot : expression.slots())
      step = std::max(step, known[static_cast<std::size_t>(slot)]);
    return step;
  };
  steps_.resize(n + 1);
  for (std::size_t i = 0; i < n; ++i) known[i] = i + 1;
  for (std::size_t i = 0; i < parts_.lets.size(); ++i) {
    const std::size_t step = ready(parts_.lets[i].expression);
    known[static_cast<std::size_t>(parts_.lets[i].slot)] = step;
    steps_[step].lets.push_back(static_cast<int>(i));
  }
  for (std::size_t i = 0; i < parts_.constraints.size(); ++i)
    steps_[ready(parts_.constraints[i].expression)].constraints.push_back(static_cast<int>(i));

  std::set<int> read;
  for (std::size_t step = code_parameters_ + 1; step <= n; ++step) {
    const auto note = [&](const Expression& expression) {
      for (const int slot : expression.slots())
        if (known[static_cast<std::size_t>(slot)] <= code_parameters_) read.insert(slot);
    };
    for (const int i : steps_[step].lets) note(parts_.lets[static_cast<std::size_t>(i)].expression);
    for (const int i : steps_[step].constraints)
      note(parts_.constraints[static_cast<std::size_t>(i)].expression);
  }
  code_slots_of_launch_.assign(read.begin(), read.end());
}

// Computes what follows from the parameters before `step`; the first constraint that fails, or -1.
int Space::bind(std::size_t step, std::int64_t* slots) const {
  for (const int i : steps_[step].lets) {
    const Let& let = parts_.lets[static_cast<std::size_t>(i)];
    slots[let.slot] = let.expression(slots);
  }
  for (const int i : steps_[step].constraints)
    if (parts_.constraints[static_cast<std::size_t>(i)].expression(slots) == 0) return i;
  return -1;
}

void Space::walk(Walk& walk, std::size_t level, std::size_t end) const {
  if (level == end) return walk.admit(walk.slots);
  for (const int value : parts_.parameters[level].values) {
    walk.slots[level] = value;
    const int broken = bind(level + 1, walk.slots.data());
    if (broken < 0)
      this->walk(walk, level + 1, end);
    else
      walk.refused[static_cast<std::size_t>(broken)] += box_[level + 1];
  }
}

SpaceCounts Space::count() const {
  const std::size_t n = parts_.parameters.size();
  const std::size_t constraints = parts_.constraints.size();
  SpaceCounts counts;
  counts.total = box_[0];
  counts.code_total = box_[0] / box_[code_parameters_];

  Walk code{std::vector<std::int64_t>(slots_), std::vector<std::int64_t>(constraints), {}};
  Walk launch{{}, {}, [&](const auto&) { ++counts.admissible; }};
  // Code points that agree in what launch constraints read admit the same launches: those are
  // walked once.
  struct Outcome {
    std::int64_t codes = 0;
    std::int64_t admissible = 0;
    std::vector<std::int64_t> refused;
  };
  std::map<std::vector<std::int64_t>, Outcome> outcomes;
  std::vector<std::int64_t> read(code_slots_of_launch_.size());
  code.admit = [&](const std::vector<std::int64_t>& slots) {
    ++counts.code_admissible;
    for (std::size_t i = 0; i < read.size(); ++i)
      read[i] = slots[static_cast<std::size_t>(code_slots_of_launch_[i])];
    Outcome& outcome = outcomes[read];
    if (outcome.codes++ > 0) return;
    launch.slots = slots;
    launch.refused.assign(constraints, 0);
    const std::int64_t before = counts.admissible;
    walk(launch, code_parameters_, n);
    outcome.admissible = counts.admissible - before;
    outcome.refused = launch.refused;
  };
  if (const int broken = bind(0, code.slots.data()); broken >= 0)
    code.refused[static_cast<std::size_t>(broken)] = box_[0];
  else
    walk(code, 0, code_parameters_);

  for (const auto& [key, outcome] : outcomes) {
    counts.admissible += (outcome.codes - 1) * outcome.admissible;
    for (std::size_t i = 0; i < constraints; ++i)
      code.refused[i] += outcome.codes * outcome.refused[i];
  }
  for (const Step& step : steps_)
    for (const int i : step.constraints) {
      const Constraint& c = parts_.constraints[static_cast<std::size_t>(i)];
      counts.refused.push_back(
          {c.name, c.because, c.where, code.refused[static_cast<std::size_t>(i)]});
    }
  return counts;
}

void Space::for_each_code(const std::function<void(const Point&)>& visit) const {
  Walk code{
      std::vector<std::int64_t>(slots_), std::vector<std::int64_t>(parts_.constraints.size()), {}};
  Point point(code_parameters_);
  code.admit = [&](const std::vector<std::int64_t>& slots) {
    for (std::size_t i = 0; i < code_parameters_; ++i) point[i] = static_cast<int>(slots[i]);
    visit(point);
  };
  if (bind(0, code.slots.data()) < 0) walk(code, 0, code_parameters_);
}

std::vector<Point> Space::code_points() const {
  std::vector<Point> points;
  for_each_code([&](const Point& point) { points.push_back(point); });
  return points;
}

std::vector<Point> Space::launch_points(const Point& code) const {
  std::vector<Point> points;
  Walk launch{
      std::vector<std::int64_t>(slots_), std::vector<std::int64_t>(parts_.constraints.size()), {}};
  const std::size_t n = parts_.parameters.size();
  launch.admit = [&](const std::vector<std::int64_t>& slots) {
    points.emplace_back(slots.begin(), slots.begin() + static_cast<std::ptrdiff_t>(n));
  };
  std::copy_n(code.begin(), code_parameters_, launch.slots.begin());
  for (std::size_t step = 0; step <= code_parameters_; ++step)
    if (bind(step, launch.slots.data()) >= 0) return points;
  walk(launch, code_parameters_, n);
  return points;
}

const Constraint* Space::refusal(const Point& point) const {
  std::vector<std::int64_t> slots(slots_);
  std::copy(point.begin(), point.end(), slots.begin());
  for (std::size_t step = 0; step <= point.size(); ++step)
    if (const int broken = bind(step, slots.data()); broken >= 0)
      return &parts_.constraints[static_cast<std::size_t>(broken)];
  return nullptr;
}

std::optional<std::int64_t> Space::derived(const Point& point, std::string_view name) const {
  std::vector<std::int64_t> slots(slots_);
  std::copy(point.begin(), point.end(), slots.begin());
  for (std::size_t step = 0; step <= point.size(); ++step)
    for (const int i : steps_[step].lets) {
      const Let& let = parts_.lets[static_cast<std::size_t>(i)];
      slots[static_cast<std::size_t>(let.slot)] = let.expression(slots.data());
      if (let.name == name) return slots[static_cast<std::size_t>(let.slot)];
    }
  return std::nullopt;
}

void Space::require_admissible(const SpaceCounts& counts) const {
  if (counts.admissible > 0) return;
  const auto last = std::find_if(counts.refused.rbegin(), counts.refused.rend(),
                                 [](const Refused& r) { return r.points > 0; });
  throw Error(ErrorKind::usage,
              fmt::format("{}: no variant of {} is admissible for {}: the last of {} points were "
                          "refused at {} by '{}' ({}); loosen it or list other values",
                          parts_.file, parts_.kernel, parts_.arch, counts.total, last->where,
                          last->constraint, last->because));
}

std::string Space::params(const Point& point) const {
  nlohmann::json params = nlohmann::json::object();  // a std::map underneath: its keys are sorted
  for (std::size_t i = 0; i < parts_.parameters.size(); ++i) {
    const Parameter& p = parts_.parameters[i];
    if (value_before(p.name) == point[i]) continue;
    if (p.enumeration != nullptr)
      params[p.name] = enumerator_name(*p.enumeration, point[i]);
    else
      params[p.name] = point[i];
  }
  return params.dump();
}

Point Space::point(std::string_view text) const {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::usage, fmt::format("parameters of {}: {}", parts_.kernel, what));
  };
  const nlohmann::json params = nlohmann::json::parse(text, nullptr, false);
  if (!params.is_object()) refuse("not a JSON object");
  std::vector<std::string> names;
  for (const Parameter& p : parts_.parameters) names.push_back(p.name);
  for (const auto& [key, value] : params.items())
    if (std::find(names.begin(), names.end(), key) == names.end())
      refuse(fmt::format("unknown parameter '{}'{}", key, suggestion(key, names)));
  Point point;
  for (const Parameter& p : parts_.parameters) {
    const auto given = params.find(p.name);
    const std::optional<int> before = value_before(p.name);
    if (given == params.end() && !before) refuse(fmt::format("'{}' is missing", p.name));
    const auto same = [&](int candidate) {
      if (given == params.end()) return candidate == *before;
      return p.enumeration != nullptr ? *given == enumerator_name(*p.enumeration, candidate)
                                      : *given == candidate;
    };
    const auto found = std::find_if(p.values.begin(), p.values.end(), same);
    if (found == p.values.end())
      refuse(fmt::format("{} is no value of '{}' on {} ({})",
                         given == params.end() ? std::to_string(*before) : given->dump(), p.name,
                         parts_.arch, parts_.file));
    point.push_back(*found);
  }
  return point;
}

}  // namespace mla
