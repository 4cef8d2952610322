#include "kernels/plan_table.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "db/error.hpp"

namespace mla {
namespace {

std::uint64_t word(int low, int high) {
  return static_cast<std::uint32_t>(low) | std::uint64_t{static_cast<std::uint32_t>(high)} << 32;
}

std::uint32_t hash(const PlanKey& key) {
  // Odd constants of no meaning; the high bits of a product depend on all of its factors'.
  std::uint64_t h = key.words[0] * 0x9E3779B97F4A7C15u;
  h = (h ^ h >> 32 ^ key.words[1]) * 0xC2B2AE3D27D4EB4Fu;
  h = (h ^ h >> 32 ^ key.words[2]) * 0x165667B19E3779F9u;
  return static_cast<std::uint32_t>(h >> 32);
}

}  // namespace

PlanKey plan_key(const Query& query, bool has_sink, bool wants_lse) noexcept {
  const bool main = query.main_len > 0, extra = query.extra_len > 0;
  const int rest = query.heads << 8 | (main ? static_cast<int>(query.main_format) << 4 : 0) |
                   (extra ? static_cast<int>(query.extra_format) << 2 : 0) |
                   static_cast<int>(has_sink) << 1 | static_cast<int>(wants_lse);
  return {{word(query.tokens, query.main_len), word(query.extra_len, main ? query.main_page : 0),
           word(extra ? query.extra_page : 0, rest)}};
}

PlanTable* PlanTable::create(Dispatcher* owner) {
  void* memory = ::mmap(nullptr, sizeof(PlanTable), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw Error(ErrorKind::system, fmt::format("no memory for plans: {}", std::strerror(errno)));
  // Where the kernel is older than 4.14 a child is not told from its parent.
  ::madvise(memory, sizeof(PlanTable), MADV_WIPEONFORK);
  // The mapping is zero: what a table and its plans begin with.
  PlanTable* table = static_cast<PlanTable*>(memory);
  table->owner_ = owner;
  table->alive_ = kAlive;
  return table;
}

void PlanTable::close() noexcept {
  ::madvise(this, sizeof(PlanTable), MADV_DONTNEED);
  ::mprotect(this, sizeof(PlanTable), PROT_READ);
}

const Plan* PlanTable::find(const PlanKey& key) const noexcept {
  for (std::uint32_t at = hash(key);; ++at) {
    const Plan* plan = slots_[at % kSlots].load(std::memory_order_acquire);
    if (plan == nullptr || plan->key == key) return plan;
  }
}

const Plan* PlanTable::insert(const Plan& plan, bool& inserted) noexcept {
  inserted = false;
  // Counted back where it is full, so that it never wraps around.
  const std::uint32_t place = taken_.fetch_add(1, std::memory_order_relaxed);
  if (place >= kMostPlans) {
    taken_.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  Plan* mine = new (&plans_[place]) Plan(plan);
  for (std::uint32_t at = hash(plan.key);; ++at) {
    Plan* there = nullptr;
    if (slots_[at % kSlots].compare_exchange_strong(there, mine, std::memory_order_acq_rel)) {
      size_.fetch_add(1, std::memory_order_relaxed);
      inserted = true;
      return mine;
    }
    if (there->key == plan.key) return there;
  }
}

}  // namespace mla
