#include "tuner/winner_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "db/error.hpp"
#include "tests/null/tuner/known_winner.hpp"
#include "tuner/csv.hpp"

namespace mla {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kParams =
    R"({"block_h":16,"block_k":32,"dequantise":"at_store","lds_layout":"swizzled",)"
    R"("load_path":"registers","load_width":16,"mfma":16,"prefetch":2,"query_in":"lds",)"
    R"("reduce_block_h":1,"reduce_waves":1,"rescale_threshold":4,"split_extra":4,"split_main":0,)"
    R"("split_map":"contiguous","stages":1,"unroll":8,"value_read":"transposing",)"
    R"("wave_split":"columns","waves":2,"waves_per_eu":1})";

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(WinnerFile, IsTheseLinesOfCsv) {
  std::string params = kParams;
  for (std::size_t at = 0; (at = params.find('"', at)) != std::string::npos; at += 2)
    params.insert(at, 1, '"');
  const KnownWinner known = a_known_winner();
  EXPECT_EQ(
      winners_csv({&known, 1}),
      "arch,kernel,num_heads,num_tokens,main_len,extra_len,main_page,extra_page,main_format,"
      "extra_format,lengths,warm_cache,rocm,variant,evidence,median_us,mad_us,ci_low_us,"
      "ci_high_us,max_error,cosine_gap,recorded,compiler,library,llvm,device,compute_units,"
      "memory_bytes,clock_mhz,pci_id,partition,driver,runtime,params\n"
      "gfx950,sparse_mla_decode,16,8,128,1024,64,2,1,1,uniform,0,7.2.4," +
          known.winner.variant +
          ",measured,12.25,0.1,12.125,12.375,0.00048828125,2.5e-07,2026-01-02T03:04:05Z,hiprtc,"
          "libhiprtc.so.7.2.53211,22.1.8,\"MI355X, \"\"the\"\" one\",256,288000000000,2400,"
          "0000:05:00.0,SPX,6.14,7.2.4,\"" +
          params + "\"\n");
}

TEST(WinnerFile, IsThisJson) {
  const KnownWinner known = a_known_winner();
  const auto json = nlohmann::ordered_json::parse(winners_json({&known, 1}));
  EXPECT_EQ(json["format"], "mla-tune winners 1");
  ASSERT_EQ(json["winners"].size(), 1u);
  const auto one = json["winners"][0];
  EXPECT_EQ(one["arch"], "gfx950");
  EXPECT_EQ(one["num_tokens"], 8);
  EXPECT_EQ(one["warm_cache"], false);
  EXPECT_EQ(one["evidence"], "measured");
  EXPECT_EQ(one["median_us"], 12.25);
  EXPECT_EQ(one["memory_bytes"], 288000000000);
  EXPECT_EQ(one["params"].dump(), kParams);
  EXPECT_EQ(one.size(), 34u);
}

TEST(WinnerFile, ComesBackAsItWent) {
  std::vector<KnownWinner> winners = {a_known_winner(),
                                      a_known_winner(1, 1, Evidence::predicted, 1.0 / 3)};
  winners[0].winner.problem.warm_cache = true;
  winners[0].winner.problem.lengths = "ragged";
  winners[1].winner.problem.extra_len = winners[1].winner.problem.extra_page = 0;
  winners[1].origin.device.name = "two\nlines, \"quoted\"";
  EXPECT_EQ(in_full(read_winners_csv(winners_csv(winners), "x")), in_full(winners));
  EXPECT_EQ(in_full(read_winners_json(winners_json(winners), "x")), in_full(winners));
  EXPECT_EQ(in_full(read_winners_csv(winners_csv({}), "x")), in_full({}));
}

TEST(WinnerFile, OfASpreadsheetIsReadAllTheSame) {
  const KnownWinner known = a_known_winner();
  std::string csv = winners_csv({&known, 1});
  for (std::size_t at = 0; (at = csv.find('\n', at)) != std::string::npos; at += 2)
    csv.insert(at, 1, '\r');
  EXPECT_EQ(in_full(read_winners_csv("\xEF\xBB\xBF" + csv + "\r\n", "x")), in_full({known}));
}

TEST(WinnerFile, SaysWhichLineOfCsvIsWrongAndHow) {
  const std::vector<KnownWinner> two = {a_known_winner(1), a_known_winner(8)};
  const std::string csv = winners_csv(two);
  const auto said = [&](const std::string& what, const std::string& by) {
    return refusal([&] { read_winners_csv(replaced(csv, what, by), "w.csv"); });
  };
  EXPECT_THAT(said("median_us", "median"), AllOf(HasSubstr("w.csv:1"), HasSubstr("'median_us'")));
  EXPECT_THAT(said(",16,8,", ",16,eight,"), AllOf(HasSubstr("w.csv:3"), HasSubstr("'eight'")));
  EXPECT_THAT(said(",16,8,", ",16,8.5,"), HasSubstr("'num_tokens' cannot be '8.5'"));
  EXPECT_THAT(said(",measured,", ",guessed,"), HasSubstr("'evidence' cannot be 'guessed'"));
  EXPECT_THAT(said("arch,kernel", "arch,arch"), HasSubstr("same name"));
  EXPECT_THAT(said("gfx950,", "gfx950,,"), HasSubstr("35 fields"));
  EXPECT_THAT(said("\"MI355X", "MI355X"), HasSubstr("w.csv:2"));
  EXPECT_THAT(refusal([&] { read_winners_csv(csv + "\"", "w.csv"); }),
              HasSubstr("w.csv:4: a quote is not closed"));
  EXPECT_THAT(refusal([&] { read_winners_csv("", "w.csv"); }), HasSubstr("empty"));
  for (const char* other : {"hello\nworld\n", "[1,2]"})
    EXPECT_THAT(refusal([&] { read_winners_csv(other, "w.csv"); }), HasSubstr("'arch' is missing"));
}

TEST(WinnerFile, SaysWhichWinnerOfJsonIsWrongAndHow) {
  const std::vector<KnownWinner> two = {a_known_winner(1), a_known_winner(8)};
  const std::string json = winners_json(two);
  const auto said = [&](const std::string& what, const std::string& by) {
    return refusal([&] { read_winners_json(replaced(json, what, by), "w.json"); });
  };
  EXPECT_THAT(said("\"num_tokens\": 8", "\"num_tokens\": \"x\""), HasSubstr("w.json: winner 2"));
  EXPECT_THAT(said("\"rocm\"", "\"roccm\""), HasSubstr("'rocm' is missing"));
  EXPECT_THAT(said("winners 1", "winners 2"), HasSubstr("mla-tune winners 1"));
  EXPECT_THAT(said("{", "["), HasSubstr("no JSON object"));
  EXPECT_THAT(refusal([&] {
                read_winners_json(R"({"format":"mla-tune winners 1","winners":[1]})", "w.json");
              }),
              HasSubstr("no object"));
  const std::string deep(1'000'000, '[');
  EXPECT_THAT(said("\"winners\": [", "\"winners\": [" + deep), HasSubstr("nested deeper"));
}

TEST(WinnerFile, RefusesWhatCannotHaveWon) {
  const auto said = [](auto&& spoil) {
    KnownWinner known = a_known_winner();
    spoil(known, known.winner.problem);
    return refusal([&] { check_winner(known, "here"); });
  };
  EXPECT_THAT(said([](auto&, auto& p) { p.num_heads = 129; }), HasSubstr("1 to 128 heads"));
  EXPECT_THAT(said([](auto&, auto& p) { p.extra_page = 0; }), HasSubstr("no such problem"));
  EXPECT_THAT(said([](auto&, auto& p) { p.main_format = 3; }), HasSubstr("format"));
  EXPECT_THAT(said([](auto&, auto& p) { p.kernel = "other"; }), HasSubstr("'kernel'"));
  EXPECT_THAT(said([](auto&, auto& p) { p.lengths = "odd"; }), HasSubstr("'lengths'"));
  EXPECT_THAT(said([](auto& k, auto&) { k.winner.median_us = 0; }), HasSubstr("'median_us'"));
  EXPECT_THAT(said([](auto& k, auto&) { k.origin.max_error = -1; }), HasSubstr("'max_error'"));
  EXPECT_THAT(said([](auto& k, auto&) { k.origin.ci_low_us = 99; }), HasSubstr("interval"));
  EXPECT_THAT(said([](auto& k, auto&) { k.winner.params = "{}"; }), HasSubstr("here: "));
  EXPECT_THAT(said([](auto& k, auto&) { k.winner.params += " "; }), HasSubstr("canonical"));
  EXPECT_THAT(said([](auto& k, auto&) { k.winner.variant[0] ^= 1; }), HasSubstr("not the key"));
  EXPECT_THAT(said([](auto& k, auto&) { k.winner.rocm.clear(); }), HasSubstr("'rocm'"));
  EXPECT_NO_THROW(check_winner(a_known_winner(), "here"));
}

TEST(Csv, HasWhatStoodInItsFields) {
  const auto records = csv_records("a,\"b,\"\"c\"\"\n\",\n\n,x", "x");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].line, 1);
  EXPECT_THAT(records[0].fields, ElementsAre("a", "b,\"c\"\n", ""));
  EXPECT_EQ(records[1].line, 4);
  EXPECT_THAT(records[1].fields, ElementsAre("", "x"));
}

}  // namespace
}  // namespace mla
