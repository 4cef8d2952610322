#include "tuner/shapes.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "db/error.hpp"
#include "kernels/problem.hpp"
#include "tuner/suggest.hpp"
#include "tuner/yaml.hpp"

namespace mla {
namespace {

constexpr int kDefaultPage = 64;  // of the sliding window's cache
constexpr int kMostLength = 1 << 20;
constexpr int kMostTokens = 1 << 16;

int integer(const Yaml& node, const std::string& key, int least, int most) {
  return static_cast<int>(node[key].integer(least, most));
}

int integer_or(const Yaml& node, const std::string& key, int absent, int least, int most) {
  const auto found = node.find(key);
  return found ? static_cast<int>(found->integer(least, most)) : absent;
}

// One of two words; the first is the default.
bool is_second(const Yaml& node, const std::string& key, const std::string& first,
               const std::string& second) {
  const auto found = node.find(key);
  if (!found || found->text() == first) return false;
  if (found->text() == second) return true;
  found->fail(fmt::format("'{}' is neither {} nor {}", found->text(), first, second));
}

class Reader {
 public:
  Reader(const Arch& arch, std::string kernel) : arch_(arch), kernel_(std::move(kernel)) {}

  void grid(const Yaml& node) {
    node.allow({"heads", "tokens", "streams", "main_page", "lengths", "cache"}, "a grid");
    const auto heads = list(node["heads"], 128), tokens = list(node["tokens"], kMostTokens);
    const std::vector<Yaml> streams = node["streams"].items();
    if (streams.empty()) node["streams"].fail("a grid needs at least one stream");
    for (const Yaml& stream : streams) {
      stream.allow({"main_len", "extra_len", "extra_page"}, "a stream");
      for (const int h : heads)
        for (const int t : tokens) add(stream, node, h, t);
    }
  }

  void problem(const Yaml& node) {
    node.allow(
        {"heads", "tokens", "main_len", "main_page", "extra_len", "extra_page", "lengths", "cache"},
        "a problem");
    add(node, node, integer(node, "heads", 1, 128), integer(node, "tokens", 1, kMostTokens));
  }

  std::vector<ProblemRecord> take() { return std::move(problems_); }

 private:
  static std::vector<int> list(const Yaml& node, int most) {
    std::vector<int> values;
    for (const std::int64_t value : node.integers(1, most))
      values.push_back(static_cast<int>(value));
    if (values.empty()) node.fail("at least one number is expected here");
    return values;
  }

  // `stream` has the lengths, `conditions` the rest; in a list of problems both are the same.
  void add(const Yaml& stream, const Yaml& conditions, int heads, int tokens) {
    const int extra_len = integer_or(stream, "extra_len", 0, 0, kMostLength);
    if (extra_len == 0 && stream.find("extra_page"))
      stream.fail("extra_page is given, but extra_len is 0: there is no extra scope");
    ProblemRecord problem =
        make_problem(arch_, heads, tokens, integer(stream, "main_len", 0, kMostLength),
                     integer_or(conditions, "main_page", kDefaultPage, 1, 1 << 16), extra_len,
                     extra_len == 0 ? 0 : integer(stream, "extra_page", 1, 1 << 16));
    problem.kernel = kernel_;
    problem.lengths = is_second(conditions, "lengths", "uniform", "ragged") ? "ragged" : "uniform";
    problem.warm_cache = is_second(conditions, "cache", "cold", "warm");
    try {
      validate(problem);
    } catch (const Error& e) {
      stream.fail(e.what());
    }
    if (std::find(problems_.begin(), problems_.end(), problem) != problems_.end())
      stream.fail(fmt::format("the problem with {} heads, {} tokens and {}+{} keys is given twice",
                              heads, tokens, problem.main_len, extra_len));
    problems_.push_back(problem);
  }

  const Arch& arch_;
  std::string kernel_;
  std::vector<ProblemRecord> problems_;
};

}  // namespace

ProblemRecord make_problem(const Arch& arch, int heads, int tokens, int main_len, int main_page,
                           int extra_len, int extra_page) {
  ProblemRecord problem;
  problem.kernel = "sparse_mla_decode";
  problem.num_heads = heads;
  problem.num_tokens = tokens;
  problem.main_len = main_len;
  problem.main_page = main_page;
  problem.main_format = static_cast<int>(arch.main_format);
  if (extra_len > 0) {
    problem.extra_len = extra_len;
    problem.extra_page = extra_page;
    problem.extra_format = static_cast<int>(arch.extra_format);
  }
  return problem;
}

std::vector<ProblemRecord> load_shapes(const std::filesystem::path& file, const Arch& arch) {
  const Yaml root = Yaml::load(file);
  root.allow({"kernel", "grid", "problems"}, "a file of shapes");
  const std::string kernel = root["kernel"].text();
  if (kernel != "sparse_mla_decode")
    root["kernel"].fail(fmt::format("'{}' has no shapes of its own{}", kernel,
                                    suggestion(kernel, {"sparse_mla_decode"})));
  Reader reader(arch, kernel);
  if (const auto grids = root.find("grid"))
    for (const Yaml& node : grids->items()) reader.grid(node);
  if (const auto problems = root.find("problems"))
    for (const Yaml& node : problems->items()) reader.problem(node);
  std::vector<ProblemRecord> all = reader.take();
  if (all.empty()) root.fail("no problem is given: write 'grid:' or 'problems:'");
  return all;
}

}  // namespace mla
