// The table of plans, where threads meet. Built a second time with every access watched.

#include "kernels/plan_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace mla {
namespace {

Plan plan_for(int tokens, int heads) {
  Plan plan{};
  plan.alive = PlanTable::kAlive;
  plan.query = {.heads = heads, .tokens = tokens, .main_len = 128};
  plan.key = plan_key(plan.query, false, false);
  return plan;
}

Dispatcher* some_owner() {
  static int anything;
  return reinterpret_cast<Dispatcher*>(&anything);
}

TEST(PlanTable, FindsWhatWasInsertedAndNothingElse) {
  PlanTable* table = PlanTable::create(some_owner());
  bool inserted = false;
  const Plan plan = plan_for(3, 16);
  EXPECT_EQ(table->find(plan.key), nullptr);
  const Plan* there = table->insert(plan, inserted);
  EXPECT_TRUE(inserted);
  EXPECT_EQ(table->find(plan.key), there);
  EXPECT_EQ(table->insert(plan, inserted), there);
  EXPECT_FALSE(inserted);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(table->find(plan_for(4, 16).key), nullptr);
  EXPECT_EQ(PlanTable::owner_of(table), some_owner());
  table->close();
  EXPECT_EQ(PlanTable::owner_of(table), nullptr);
  EXPECT_NE(there->alive, PlanTable::kAlive);
}

TEST(PlanTable, ThreadsThatInsertTheSameAllGetTheSame) {
  constexpr int kThreads = 8, kPlans = 500;
  PlanTable* table = PlanTable::create(some_owner());
  std::vector<const Plan*> seen[kThreads];
  std::vector<int> made(kThreads);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kPlans; ++i) {
          const Plan plan = plan_for(1 + i, 16);
          const Plan* there = table->find(plan.key);
          bool inserted = false;
          if (there == nullptr) there = table->insert(plan, inserted);
          made[t] += inserted;
          if (!(there->key == plan.key) || there->query.tokens != 1 + i) there = nullptr;
          seen[t].push_back(there);
        }
      });
    }
  }
  int all = 0;
  for (std::size_t t = 0; t < kThreads; ++t) {
    EXPECT_EQ(seen[t], seen[0]);
    all += made[t];
  }
  EXPECT_EQ(all, kPlans);
  EXPECT_EQ(table->size(), static_cast<std::uint32_t>(kPlans));
  EXPECT_EQ(std::count(seen[0].begin(), seen[0].end(), nullptr), 0);
  table->close();
}

}  // namespace
}  // namespace mla
