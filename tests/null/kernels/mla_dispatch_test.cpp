// The C API without a device: opening, planning, what is refused, and handles that are no more.

#include "kernels/mla_dispatch.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "tests/null/kernels/some_bundle.hpp"

namespace mla {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Query kServed{.heads = 16, .tokens = 8, .main_len = 128, .extra_len = 1024};

class DispatchLibrary : public ::testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("MLA_DISPATCH");
    test::SomeBundle bundle("gfx950");
    bundle.add(kServed, 4);
    Query larger = kServed, guessed = kServed;
    larger.tokens = 64;
    guessed.heads = 128;
    bundle.add(larger, 2);
    bundle.add(guessed, 8, Evidence::predicted);
    bundle.write(path_);
    options_.arch = "gfx950";
  }
  void TearDown() override { mla_close(dispatcher_); }

  void open() {
    ASSERT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &dispatcher_), MLA_OK)
        << mla_last_error();
  }
  // What opening comes to; the reason is in mla_last_error().
  mla_status opened(const std::string& path, int device = MLA_DEVICE_NONE) {
    mla_close(dispatcher_);
    return mla_open(path.c_str(), device, &options_, &dispatcher_);
  }
  static mla_problem served(int tokens = 8) {
    mla_problem problem = mla_problem_init();
    problem.heads = 16;
    problem.tokens = tokens;
    problem.main_capacity = 128;
    problem.extra_capacity = 1024;
    return problem;
  }
  const mla_launch_plan* plan(const mla_problem& problem) {
    const mla_launch_plan* plan = nullptr;
    EXPECT_EQ(mla_plan(dispatcher_, &problem, &plan), MLA_OK) << mla_last_error();
    return plan;
  }
  mla_plan_info info(const mla_problem& problem) {
    mla_plan_info info = mla_plan_info_init();
    EXPECT_EQ(mla_get_plan_info(plan(problem), &info), MLA_OK);
    return info;
  }
  int grade(const mla_problem& problem) { return info(problem).grade; }

  test::TempDir folder_;
  std::string path_ = folder_ / "b.bundle";
  mla_options options_ = mla_options_init();
  mla_dispatcher* dispatcher_ = nullptr;
};

TEST_F(DispatchLibrary, PlansAsTheTableAnswers) {
  open();
  const mla_plan_info exact = info(served());
  EXPECT_EQ(exact.grade, MLA_GRADE_EXACT);
  EXPECT_EQ(exact.evidence, MLA_EVIDENCE_MEASURED);
  EXPECT_EQ(exact.variant, test::key(4));
  EXPECT_THAT(exact.params, HasSubstr("\"split_extra\":4"));
  EXPECT_STREQ(exact.release, "7.2.4");
  EXPECT_EQ(exact.median_us, 10);
  EXPECT_EQ(exact.splits, 4);
  EXPECT_EQ(exact.kernel_count, 2);
  EXPECT_EQ(exact.workspace_bytes, 8LL * 16 * 4 * 515 * 4);
  EXPECT_EQ(exact.tuned_extra_len, 1024);
  EXPECT_EQ(exact.decode_grid[0], 8u);
  EXPECT_EQ(exact.reduce_grid[1], 16u);
  EXPECT_EQ(exact.grid_order, static_cast<unsigned>(GridOrder::tokens));
  EXPECT_EQ(exact.has_code, 0) << "there is no device";

  EXPECT_EQ(grade(served(5)), MLA_GRADE_NEAREST);
  EXPECT_EQ(info(served(100)).tuned_tokens, 64);
  mla_problem other = served();
  other.heads = 128;
  EXPECT_EQ(grade(other), MLA_GRADE_PREDICTED);
  EXPECT_EQ(info(other).evidence, MLA_EVIDENCE_PREDICTED);
  other.heads = 64;
  EXPECT_EQ(grade(other), MLA_GRADE_FALLBACK);
  EXPECT_EQ(info(other).evidence, MLA_EVIDENCE_NONE);
  EXPECT_STREQ(info(other).variant, "fallback");
  EXPECT_STREQ(info(other).release, "");
  EXPECT_EQ(info(other).tuned_heads, 0);
}

TEST_F(DispatchLibrary, SaysWhoMergesAndWhatWorkspaceThatTakes) {
  test::SomeBundle bundle("gfx950");
  Launch launch = fallback_launch("gfx950", kServed);
  launch.config.merge = Merge::last;
  launch.splits = {0, 4, SplitMap::contiguous};
  bundle.add(kServed, launch, 4, Evidence::measured, 10);
  bundle.write(path_);
  open();
  const mla_plan_info apart = info(served());
  EXPECT_EQ(apart.last_merges, 0u) << "nobody promised zeros";
  EXPECT_EQ(apart.kernel_count, 2);
  EXPECT_GT(apart.reduce_block, 0u);
  EXPECT_EQ(apart.workspace_bytes, 8LL * 16 * 4 * 515 * 4);

  options_.zeroed_workspaces = 1;
  ASSERT_EQ(opened(path_), MLA_OK);
  const mla_plan_info last = info(served());
  EXPECT_EQ(last.grade, MLA_GRADE_EXACT);
  EXPECT_EQ(last.last_merges, 1u);
  EXPECT_EQ(last.kernel_count, 1);
  EXPECT_EQ(last.reduce_block, 0u);
  EXPECT_EQ(last.reduce_grid[0], 0u);
  EXPECT_EQ(last.workspace_bytes, MLA_COUNTER_BYTES + 8LL * 16 * 4 * 515 * 4);
  const mla_problem problem = served();
  std::int64_t bytes = 0;
  ASSERT_EQ(mla_workspace_bytes(dispatcher_, &problem, 1, &bytes), MLA_OK);
  EXPECT_EQ(bytes, last.workspace_bytes);
}

TEST_F(DispatchLibrary, GivesTheSamePlanForTheSameProblem) {
  open();
  mla_problem alone = served();
  alone.extra_capacity = 0;
  const mla_launch_plan* first = plan(alone);
  alone.extra_page = 7;
  alone.extra_format = 99;
  EXPECT_EQ(plan(alone), first) << "an absent scope has neither page nor format";
  EXPECT_NE(plan(served()), first);
  for (int mla_problem::*field :
       {&mla_problem::heads, &mla_problem::tokens, &mla_problem::main_capacity,
        &mla_problem::extra_capacity, &mla_problem::main_page, &mla_problem::extra_page,
        &mla_problem::main_format, &mla_problem::extra_format, &mla_problem::has_sink,
        &mla_problem::wants_lse}) {
    mla_problem other = served();
    other.*field += 1;
    EXPECT_NE(plan(other), plan(served()));
  }
  mla_dispatcher_info seen = mla_dispatcher_info_init();
  ASSERT_EQ(mla_get_dispatcher_info(dispatcher_, &seen), MLA_OK);
  EXPECT_EQ(seen.plans, 12);
  EXPECT_EQ(seen.winners, 3);
  EXPECT_EQ(seen.passed_over, 0);
  EXPECT_EQ(seen.code_objects, 0);
  EXPECT_STREQ(seen.arch, "gfx950");
  EXPECT_STREQ(seen.device, "");
}

TEST_F(DispatchLibrary, RefusesProblemsOutOfRangeAndNamesTheRemedy) {
  open();
  const auto refused = [&](auto change) {
    mla_problem problem = served();
    change(problem);
    const mla_launch_plan* plan = reinterpret_cast<const mla_launch_plan*>(this);
    EXPECT_EQ(mla_plan(dispatcher_, &problem, &plan), MLA_ERROR_USAGE);
    EXPECT_EQ(plan, nullptr);
    return std::string(mla_last_error());
  };
  EXPECT_THAT(refused([](mla_problem& p) { p.heads = 0; }), HasSubstr("1 to 128"));
  EXPECT_THAT(refused([](mla_problem& p) { p.heads = 129; }), HasSubstr("heads"));
  EXPECT_THAT(refused([](mla_problem& p) { p.heads = INT32_MIN; }), HasSubstr("heads"));
  EXPECT_THAT(refused([](mla_problem& p) { p.tokens = 0; }), HasSubstr("tokens"));
  EXPECT_THAT(refused([](mla_problem& p) { p.main_capacity = -1; }), HasSubstr("keys"));
  EXPECT_THAT(refused([](mla_problem& p) { p.tokens = INT32_MAX; }), HasSubstr("32-bit"));
  EXPECT_THAT(refused([](mla_problem& p) { p.main_page = 0; }), HasSubstr("main scope"));
  EXPECT_THAT(refused([](mla_problem& p) { p.extra_format = 3; }), HasSubstr("extra scope"));
  EXPECT_THAT(refused([](mla_problem& p) { p.size = 0; }), HasSubstr("mla_*_init"));
}

TEST_F(DispatchLibrary, SizesOneWorkspaceForManyProblems) {
  open();
  mla_problem problems[] = {served(1), served(64), served(8)};
  std::int64_t bytes = -1;
  ASSERT_EQ(mla_workspace_bytes(dispatcher_, problems, 3, &bytes), MLA_OK);
  EXPECT_EQ(bytes, info(problems[1]).workspace_bytes);
  ASSERT_EQ(mla_workspace_bytes(dispatcher_, nullptr, 0, &bytes), MLA_OK);
  EXPECT_EQ(bytes, 0);
  struct Longer {
    mla_problem known;
    int added[5];
  } longer[] = {{served(1), {}}, {served(64), {}}};
  longer[0].known.size = longer[1].known.size = sizeof longer[0];
  ASSERT_EQ(mla_workspace_bytes(dispatcher_, &longer[0].known, 2, &bytes), MLA_OK);
  EXPECT_EQ(bytes, info(problems[1]).workspace_bytes)
      << "structs of a newer caller lie farther apart";
  problems[2].heads = 0;
  EXPECT_EQ(mla_workspace_bytes(dispatcher_, problems, 3, &bytes), MLA_ERROR_USAGE);
}

TEST_F(DispatchLibrary, OpensATuningDatabaseForPlansAlone) {
  const std::string path = folder_ / "t.db";
  {
    Store store = test::create(path);
    test::Ids ids = test::put_ids(store);
    const Launch launch = fallback_launch("gfx950", kServed);
    ids.variant =
        store.put(VariantRecord{0, test::key(9), "sparse_mla_decode", variant_params(launch)});
    store.put(test::a_prediction(ids));
  }
  ASSERT_EQ(opened(path), MLA_OK) << mla_last_error();
  mla_problem problem = served();
  problem.extra_page = 2;
  EXPECT_EQ(info(problem).variant, test::key(9));
  EXPECT_EQ(info(problem).has_code, 0);
  mla_launch_args args = mla_launch_args_init();
  EXPECT_EQ(mla_launch(plan(problem), &args, nullptr, 0, nullptr), MLA_ERROR_NO_CODE);
  EXPECT_THAT(mla_last_error(), HasSubstr("mla-tune export"));
}

TEST_F(DispatchLibrary, SaysWhyAFileCannotBeOpened) {
  EXPECT_EQ(opened("/nowhere/t.db"), MLA_ERROR_DATABASE);
  EXPECT_THAT(mla_last_error(), HasSubstr("/nowhere/t.db does not exist"));
  EXPECT_EQ(dispatcher_, nullptr);
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('x');
  }
  EXPECT_EQ(opened(path_), MLA_ERROR_DATABASE);
  EXPECT_THAT(mla_last_error(), HasSubstr("damaged"));
  EXPECT_EQ(opened(folder_.path()), MLA_ERROR_DATABASE);
}

TEST_F(DispatchLibrary, RefusesAnotherArch) {
  options_.arch = "gfx942";
  EXPECT_EQ(opened(path_), MLA_ERROR_ARCH);
  EXPECT_THAT(mla_last_error(), AllOf(HasSubstr("gfx950, not for gfx942"), HasSubstr("export")));
  options_.arch = "gfx1100";
  EXPECT_EQ(opened(path_), MLA_ERROR_ARCH);
  EXPECT_THAT(mla_last_error(), HasSubstr("there are for gfx950, gfx942"));
  options_.arch = nullptr;
  EXPECT_EQ(opened(path_), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("name one in the options"));
  EXPECT_EQ(opened(path_, -7), MLA_ERROR_USAGE);
}

TEST_F(DispatchLibrary, RefusesNullPointersAndStructsWithoutTheirSize) {
  open();
  const mla_problem problem = served();
  const mla_launch_plan* made = plan(problem);
  mla_plan_info info = mla_plan_info_init();
  mla_dispatcher_info about = mla_dispatcher_info_init();
  std::int64_t bytes = 0;
  mla_dispatcher* none = nullptr;
  EXPECT_EQ(mla_open(nullptr, MLA_DEVICE_NONE, &options_, &none), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, nullptr), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_open_memory(nullptr, 3, "x", -1, &options_, &none), MLA_ERROR_USAGE);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(mla_plan(nullptr, &problem, &made), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_get_plan_info(nullptr, &info), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_get_dispatcher_info(nullptr, &about), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_workspace_bytes(nullptr, &problem, 1, &bytes), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_launch(nullptr, nullptr, nullptr, 0, nullptr), MLA_ERROR_USAGE);
  mla_problem sizes[] = {problem, problem};
  for (const std::size_t wrong : {std::size_t{0}, std::size_t{12}, ~std::size_t{0}}) {
    sizes[0].size = wrong;
    EXPECT_EQ(mla_workspace_bytes(dispatcher_, sizes, 2, &bytes), MLA_ERROR_USAGE);
    EXPECT_THAT(mla_last_error(), HasSubstr("size"));
  }
  mla_close(nullptr);
  options_.size = 8;
  EXPECT_EQ(opened(path_), MLA_ERROR_USAGE);
  options_ = mla_options_init();
  options_.arch = "gfx950";
  options_.log = 9;
  EXPECT_EQ(opened(path_), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("log"));
}

TEST_F(DispatchLibrary, LeavesAloneWhatItDoesNotKnowOfALongerStruct) {
  open();
  struct Longer {
    mla_plan_info known;
    int added;
  } longer{mla_plan_info_init(), 77};
  longer.known.size = sizeof longer;
  ASSERT_EQ(mla_get_plan_info(plan(served()), &longer.known), MLA_OK);
  EXPECT_EQ(longer.added, 77);
  EXPECT_EQ(longer.known.size, sizeof longer);
  EXPECT_EQ(longer.known.grade, MLA_GRADE_EXACT);
}

TEST_F(DispatchLibrary, AnswersThatAClosedHandleIsClosed) {
  open();
  const mla_problem problem = served();
  const mla_launch_plan* made = plan(problem);
  mla_dispatcher* gone = dispatcher_;
  mla_close(dispatcher_);
  dispatcher_ = nullptr;
  const mla_launch_plan* again = nullptr;
  mla_plan_info info = mla_plan_info_init();
  mla_launch_args args = mla_launch_args_init();
  mla_dispatcher_info about = mla_dispatcher_info_init();
  EXPECT_EQ(mla_plan(gone, &problem, &again), MLA_ERROR_CLOSED);
  EXPECT_THAT(mla_last_error(), HasSubstr("closed"));
  EXPECT_EQ(mla_get_plan_info(made, &info), MLA_ERROR_CLOSED);
  EXPECT_EQ(mla_launch(made, &args, nullptr, 0, nullptr), MLA_ERROR_CLOSED);
  EXPECT_EQ(mla_get_dispatcher_info(gone, &about), MLA_ERROR_CLOSED);
  mla_close(gone);
}

TEST_F(DispatchLibrary, AChildOfForkIsToldToOpenAnew) {
  open();
  const mla_problem problem = served();
  const mla_launch_plan* made = plan(problem);
  const pid_t child = ::fork();
  if (child == 0) {
    const mla_launch_plan* plan = nullptr;
    mla_launch_args args = mla_launch_args_init();
    bool good = mla_plan(dispatcher_, &problem, &plan) == MLA_ERROR_CLOSED &&
                std::strstr(mla_last_error(), "fork") != nullptr &&
                mla_launch(made, &args, nullptr, 0, nullptr) == MLA_ERROR_CLOSED;
    mla_close(dispatcher_);
    mla_dispatcher* own = nullptr;
    good = good && mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &own) == MLA_OK &&
           mla_plan(own, &problem, &plan) == MLA_OK;
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(plan(problem), made) << "the parent goes on";
}

TEST_F(DispatchLibrary, TakesNoMoreProblemsThanItHasRoomFor) {
  open();
  mla_problem problem = served();
  const mla_launch_plan* made = nullptr;
  const mla_launch_plan* first = plan(problem);
  for (int i = 1; i < 65536; ++i) {
    problem.main_capacity = 128 + i;
    ASSERT_EQ(mla_plan(dispatcher_, &problem, &made), MLA_OK) << i;
  }
  problem.main_capacity = 1;
  EXPECT_EQ(mla_plan(dispatcher_, &problem, &made), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("65536"));
  EXPECT_EQ(plan(served()), first) << "what was planned stays";
}

TEST_F(DispatchLibrary, KeepsAnErrorForEachThread) {
  mla_plan(nullptr, nullptr, nullptr);
  const std::string mine = mla_last_error();
  EXPECT_THAT(mine, HasSubstr("null"));
  std::thread([&] {
    EXPECT_STREQ(mla_last_error(), "");
    mla_options bad = mla_options_init();
    mla_dispatcher* none = nullptr;
    mla_open(path_.c_str(), MLA_DEVICE_NONE, &bad, &none);
    EXPECT_THAT(mla_last_error(), HasSubstr("MLA_DEVICE_NONE"));
  }).join();
  EXPECT_EQ(mla_last_error(), mine);
}

TEST_F(DispatchLibrary, OpensABundleInMemory) {
  std::ifstream file(path_, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(mla_open_memory(bytes.data(), bytes.size(), "embedded", MLA_DEVICE_NONE, &options_,
                            &dispatcher_),
            MLA_OK)
      << mla_last_error();
  EXPECT_EQ(grade(served()), MLA_GRADE_EXACT);
  mla_dispatcher* none = nullptr;
  EXPECT_EQ(mla_open_memory(bytes.data(), bytes.size() / 2, "embedded", MLA_DEVICE_NONE, &options_,
                            &none),
            MLA_ERROR_DATABASE);
  EXPECT_THAT(mla_last_error(), HasSubstr("embedded"));
}

TEST_F(DispatchLibrary, SaysItsVersion) { EXPECT_THAT(mla_version(), HasSubstr(".")); }

}  // namespace
}  // namespace mla
