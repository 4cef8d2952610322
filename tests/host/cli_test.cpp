// The program as a user meets it: what it prints, what it refuses, and its exit codes.

#include "tests/host/cli.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tests/null/db/raw_sql.hpp"
#include "tuner/source.hpp"

namespace mla::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Launch a_launch(int splits) {
  Launch launch = fallback_launch("gfx950", {.heads = 16, .tokens = 1, .main_len = 1});
  launch.splits = {.split_main = 1, .split_extra = splits, .split_map = SplitMap::contiguous};
  return launch;
}

class Cli : public CommandLineTest {
 protected:
  // A database with one winner: 16 heads, 8 tokens, 128 + 1024 keys.
  std::string make_database(int splits = 4) {
    const fs::path path = folder_ / "t.db";
    Store store = create(path);
    Ids ids = put_ids(store);
    ProblemRecord problem = a_problem();
    problem.extra_page = 64;
    ids.problem = store.put(problem);
    params_ = variant_params(a_launch(splits));
    key_ = variant_key("sparse_mla_decode", params_);
    ids.variant = store.put(VariantRecord{0, key_, "sparse_mla_decode", params_});
    store.put(a_prediction(ids, Round::final, 12.5));
    return path.string();
  }
  std::vector<std::string> lookup(const std::string& db) const {
    return {"lookup",   "--db", db,           "--arch", "gfx950",      "--heads", "16",
            "--tokens", "8",    "--main-len", "128",    "--extra-len", "1024",    "--json"};
  }
  std::string params_, key_;
};

TEST_F(Cli, PrintsItsHelpForEveryCommand) {
  for (const auto& words : {std::vector<std::string>{}, {"--help"}, {"-h"}}) {
    const Outcome help = run(words);
    EXPECT_EQ(help.code, 0);
    for (const char* word : {"tune", "space", "show", "emit", "verify", "lookup", "db", "doctor",
                             "--budget", "--main-len", "--out", "Exit codes", "  7  stopped"})
      EXPECT_THAT(help.out, HasSubstr(word));
  }
  EXPECT_THAT(run({"lookup", "--help"}).out, HasSubstr("--extra-page"));
  EXPECT_THAT(run({"--version"}).out, ContainsRegex("^[0-9]+\\.[0-9]+\\.[0-9]+\n$"));
}

TEST_F(Cli, RefusesWordsItDoesNotKnow) {
  EXPECT_THAT(refusal(ErrorKind::usage, {"loockup"}), HasSubstr("did you mean 'lookup'?"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"--ark", "gfx950"}), HasSubstr("--help"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"space"}), HasSubstr("--arch is required"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"db"}), HasSubstr("--help"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"--arch", "gfx950", "--device", "tpu"}),
              HasSubstr("--device"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"--arch", "gfx950", "--budget", "10 parsecs"}),
              HasSubstr("--budget"));
}

TEST_F(Cli, NamesTheArchsThatAreKnown) {
  for (const char* command : {"tune", "space", "lookup"}) {
    std::vector<std::string> words = {command, "--arch", "gfx95"};
    if (std::string(command) == "lookup")
      words.insert(words.end(), {"--heads", "16", "--tokens", "8", "--main-len", "128"});
    EXPECT_THAT(refusal(ErrorKind::usage, words),
                AllOf(HasSubstr("gfx95'"), HasSubstr("gfx942, gfx950, host, sm_90")));
  }
}

TEST_F(Cli, NamesTheFileAndLineOfWhatIsWrongInYaml) {
  const fs::path configs = copy_configs();
  const fs::path space = configs / "spaces/sparse_mla_decode.yaml";
  const std::string whole = contents(space);
  const std::vector<std::string> words = {"space", "--arch", "gfx950", "--configs",
                                          configs.string()};

  replace(space, "parameters:", "parameters: [");
  EXPECT_THAT(refusal(ErrorKind::usage, words), ContainsRegex("sparse_mla_decode.yaml:[0-9]+"));

  write(space, whole);
  replace(space, "expr: block_h >= mfma", "expr: blok_h >= mfma");
  EXPECT_THAT(refusal(ErrorKind::usage, words),
              AllOf(ContainsRegex("sparse_mla_decode.yaml:[0-9]+"), HasSubstr("block_h")));

  write(space, whole);
  replace(space, "\nconstraints:",
          "\nconstraints:\n  - {name: no_one, expr: block_h > 1000, because: test}");
  EXPECT_THAT(run(words).error, AllOf(StartsWith("mla-tune: "), HasSubstr("no_one"),
                                      ContainsRegex("sparse_mla_decode.yaml:[0-9]+")));
  EXPECT_EQ(run(words).code, 2);

  fs::remove(space);
  fs::remove(configs / "spaces/sparse_mla_reduce.yaml");
  EXPECT_THAT(refusal(ErrorKind::usage, words), HasSubstr("spaces"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"space", "--arch", "gfx950", "--configs", "/nowhere"}),
              HasSubstr("/nowhere"));
}

TEST_F(Cli, CountsAToySpace) {
  const fs::path configs = copy_configs();
  for (const auto& file : fs::directory_iterator(configs / "spaces")) fs::remove(file);
  write(configs / "spaces/toy.yaml", R"(kernel: toy
parameters:
  block_h: {changes: code, values: [16, 32]}
  waves: {changes: code, values: [1, 2, 4]}
  split: {changes: launch, values: [1, 2]}
constraints:
  - {name: small, expr: block_h * waves <= 64, because: it has to be}
  - {name: odd, expr: split == 1 or waves > 1, because: nothing to split}
tolerance: {absolute: 1e-3, relative: 2.01/128, cosine_gap: 5e-6, lse_absolute: 1e-6, lse_relative: 8.01/65536, because: toy}
)");
  const Outcome text = run({"space", "--arch", "gfx950", "--configs", configs.string()});
  EXPECT_EQ(text.out,
            "toy on gfx950: 12 points, 8 admissible (5 compilations)\n"
            "               2 refused by small                  it has to be\n"
            "               2 refused by odd                    nothing to split\n")
      << text.error;
  const Outcome outcome =
      run({"space", "--arch", "gfx950", "--configs", configs.string(), "--json"});
  EXPECT_EQ(json::parse(outcome.out), json::parse(R"({"toy": {"arch": "gfx950", "total": 12,
      "admissible": 8, "compilations": 5, "refused": {"small": 2, "odd": 2}}})"));
}

TEST_F(Cli, AnswersALookupWithTheDispatcher) {
  const std::string db = make_database();
  const Outcome outcome = run(lookup(db));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  json expected = json::parse(R"({"arch": "gfx950", "match": "predicted", "evidence": "predicted",
    "median_us": 12.5, "rocm": "7.2.4", "splits": 5,
    "decode": {"grid": [8, 1, 5], "block": [128, 1, 1], "dynamic_lds_bytes": 0},
    "reduce": {"grid": [8, 16, 1], "block": [64, 1, 1]},
    "query": {"heads": 16, "tokens": 8, "main_len": 128, "extra_len": 1024, "main_page": 64,
              "extra_page": 64, "main_format": "ocp", "extra_format": "ocp"}})");
  expected["tuned_for"] = expected["query"];
  expected["workspace_bytes"] = 4 * workspace_floats(8, 16, 5);
  expected["arrival_counters"] = 0;
  expected["variant"] = key_;
  expected["params"] = json::parse(params_);
  EXPECT_EQ(json::parse(outcome.out), expected);
}

TEST_F(Cli, GradesItsMatches) {
  const std::string db = make_database();
  const auto ask = [&](const std::string& arch, const std::string& heads,
                       const std::string& tokens) {
    const Outcome outcome = run({"lookup", "--db", db, "--arch", arch, "--heads", heads, "--tokens",
                                 tokens, "--main-len", "128", "--extra-len", "1024", "--json"});
    return json::parse(outcome.out);
  };
  EXPECT_EQ(ask("gfx950", "8", "5")["match"], "predicted");
  EXPECT_EQ(ask("gfx950", "16", "4096")["match"], "fallback");
  EXPECT_EQ(ask("gfx942", "16", "8")["match"], "fallback") << "never across architectures";
  EXPECT_EQ(ask("gfx942", "16", "8")["query"]["main_format"], "fnuz");
  EXPECT_TRUE(ask("gfx942", "16", "8")["evidence"].is_null());
  EXPECT_THAT(refusal(ErrorKind::usage, {"lookup", "--db", db, "--arch", "gfx950", "--heads", "129",
                                         "--tokens", "1", "--main-len", "1"}),
              HasSubstr("129"));
}

TEST_F(Cli, LeavesADatabaseThatIsNotOursAlone) {
  const std::string path = folder_ / "other.db";
  for (const std::string& text : {std::string("shopping: milk, eggs"), std::string(8192, 'x')}) {
    write(path, text);
    EXPECT_THAT(refusal(ErrorKind::database, lookup(path)), HasSubstr(path));
    EXPECT_THAT(refusal(ErrorKind::database, {"db", "stats", "--db", path}), HasSubstr(path));
    EXPECT_EQ(contents(path), text);
  }
  fs::remove(path);
  raw_sql(path, "CREATE TABLE milk (eggs)");
  const std::string before = contents(path);
  EXPECT_THAT(refusal(ErrorKind::database, {"db", "check", "--db", path}),
              HasSubstr("another program"));
  EXPECT_EQ(contents(path), before);
}

TEST_F(Cli, SaysThatANewerDatabaseNeedsANewerProgram) {
  const std::string db = make_database();
  raw_sql(db, "PRAGMA user_version = 99");
  EXPECT_THAT(refusal(ErrorKind::database, lookup(db)), AllOf(HasSubstr("newer"), HasSubstr("99")));
}

TEST_F(Cli, ReportsDamageInADatabase) {
  const std::string db = make_database();
  EXPECT_EQ(run({"db", "check", "--db", db}).code, 0);
  raw_sql(db, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
  std::string bytes = contents(db);
  for (std::size_t at = 4096; at + 64 < bytes.size(); at += 4096)
    bytes.replace(at, 64, std::string(64, '\xA5'));
  write(db, bytes);
  const Outcome check = run({"db", "check", "--db", db});
  EXPECT_EQ(check.code, 3) << check.out << check.error;
  EXPECT_THAT(check.error, HasSubstr("is damaged"));
  EXPECT_EQ(contents(db), bytes) << "nothing was written";
}

TEST_F(Cli, SaysWhichDatabaseIsMissing) {
  EXPECT_THAT(refusal(ErrorKind::database, lookup("/nowhere/t.db")),
              AllOf(HasSubstr("/nowhere/t.db"), HasSubstr("tune first")));
}

TEST_F(Cli, ShowsWhatAVariantCompilesFrom) {
  const std::string db = make_database();
  const Outcome outcome = run({"show", key_.substr(0, 6), "--db", db});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr(key_), HasSubstr(".block_h = 16"),
                                 HasSubstr("sparse_mla_reduce<kConfig>")));
  EXPECT_EQ(run({"show", "--params", params_}).out, outcome.out);
  EXPECT_EQ(run({"show", params_}).out, outcome.out);
  write(folder_ / "params.json", params_);
  EXPECT_EQ(run({"show", "-"}, "exec < " + (folder_ / "params.json").string()).out, outcome.out);
}

TEST_F(Cli, RefusesAVariantItCannotName) {
  const std::string db = make_database();
  const Launch other = a_launch(8);
  {
    Store store = create(db);
    for (int i = 0; i < 20; ++i) store.put(a_variant(i));
  }
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", "0000", "--db", db}), HasSubstr("20 variants"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", "fedcba9876", "--db", db}), HasSubstr("--db"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", "hello", "--db", db}), HasSubstr("JSON"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", "--db", db}), HasSubstr("--params"));
  json params = json::parse(variant_params(other));
  params["blok_h"] = 3;
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", params.dump()}), HasSubstr("blok_h"));
  params.erase("blok_h");
  params["block_k"] = 17;
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", params.dump()}), HasSubstr("valid()"));
  params["block_k"] = "many";
  EXPECT_THAT(refusal(ErrorKind::usage, {"show", params.dump()}), HasSubstr("block_k"));
}

TEST_F(Cli, EmitsCodeAndHowToLaunchIt) {
  const std::string db = make_database();
  const fs::path out = folder_ / "emitted";
  const Outcome outcome = run({"emit", key_, "--db", db, "--arch", "host", "--out", out.string()});
  ASSERT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(contents(out / "decode.so"), StartsWith("\x7f"
                                                      "ELF"));
  const json launch = json::parse(contents(out / "launch.json"));
  EXPECT_EQ(launch["variant"], key_);
  ASSERT_EQ(launch["kernels"].size(), 2u);
  for (const json& kernel : launch["kernels"]) {
    EXPECT_EQ(kernel["entry"], "entry");
    EXPECT_TRUE(fs::exists(out / kernel["file"].get<std::string>()));
    int end = 0;
    for (const json& argument : kernel["arguments"]) {
      EXPECT_EQ(argument["offset"], end) << argument["name"] << " leaves a gap or overlaps";
      end = argument["offset"].get<int>() + argument["size"].get<int>();
      EXPECT_FALSE(argument["meaning"].get<std::string>().empty());
    }
    EXPECT_EQ(kernel["arguments_bytes"], end);
  }
  EXPECT_EQ(launch["kernels"][0]["arguments_bytes"], sizeof(DecodeArgs));
  EXPECT_EQ(launch["kernels"][1]["arguments_bytes"], sizeof(ReduceArgs));
  EXPECT_EQ(launch["kernels"][0]["grid"],
            json::parse(R"json(["tokens", "ceil(heads/16)", "splits"])json"));
  EXPECT_EQ(launch["splits"], "1 + 4*has_extra");
  EXPECT_EQ(launch["example"]["decode_grid"], json::parse("[8, 1, 5]"));
}

TEST_F(Cli, EmitsForTheGpuWhereHipRtcIs) {
  real_data_ = true;
  const std::string db = make_database();
  const fs::path out = folder_ / "emitted";
  const Outcome outcome =
      run({"emit", key_, "--db", db, "--arch", "gfx950", "--out", out.string()});
  if (outcome.code == 4 && outcome.error.find("no hipRTC") != std::string::npos)
    GTEST_SKIP() << outcome.error;
  ASSERT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(contents(out / "decode.co"), StartsWith("\x7f"
                                                      "ELF"));
  EXPECT_THAT(contents(out / "reduce.co"), StartsWith("\x7f"
                                                      "ELF"));
  const json launch = json::parse(contents(out / "launch.json"));
  EXPECT_EQ(launch["kernels"][0]["block"], json::parse("[128, 1, 1]"));
  EXPECT_EQ(launch["kernels"][0]["resources"]["vgpr_spills"], 0);
  EXPECT_GT(launch["kernels"][0]["resources"]["lds_bytes"], 0);
}

TEST_F(Cli, SaysHowToGetAMissingHipRtc) {
  if (fs::exists("/opt/rocm")) GTEST_SKIP() << "this machine has ROCm in /opt/rocm";
  const std::string db = make_database();
  const fs::path out = folder_ / "emitted";
  EXPECT_THAT(refusal(ErrorKind::toolchain,
                      {"emit", key_, "--db", db, "--arch", "gfx950", "--out", out.string()}),
              AllOf(HasSubstr("no hipRTC"), HasSubstr("make tune ROCM=")));
  EXPECT_THAT(refusal(ErrorKind::toolchain, {"--arch", "gfx950", "--db", db}),
              HasSubstr("make tune ROCM="));
  EXPECT_EQ(run({"db", "check", "--db", db}).code, 0) << "nothing lost";
}

TEST_F(Cli, SaysThatHipRtcDoesNotKnowTheArch) {
  real_data_ = true;
  const std::string db = make_database();
  const fs::path configs = copy_configs();
  fs::copy(configs / "archs/gfx950.yaml", configs / "archs/gfx999.yaml");
  replace(configs / "archs/gfx999.yaml", "arch: gfx950", "arch: gfx999");
  const std::string error =
      refusal(ErrorKind::toolchain, {"emit", key_, "--db", db, "--arch", "gfx999", "--configs",
                                     configs.string(), "--out", (folder_ / "o").string()});
  if (error.find("no hipRTC") != std::string::npos) GTEST_SKIP() << error;
  EXPECT_THAT(error, AllOf(HasSubstr("does not know gfx999"), HasSubstr("gfx950")));
}

TEST_F(Cli, VerifiesAVariantOnTheCpu) {
  const std::string db = make_database();
  const Outcome outcome = run({"verify", key_, "--db", db, "--arch", "gfx942", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.error;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result["ok"], true);
  EXPECT_GE(result["trials"].size(), 4u);
  for (const json& trial : result["trials"]) EXPECT_GT(trial["max_error"], 0);
}

TEST_F(Cli, WritesNothingIntoAFolderThatIsNone) {
  const std::string db = make_database();
  write(folder_ / "file", "mine");
  EXPECT_THAT(refusal(ErrorKind::system, {"emit", key_, "--db", db, "--arch", "host", "--out",
                                          (folder_ / "file").string()}),
              HasSubstr("--out"));
  EXPECT_EQ(contents(folder_ / "file"), "mine");
}

TEST_F(Cli, LeavesNoHalfFileOnAFullDisk) {
  const TinyDisk disk(folder_ / "disk", "size=4k");
  if (!disk.mounted()) GTEST_SKIP() << "only root may mount a file system of its own";
  make_database();
  const fs::path out = folder_ / "disk";
  EXPECT_THAT(
      refusal(ErrorKind::system, {"emit", params_, "--arch", "host", "--out", out.string()}),
      AllOf(HasSubstr("cannot write"), HasSubstr("another place")));
  EXPECT_TRUE(fs::is_empty(out));
}

TEST_F(Cli, NoticesThatStandardOutputIsFull) {
  const fs::path full = "/dev/full";
  if (!fs::exists(full)) GTEST_SKIP() << "this system has no /dev/full";
  const CommandResult result =
      run_command({"sh", "-c", "exec \"$0\" space --arch gfx950 > /dev/full", MLA_TUNE_PROGRAM},
                  deadline_in(60), environment());
  ASSERT_TRUE(result.status);
  EXPECT_EQ(result.status->code, 6) << result.output;
}

TEST_F(Cli, DoctorSaysWhatIsThereAndWhatIsMissing) {
  const Outcome outcome = run({"doctor", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.error;
  const json found = json::parse(outcome.out);
  for (const char* key :
       {"version", "rocm", "cuda", "cxx", "devices", "cache", "database", "missing"})
    EXPECT_TRUE(found.contains(key)) << key;
  EXPECT_EQ(found["cache"]["folder"], (folder_ / "cache/mla-tune").string());
  EXPECT_EQ(found["cxx"][0]["compiler"], "c++");
  EXPECT_EQ(found["database"]["exists"], false);
  EXPECT_FALSE(found["missing"].empty());
  for (const json& miss : found["missing"]) EXPECT_FALSE(miss["remedy"].get<std::string>().empty());
  EXPECT_THAT(run({"doctor"}).out, HasSubstr("missing: "));
}

}  // namespace
}  // namespace mla::test
