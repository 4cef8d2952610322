#include "kernels/plan_table.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "db/error.hpp"

namespace mla {

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
