#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.hpp"

namespace mla {

class Dispatcher;

// A query as three words: equal for equal problems, and nothing else.
struct PlanKey {
  std::uint64_t words[3];
  friend bool operator==(const PlanKey&, const PlanKey&) = default;
};
inline PlanKey plan_key(const Query& query, bool has_sink, bool wants_lse) noexcept {
  const auto word = [](int low, int high) {
    return static_cast<std::uint32_t>(low) | std::uint64_t{static_cast<std::uint32_t>(high)} << 32;
  };
  const bool main = query.main_len > 0, extra = query.extra_len > 0;
  const int rest = query.heads << 8 | (main ? static_cast<int>(query.main_format) << 4 : 0) |
                   (extra ? static_cast<int>(query.extra_format) << 2 : 0) |
                   static_cast<int>(has_sink) << 1 | static_cast<int>(wants_lse);
  return {{word(query.tokens, query.main_len), word(query.extra_len, main ? query.main_page : 0),
           word(extra ? query.extra_page : 0, rest)}};
}
// Whether no other query has this key, though nobody has checked it yet: heads and formats share a
// word.
inline bool packs(const Query& q) noexcept {
  return static_cast<unsigned>(q.heads) < 256 && static_cast<unsigned>(q.main_format) < 4 &&
         static_cast<unsigned>(q.extra_format) < 4;
}

// How one problem is launched. Immutable once it is in the table.
struct Plan {
  std::uint32_t alive;  // kAlive; 0 where the memory was given back, and in a child after fork()
  bool has_sink, wants_lse;
  PlanKey key;
  Query query;
  const Dispatcher* owner;
  void* decode;  // functions of the launch device; null: there is no code
  void* reduce;
  bool reduce_waits;  // KernelLaunch::waits of it
  bool counts;        // whether workspaces begin with kArrivalCounters zeros
  Answer answer;

  bool splits() const noexcept { return answer.partials > 1; }
  bool last_merges() const noexcept { return counts && answer.arrival_counters > 0; }
  bool reduces() const noexcept { return splits() && !last_merges(); }
  // Before what workspace_floats() says. The same for all plans of a dispatcher that split, as one
  // workspace serves them in turn.
  long long counter_bytes() const noexcept {
    return counts && splits() ? kArrivalCounters * static_cast<long long>(sizeof(unsigned)) : 0;
  }
  long long workspace_bytes(int tokens) const noexcept {
    return counter_bytes() + workspace_floats(tokens, query.heads, answer.partials) *
                                 static_cast<long long>(sizeof(float));
  }
};

// What outlives a dispatcher: a mapping of its own, so that a handle can be looked at whatever has
// become of it. Once closed, and in a child after fork(), all of it reads as zero.
//
// The plans are an append-only hash table: readers take no lock and never wait; of threads that
// insert equal plans at once one wins, and all get the winner's.
class PlanTable {
 public:
  static constexpr std::uint32_t kAlive = 0x6d6c6164;
  static constexpr std::uint32_t kMostPlans = 1 << 16;

  // Throws Error{system}.
  static PlanTable* create(Dispatcher* owner);
  // Null where there is no table any more.
  static Dispatcher* owner_of(const PlanTable* table) noexcept {
    return table != nullptr && table->alive_ == kAlive ? table->owner_ : nullptr;
  }
  // Gives the memory back, but not the addresses.
  void close() noexcept;

  // Here, as plan_key() is, because a serving engine asks at every launch.
  const Plan* find(const PlanKey& key) const noexcept {
    for (std::uint32_t at = hash(key);; ++at) {
      const Plan* plan = slots_[at % kSlots].load(std::memory_order_acquire);
      if (plan == nullptr || plan->key == key) return plan;
    }
  }
  // The plan of that key that is in the table now; null where the table is full.
  const Plan* insert(const Plan& plan, bool& inserted) noexcept;
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kSlots = 2 * kMostPlans;
  PlanTable() = default;
  static std::uint32_t hash(const PlanKey& key) noexcept {
    // Odd constants of no meaning; the high bits of a product depend on all of its factors'.
    std::uint64_t h = key.words[0] * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32 ^ key.words[1]) * 0xC2B2AE3D27D4EB4Fu;
    h = (h ^ h >> 32 ^ key.words[2]) * 0x165667B19E3779F9u;
    return static_cast<std::uint32_t>(h >> 32);
  }

  std::uint32_t alive_;
  Dispatcher* owner_;
  std::atomic<std::uint32_t> taken_;  // places in plans_, some given up
  std::atomic<std::uint32_t> size_;
  std::atomic<Plan*> slots_[kSlots];
  Plan plans_[kMostPlans];
};

}  // namespace mla
