// From a database that the loop made, with a compiler and a device that are made up, to a bundle.

#include "tuner/export.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "tests/null/tuner/known_winner.hpp"
#include "tests/null/tuner/tune_fixture.hpp"
#include "tuner/import.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Export : public Tune {
 protected:
  Export() {
    // The toy under the name that problems have.
    std::ifstream toy(std::string(configs_.root()) + "/spaces/toy.yaml");
    std::string text{std::istreambuf_iterator<char>(toy), {}};
    text.replace(text.find("kernel: toy"), 11, "kernel: sparse_mla_decode");
    configs_.write("spaces/sparse_mla_decode.yaml", text);
    space_ = Space::load(configs_.root(), "sparse_mla_decode", arch_);
  }
  std::vector<KnownWinner> winners(const Selection& selection = {}) {
    Store db = store();
    return exported_winners(db, selection, notes_);
  }
  BundleContents collect(const std::vector<KnownWinner>& winners) {
    Store db = store();
    const ExportParts parts{
        .store = db,
        .headers = headers_,
        .compiler = [&](const std::string& arch, const std::string& release) -> Compiler& {
          asked_.insert(arch + " " + release);
          return arch == "host" ? host_compiler_ : compiler_;
        },
        .progress = progress_,
        .stop = stop_,
        .jobs = 2};
    return collect_bundle(winners, parts, notes_);
  }
  static ErrorKind kind_of(const std::function<void()>& action, std::string& message) {
    try {
      action();
    } catch (const Error& error) {
      message = error.what();
      return error.kind();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorKind::internal;
  }
  std::vector<std::string> notes_;
  std::set<std::string> asked_;
};

TEST_F(Export, HasTheCodeOfEveryWinner) {
  run();
  const std::string bytes = bundle_bytes(collect(winners()));
  const Bundle bundle = Bundle::from_memory(bytes, "exported");
  EXPECT_THAT(bundle.archs(), ElementsAre("gfx950"));
  const auto rows = bundle.winners("gfx950");
  ASSERT_THAT(rows, SizeIs(2));
  for (const BundleWinner& row : rows) {
    const Launch launch = variant_launch(row.winner.params);
    EXPECT_THAT(bundle.code_object(row.decode_key),
                HasSubstr(content_key(decode_source(launch.config))));
    const bool splits =
        total_splits(launch.splits, false) > 1 || total_splits(launch.splits, true) > 1;
    ASSERT_EQ(row.reduce_key.empty(), !splits);
    if (!splits) continue;
    EXPECT_THAT(bundle.code_object(row.reduce_key),
                HasSubstr(content_key(reduce_source(launch.reduce))));
  }
  EXPECT_THAT(notes_, IsEmpty()) << "it is the code that was tuned";
  EXPECT_THAT(asked_, ElementsAre("gfx950 7.2.4"));
}

TEST_F(Export, HasEveryLaunchThatTheDispatcherMayFallBackTo) {
  run();
  const std::string bytes = bundle_bytes(collect(winners()));
  const Bundle bundle = Bundle::from_memory(bytes, "exported");
  std::map<std::string, BundleFallback> fallbacks;
  for (const BundleFallback& row : bundle.fallbacks("gfx950")) fallbacks[row.params] = row;
  for (const int heads : {1, 16, 17, 64, 128})
    for (const int tokens : {1, 2, 8, 33, 256, 4096})
      for (const int main_len : {0, 1, 127, 128, 4096})
        for (const int extra_len : {0, 1, 63, 512, 1024, 16384}) {
          const Query query{
              .heads = heads, .tokens = tokens, .main_len = main_len, .extra_len = extra_len};
          const Launch launch = fallback_launch("gfx950", query);
          ASSERT_THAT(fallbacks, Contains(testing::Key(variant_params(launch))));
          const BundleFallback& row = fallbacks[variant_params(launch)];
          EXPECT_EQ(row.reduce_key.empty(), launch.splits.split_extra == 1);
        }
  for (const auto& [params, row] : fallbacks)
    EXPECT_THAT(bundle.code_object(row.decode_key),
                HasSubstr(content_key(decode_source(variant_launch(params).config))));
}

TEST_F(Export, OfTheSameDatabaseIsTheSameBytes) {
  run();
  EXPECT_EQ(bundle_bytes(collect(winners())), bundle_bytes(collect(winners())));
}

TEST_F(Export, ComesBackThroughAnImport) {
  run();
  const std::vector<KnownWinner> ours = winners();
  const std::string bytes = bundle_bytes(collect(ours));
  path_ = folder_.path("other.db");
  {
    Store other = Store::open(path_, StoreMode::read_write_create);
    import_winners(other, ours, {.command = "import", .version = "0"});
  }
  EXPECT_EQ(in_full(winners()), in_full(ours));
  EXPECT_EQ(bundle_bytes(collect(winners())), bytes);
  EXPECT_THAT(notes_, IsEmpty()) << "of imported winners nobody knows what they were tuned with";
}

TEST_F(Export, SaysThatTheTemplatesChangedSince) {
  run();
  headers_ = std::make_shared<const std::vector<SourceHeader>>(
      std::vector<SourceHeader>{{"sparse_mla_decode.hpp", "// changed"}});
  collect(winners());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("2 of 2 winners were tuned with other code")));
}

TEST_F(Export, ServesSeveralArchsAndReleases) {
  run();
  std::vector<KnownWinner> all = winners();
  KnownWinner host = a_known_winner(8, 4, Evidence::measured, 900, "host");
  host.winner.rocm = host.origin.toolchain.release = "12.2.0";
  KnownWinner older = a_known_winner(3);
  older.winner.rocm = older.origin.toolchain.release = "6.4.3";
  KnownWinner newer = a_known_winner(5);
  newer.winner.rocm = newer.origin.toolchain.release = "7.10";
  for (const KnownWinner& known : {host, older, newer}) all.push_back(known);
  const std::string bytes = bundle_bytes(collect(all));
  const Bundle bundle = Bundle::from_memory(bytes, "exported");
  EXPECT_THAT(bundle.archs(), ElementsAre("gfx950", "host"));
  EXPECT_THAT(bundle.winners("host"), SizeIs(1));
  EXPECT_THAT(bundle.winners("gfx950"), SizeIs(4));
  EXPECT_THAT(asked_, ElementsAre("gfx950 6.4.3", "gfx950 7.10", "gfx950 7.2.4", "host 12.2.0"));
}

TEST_F(Export, TakesTheArchsAndTheReleaseThatItWasAskedFor) {
  run();
  {
    Store db = Store::open(path_, StoreMode::read_write_create);
    KnownWinner other = a_known_winner();
    other.winner.arch = other.origin.device.arch = "gfx942";
    other.winner.rocm = other.origin.toolchain.release = "6.4.3";
    import_winners(db, {&other, 1}, {.command = "import", .version = "0"});
  }
  EXPECT_THAT(winners(), SizeIs(3));
  EXPECT_THAT(winners({.archs = {"gfx942"}}), SizeIs(1));
  EXPECT_THAT(winners({.release = "7.2"}), SizeIs(2));
  std::string message;
  EXPECT_EQ(kind_of([&] { winners({.archs = {"gfx950", "sm_90"}}); }, message), ErrorKind::usage);
  EXPECT_THAT(message, HasSubstr("no winners of sm_90"));
  EXPECT_EQ(kind_of([&] { winners({.archs = {"gfx942"}, .release = "7"}); }, message),
            ErrorKind::usage);
  EXPECT_THAT(message, HasSubstr("release 7"));
}

TEST_F(Export, PassesOverWinnersOfOtherVersionsAndNamesThem) {
  run();
  {
    Store db = Store::open(path_, StoreMode::read_write_create);
    db.put(MeasurementRecord{
        .variant_id = db.put(VariantRecord{
            .key = std::string(32, 'a'), .kernel = "sparse_mla_decode", .params = "{\"old\":1}"}),
        .problem_id = 1,
        .device_id = 1,
        .toolchain_id = 1,
        .session_id = 1,
        .evidence = Evidence::measured,
        .round = Round::final,
        .median_us = 1,
        .ci_low_us = 1,
        .ci_high_us = 1,
        .max_error = 0,
        .cosine_gap = 0,
        .samples_us = {1}});
  }
  EXPECT_THAT(winners(), SizeIs(1));
  EXPECT_THAT(notes_, ElementsAre(HasSubstr(std::string(32, 'a'))));
}

TEST_F(Export, EndsWithTheCompilersWordsWhereOneDoesNotCompile) {
  run();
  compiler_.failing = "kConfig";
  std::string message;
  EXPECT_EQ(kind_of([&] { collect(winners()); }, message), ErrorKind::toolchain);
  EXPECT_THAT(message, HasSubstr("it is a fake"));
}

TEST_F(Export, EndsWhenItIsAskedTo) {
  run();
  stop_ = [] { return true; };
  std::string message;
  EXPECT_EQ(kind_of([&] { collect(winners()); }, message), ErrorKind::interrupted);
}

}  // namespace
}  // namespace mla
