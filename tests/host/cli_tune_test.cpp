// What becomes of a tuning run that is killed, stopped, locked out or out of space: nothing is lost
// or half written, and the next run takes it up. Arch host, because its compiler is everywhere.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "tests/host/cli.hpp"

namespace mla::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CliTune : public CommandLineTest {
 protected:
  void SetUp() override {
    // Copies, so that nobody's edit of the originals is taken for another template.
    for (const char* name : {"configs", "templates"})
      fs::copy(fs::path(MLA_SOURCE) / name, folder_ / name, fs::copy_options::recursive);
    write(folder_ / "shapes.yaml",
          "kernel: sparse_mla_decode\nproblems:\n"
          "  - {heads: 16, tokens: 1, main_len: 64, extra_len: 64, extra_page: 64}\n");
  }
  std::vector<std::string> tune(const std::string& db) const {
    const auto own = [&](const char* name) { return (folder_ / name).string(); };
    return {"--arch",         "host",
            "--db",           db,
            "--shapes",       own("shapes.yaml"),
            "--configs",      own("configs"),
            "--templates",    own("templates"),
            "--jobs",         "1",
            "--code-objects", "3"};
  }
  std::unique_ptr<ChildProcess> start(const std::string& db) const {
    std::vector<std::string> argv = {MLA_TUNE_PROGRAM};
    for (const std::string& word : tune(db)) argv.push_back(word);
    return std::make_unique<ChildProcess>(argv, environment());
  }
  // The first child of the process with that program's name, once there is one.
  static pid_t child_named(pid_t parent, const std::string& name, Deadline deadline) {
    const std::string shown = name.substr(0, 15);  // as much as the kernel keeps
    while (std::chrono::steady_clock::now() < deadline) {
      std::error_code none;
      for (const auto& entry : fs::directory_iterator("/proc", none)) {
        if (std::atoi(entry.path().filename().c_str()) == 0) continue;  // no process
        std::ifstream file(entry.path() / "stat");
        std::string stat;
        if (!std::getline(file, stat)) continue;  // it has just ended
        const std::size_t close = stat.rfind(')');
        const std::size_t open = stat.find('(');
        if (close == std::string::npos || stat.substr(open + 1, close - open - 1) != shown)
          continue;
        if (std::atoi(stat.c_str() + close + 4) == parent) return std::atoi(stat.c_str());
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
    return -1;
  }
  json stats(const std::string& db) {
    const Outcome outcome = run({"db", "stats", "--db", db, "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    return outcome.code == 0 ? json::parse(outcome.out) : json();
  }
  void expect_sound(const std::string& db) {
    const Outcome check = run({"db", "check", "--db", db});
    EXPECT_EQ(check.code, 0) << check.out << check.error;
  }
  void expect_finishes_and_repeats_nothing(const std::string& db) {
    const Outcome first = run(tune(db));
    ASSERT_EQ(first.code, 0) << first.out << first.error;
    expect_sound(db);
    const json before = stats(db);
    EXPECT_GE(before["tables"]["code_objects"], 3);
    const Outcome second = run(tune(db));
    ASSERT_EQ(second.code, 0) << second.out << second.error;
    const json after = stats(db);
    EXPECT_EQ(after["tables"]["code_objects"], before["tables"]["code_objects"]);
    EXPECT_EQ(after["tables"]["measurements"], before["tables"]["measurements"]);
  }
};

TEST_F(CliTune, ResumesAfterBeingKilledAnywhere) {
  const std::string db = folder_ / "t.db";
  for (const int wait : {150, 700, 1500, 3000}) {
    const auto process = start(db);
    process->wait(Deadline(std::chrono::steady_clock::now() + milliseconds(wait)));
    process->kill();
    if (fs::exists(db) && fs::file_size(db) > 0) expect_sound(db);
  }
  expect_finishes_and_repeats_nothing(db);
}

TEST_F(CliTune, EndsCleanlyWhenAskedAndGoesOnFromThere) {
  const std::string db = folder_ / "t.db";
  const auto process = start(db);
  ASSERT_GT(child_named(process->pid(), "mla-compile-helper", deadline_in(30)), 0)
      << process->output();
  std::this_thread::sleep_for(milliseconds(300));
  ::kill(process->pid(), SIGINT);
  const std::optional<ExitStatus> ended = process->wait(deadline_in(60));
  ASSERT_TRUE(ended) << "it did not end";
  EXPECT_EQ(ended->signal, 0);
  EXPECT_EQ(ended->code, 7) << process->output();
  expect_sound(db);
  expect_finishes_and_repeats_nothing(db);
}

TEST_F(CliTune, OutlivesAKilledHelper) {
  const std::string db = folder_ / "t.db";
  const auto process = start(db);
  const pid_t helper = child_named(process->pid(), "mla-compile-helper", deadline_in(30));
  ASSERT_GT(helper, 0) << process->output();
  std::this_thread::sleep_for(milliseconds(200));
  ::kill(helper, SIGKILL);
  const std::optional<ExitStatus> ended = process->wait(deadline_in(200));
  ASSERT_TRUE(ended) << process->output();
  EXPECT_TRUE(ended->success()) << describe(*ended) << process->output();
  expect_sound(db);
  EXPECT_GE(stats(db)["tables"]["code_objects"], 3) << "the others were compiled";
}

TEST_F(CliTune, LeavesADatabaseToTheOneThatWritesIt) {
  const std::string db = folder_ / "t.db";
  Store writer = create(db);
  EXPECT_THAT(refusal(ErrorKind::database, tune(db)),
              AllOf(HasSubstr("is in use"), HasSubstr("process " + std::to_string(::getpid()))));
  expect_sound(db);  // reading is possible meanwhile
}

TEST_F(CliTune, SaysThatADatabaseIsReadOnly) {
  const std::string db = folder_ / "t.db";
  { create(db); }
  ASSERT_EQ(::chmod(db.c_str(), 0444), 0);
  fs::permissions(folder_.path(), fs::perms::all);
  std::vector<std::string> argv;
  if (::geteuid() == 0)
    argv = {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"};
  argv.push_back(MLA_TUNE_PROGRAM);
  const CommandResult may_run = run_command(
      [&] {
        std::vector<std::string> version = argv;
        version.push_back("--version");
        return version;
      }(),
      deadline_in(30), environment());
  if (!may_run.success()) GTEST_SKIP() << "nobody may not run the program: " << may_run.output;
  for (const std::string& word : tune(db)) argv.push_back(word);
  const std::string before = contents(db);
  const CommandResult result = run_command(argv, deadline_in(60), environment());
  ASSERT_TRUE(result.status);
  EXPECT_EQ(result.status->code, 3) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("read-only"), HasSubstr("permission")));
  EXPECT_EQ(contents(db), before);
}

TEST_F(CliTune, KeepsWhatItHasOnAFullDiskAndGoesOnWhenThereIsRoom) {
  const TinyDisk disk(folder_ / "disk", "size=200k");
  if (!disk.mounted()) GTEST_SKIP() << "only root may mount a file system of its own";
  const std::string db = folder_ / "disk/t.db";
  const std::string error = refusal(ErrorKind::database, tune(db));
  EXPECT_THAT(error, AllOf(HasSubstr("t.db"), HasSubstr("full")));
  ASSERT_TRUE(disk.resize("size=64m"));
  if (fs::exists(db) && fs::file_size(db) > 0) expect_sound(db);
  expect_finishes_and_repeats_nothing(db);
}

}  // namespace
}  // namespace mla::test
