#pragma once

namespace mla {

// Calls f(name, field) for each field of a ProblemRecord but its id, under its name in the
// database.
template <class P, class F>
void for_each_problem_field(P& p, F&& f) {
  f("kernel", p.kernel);
  f("num_heads", p.num_heads);
  f("num_tokens", p.num_tokens);
  f("main_len", p.main_len);
  f("extra_len", p.extra_len);
  f("main_page", p.main_page);
  f("extra_page", p.extra_page);
  f("main_format", p.main_format);
  f("extra_format", p.extra_format);
  f("lengths", p.lengths);
  f("warm_cache", p.warm_cache);
}

}  // namespace mla
