#include "tuner/record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "kernels/process.hpp"
#include "tests/null/tuner/toy_space.hpp"
#include "tests/temporary_folder.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

ProblemRecord problem_of(int tokens) {
  return {.kernel = "sparse_mla_decode",
          .num_heads = 16,
          .num_tokens = tokens,
          .main_len = 128,
          .extra_len = 1024,
          .main_page = 64,
          .extra_page = 2,
          .extra_format = 2,
          .lengths = "ragged",
          .warm_cache = true};
}

Launch launch_of(int block_k, int split_extra) {
  Launch launch{};
  launch.config.block_h = 16;
  launch.config.block_k = block_k;
  launch.config.waves = 4;
  launch.config.wave_split = WaveSplit::keys;
  launch.config.mfma = 16;
  launch.config.prefetch = 2;
  launch.config.dequantise = Dequantise::at_store;
  launch.config.load_path = LoadPath::registers;
  launch.config.lds_layout = LdsLayout::padded;
  launch.config.query_in = QueryIn::lds;
  launch.config.value_read = ValueRead::permuting;
  launch.splits = {1, split_extra, SplitMap::contiguous};
  launch.reduce = {4, 1};
  return launch;
}

// A database of times: `us(block_k, splits)` for each of six variants of two problems.
void write_database(const std::string& path, const std::function<double(int, int)>& us) {
  Store store = Store::open(path, StoreMode::read_write_create);
  MeasurementRecord m;
  m.toolchain_id = store.put(Toolchain{.compiler = "hiprtc", .release = "7.2.4"});
  m.device_id = store.put(Device{.arch = "gfx950", .name = "a", .compute_units = 256});
  m.session_id = store.start_session({.command = "test", .version = "0"});
  m.evidence = Evidence::measured;
  m.max_error = 1e-4;
  for (const int tokens : {1, 64}) {
    m.problem_id = store.put(problem_of(tokens));
    for (const int block_k : {32, 64, 128}) {
      for (const int splits : {1, 4}) {
        const std::string params = variant_params(launch_of(block_k, splits));
        m.variant_id = store.put(VariantRecord{.key = variant_key("sparse_mla_decode", params),
                                               .kernel = "sparse_mla_decode",
                                               .params = params});
        CodeObjectRecord code;
        code.key = variant_key("code", std::to_string(block_k));
        code.variant_id = m.variant_id;
        code.toolchain_id = m.toolchain_id;
        code.arch = "gfx950";
        code.entry_template = "sparse_mla_decode";
        code.resources.vgprs = block_k;
        store.put(code);
        m.verdict = Verdict::ok;
        m.reason.clear();
        m.samples_us = {static_cast<float>(us(block_k, splits)),
                        0.1f + static_cast<float>(us(block_k, splits))};
        m.median_us = m.ci_low_us = m.ci_high_us = us(block_k, splits);
        if (block_k == 128 && splits == 4) {
          m.verdict = Verdict::crashed;
          m.reason = "SIGSEGV";
          m.median_us = m.ci_low_us = m.ci_high_us = 0;
          m.samples_us.clear();
        }
        store.put(m);
      }
    }
  }
}

class RecordOfTimes : public testing::Test {
 protected:
  Record collect(const std::string& path, const std::vector<ProblemRecord>& problems = {},
                 const std::string& rocm = {}) {
    Store store = Store::open(path, StoreMode::read_only);
    return collect_record(store, model_arch(), rocm, problems);
  }
  std::string analyse(const std::string& files) {
    const auto result = run_command(
        {"/bin/sh", "-c",
         std::string(MLA_PYTHON) + " " MLA_SOURCE "/scripts/analyse_record.py " + files},
        deadline_in(60));
    EXPECT_TRUE(result.success()) << result.output;
    return result.output;
  }
  std::string write_record(const std::string& name, const std::string& database) {
    std::ofstream(folder_.path(name), std::ios::binary) << encode_record(collect(database));
    return folder_.path(name);
  }
  TemporaryFolder folder_;
  std::string db_ = folder_.path("tune.db");
};

TEST_F(RecordOfTimes, HoldsWhatTheDatabaseKnows) {
  write_database(db_, [](int block_k, int splits) { return block_k / 4.0 + splits; });
  const Record record = collect(db_);
  EXPECT_EQ(record.arch, "gfx950");
  EXPECT_EQ(record.release, "7.2.4");
  EXPECT_THAT(record.problems, ElementsAre(problem_of(1), problem_of(64)));
  EXPECT_THAT(record.variants, SizeIs(6));
  EXPECT_THAT(record.codes, SizeIs(3)) << "variants that differ in how they are launched share one";
  ASSERT_THAT(record.rows, SizeIs(12));
  const RecordRow& row = record.rows[0];
  EXPECT_THAT(row.samples_us, ElementsAre(9.0f, 9.1f));
  EXPECT_EQ(variant_launch(record.variants[0].params).config.block_k, 32);
  EXPECT_EQ(record.codes[0].vgprs, 32);
  EXPECT_GT(row.predicted_us, 0);
  EXPECT_EQ(record.rows[5].verdict, Verdict::crashed);
  EXPECT_THAT(collect(db_, {problem_of(64)}).rows, SizeIs(6));
  EXPECT_THAT(collect(db_, {}, "7.2").rows, SizeIs(12));
  EXPECT_THROW(collect(db_, {}, "6"), Error);
}

TEST_F(RecordOfTimes, ComesBackAsItWas) {
  write_database(db_, [](int block_k, int splits) { return block_k / 7.0 + splits; });
  const Record record = collect(db_);
  const Record again = decode_record(encode_record(record));
  EXPECT_EQ(again.arch, record.arch);
  EXPECT_EQ(again.compiler, record.compiler);
  EXPECT_EQ(again.release, record.release);
  EXPECT_EQ(again.problems, record.problems);
  ASSERT_THAT(again.devices, SizeIs(1));
  EXPECT_EQ(again.devices[0].compute_units, 256);
  ASSERT_EQ(again.variants.size(), record.variants.size());
  for (std::size_t i = 0; i < record.variants.size(); ++i) {
    EXPECT_EQ(again.variants[i].params, record.variants[i].params);
    EXPECT_EQ(again.variants[i].code, record.variants[i].code);
  }
  ASSERT_EQ(again.codes.size(), record.codes.size());
  EXPECT_EQ(again.codes[2].vgprs, 128);
  EXPECT_EQ(again.codes[2].mfma, -1);
  ASSERT_EQ(again.rows.size(), record.rows.size());
  for (std::size_t i = 0; i < record.rows.size(); ++i) {
    const RecordRow &a = again.rows[i], &b = record.rows[i];
    EXPECT_EQ(std::tie(a.problem, a.variant, a.device, a.round, a.verdict, a.samples_us),
              std::tie(b.problem, b.variant, b.device, b.round, b.verdict, b.samples_us));
    EXPECT_NEAR(a.predicted_us, b.predicted_us, 1e-5 * b.predicted_us);
  }
}

TEST_F(RecordOfTimes, KeepsParametersThatOnlySomeVariantsName) {
  Record record;
  record.arch = "gfx950";
  record.codes.resize(1);
  for (const int cluster : {1, 2}) {
    Launch launch = launch_of(64, 4);
    launch.config.cluster = cluster;
    record.variants.push_back({variant_params(launch), 0});
  }
  const Record again = decode_record(encode_record(record));
  ASSERT_THAT(again.variants, SizeIs(2));
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ(again.variants[i].params, record.variants[i].params);
  EXPECT_NE(again.variants[0].params, again.variants[1].params);
}

TEST_F(RecordOfTimes, RefusesWhatIsNoRecord) {
  write_database(db_, [](int, int) { return 1; });
  std::string bytes = encode_record(collect(db_));
  EXPECT_THROW(decode_record("hello"), Error);
  EXPECT_THROW(decode_record(bytes.substr(0, bytes.size() / 2)), Error);
  bytes[bytes.size() / 2] ^= 0x55;
  EXPECT_THROW(decode_record(bytes), Error);
}

TEST_F(RecordOfTimes, StaysWithinWhatARepositoryTakes) {
  Record record;
  record.arch = "sm_90";
  record.codes.resize(1);
  for (int i = 0; i < 24; ++i) record.problems.push_back(problem_of(i + 1));
  for (int i = 0; i < 1200; ++i)
    record.variants.push_back({variant_params(launch_of(16 * (i + 1), 1)), 0});
  record.devices.resize(1);
  std::uint32_t state = 1;
  for (int p = 0; p < 24; ++p)
    for (int v = 0; v < 1200; ++v) {
      RecordRow row{.problem = p, .variant = v, .predicted_us = 10 + 0.01 * v};
      for (int n = 0; n < 6; ++n) {
        state = state * 1664525 + 1013904223;
        row.samples_us.push_back(static_cast<float>(10 + 0.01 * v) +
                                 static_cast<float>(state >> 8) * 1e-9f);
      }
      record.rows.push_back(row);
    }
  EXPECT_LT(encode_record(record).size(), 2u << 20) << "8 MB have room for four times as many";
}

TEST_F(RecordOfTimes, OfTheH200HasEveryProblemAndVariant) {
  std::ifstream file(MLA_SOURCE "/tests/data/sm_90_h200.json.zst", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const Record record = decode_record(bytes);
  EXPECT_LT(bytes.size(), 8u << 20);
  EXPECT_EQ(record.arch, "sm_90");
  EXPECT_GE(record.problems.size(), 24u);
  std::vector<int> tried(record.problems.size(), 0), won(record.problems.size(), 0);
  for (const RecordRow& row : record.rows) {
    const auto p = static_cast<std::size_t>(row.problem);
    tried[p] += row.round == Round::search;
    won[p] += row.round == Round::final && row.verdict == Verdict::ok;
    if (row.verdict == Verdict::ok) {
      ASSERT_FALSE(row.samples_us.empty());
      for (const float sample : row.samples_us) ASSERT_GT(sample, 1.0f);
    }
  }
  for (std::size_t p = 0; p < tried.size(); ++p) {
    EXPECT_GE(tried[p], 600) << p;
    EXPECT_GE(won[p], 1) << p;
  }
}

TEST_F(RecordOfTimes, IsAnalysedByTheScript) {
  if (std::string(MLA_PYTHON).empty()) GTEST_SKIP() << "no Python 3";
  write_database(db_, [](int block_k, int splits) { return block_k / 4.0 + splits; });
  const std::string words = analyse(write_record("a.zst", db_));
  // With times 9, 12, 17, 20, 33: block_k first, and nothing else but the splits.
  EXPECT_THAT(words, AllOf(HasSubstr("block_k"), HasSubstr("split_extra"), HasSubstr("rho"),
                           HasSubstr("tokens 64 keys 128+1024 pages 64/2 ragged warm")));
  EXPECT_LT(words.find("block_k"), words.find("split_extra"));
  EXPECT_EQ(words.find("waves "), std::string::npos) << "it has one value";
}

TEST_F(RecordOfTimes, IsComparedWithAnotherRun) {
  if (std::string(MLA_PYTHON).empty()) GTEST_SKIP() << "no Python 3";
  const std::string near = folder_.path("near.db"), far = folder_.path("far.db");
  write_database(db_, [](int block_k, int) { return block_k == 32 ? 10.0 : 20.0; });
  write_database(near, [](int block_k, int) { return block_k == 64 ? 10.0 : 10.05; });
  write_database(far, [](int block_k, int) { return block_k == 64 ? 10.0 : 10.5; });
  EXPECT_THAT(analyse(db_ + " " + db_), HasSubstr("100.0% keep their winner, 100.0% keep it or"));
  EXPECT_THAT(analyse(db_ + " " + near), HasSubstr("0.0% keep their winner, 100.0% keep it or"));
  EXPECT_THAT(analyse(write_record("a.zst", db_) + " " + far),
              HasSubstr("0.0% keep their winner, 0.0% keep it or"));
}

}  // namespace
}  // namespace mla
