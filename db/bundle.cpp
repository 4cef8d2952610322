#include "db/bundle.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include "db/bundle_schema.hpp"
#include "db/bundle_seal.hpp"
#include "db/error.hpp"
#include "db/schema.hpp"
#include "db/sqlite.hpp"
#include "db/trusted_file.hpp"

namespace mla {
namespace {

constexpr const char* kRemedy = "copy it again, or make it again with `mla-tune export`";
template <class Row>
const Row& at(const std::vector<Row>& rows, int position) {
  return rows[static_cast<std::size_t>(position)];
}

constexpr std::uint64_t kLargestCode = std::uint64_t{64} << 20;

// Everything that the schema declares, to the letter.
std::string declarations(sqlite::Connection& connection) {
  auto row =
      connection.prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema");
  std::string all;
  while (row.step())
    for (int column = 0; column < 4; ++column) all += row.text(column) + '\n';
  return all;
}

void check_schema(sqlite::Connection& connection, const std::string& name) {
  sqlite::Connection fresh;
  fresh.run_script(kBundleSql);
  if (declarations(connection) != declarations(fresh))
    throw Error(ErrorKind::database,
                fmt::format("{} does not have the tables of its format: {}", name, kRemedy));
}

}  // namespace

struct Bundle::Impl {
  struct CodeObject {
    std::string key, arch;
  };

  std::string name;
  FileBytes owned;
  std::uint64_t size = 0;
  std::optional<PublicKey> signer;
  std::unique_ptr<sqlite::Connection> connection;
  std::string version;
  std::int64_t format = 0;
  std::vector<std::string> archs;
  std::vector<CodeObject> codes;  // by id, which counts from 1

  void load(std::string_view bytes, const BundleOptions& options);

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(ErrorKind::database, fmt::format("{} is damaged ({}): {}", name, why, kRemedy));
  }
  // The position of that id.
  template <class Row>
  int known(const std::vector<Row>& rows, std::int64_t id, const char* what) const {
    if (id < 1 || static_cast<std::uint64_t>(id) > rows.size())
      refuse(fmt::format("{} is missing", what));
    return static_cast<int>(id - 1);
  }
  template <class Row>
  void keep(std::vector<Row>& rows, std::int64_t id, Row row) const {
    if (static_cast<std::uint64_t>(id) != rows.size() + 1) refuse("its rows are not in order");
    rows.push_back(std::move(row));
  }
  // Position of the code object whose id is in that column; -1 for NULL.
  int code_of(const sqlite::Statement& row, int column, std::string_view arch) const {
    const std::int64_t id = row.integer(column);
    if (id == 0) return -1;
    const int code = known(codes, id, "a code object");
    if (at(codes, code).arch != arch) refuse("a code object is of another arch");
    return code;
  }
  std::string key_of(int code) const { return code < 0 ? std::string() : at(codes, code).key; }
};

void Bundle::Impl::load(std::string_view bytes, const BundleOptions& options) {
  const Sealed sealed = unseal(bytes, name, options.public_key);
  size = bytes.size();
  signer = sealed.signer;
  connection = std::make_unique<sqlite::Connection>(name, sealed.image, kRemedy);
  check_schema(*connection, name);
  auto written = connection->prepare(
      "SELECT version, (SELECT user_version FROM pragma_user_version) FROM bundle");
  if (written.step()) {
    version = written.text(0);
    format = written.integer(1);
  }
  auto code = connection->prepare("SELECT id, key, arch FROM code_objects ORDER BY id");
  while (code.step()) keep(codes, code.integer(0), {code.text(1), code.text(2)});
  auto arch = connection->prepare("SELECT DISTINCT arch FROM fallbacks ORDER BY arch");
  while (arch.step()) archs.push_back(arch.text(0));
}

Bundle::Bundle(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Bundle::Bundle(Bundle&&) noexcept = default;
Bundle& Bundle::operator=(Bundle&&) noexcept = default;
Bundle::~Bundle() = default;

Bundle Bundle::open(const std::filesystem::path& path, const BundleOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->name = path.string();
  impl->owned = read_trusted(path, options.allow_untrusted);
  impl->load(impl->owned.view(), options);
  Bundle bundle(std::move(impl));
  if (options.eager)
    for (const auto& code : bundle.impl_->codes) bundle.code_object(code.key);
  return bundle;
}

Bundle Bundle::from_memory(std::string_view bytes, const std::string& name,
                           const BundleOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->load(bytes, options);
  Bundle bundle(std::move(impl));
  if (options.eager)
    for (const auto& code : bundle.impl_->codes) bundle.code_object(code.key);
  return bundle;
}

std::vector<std::string> Bundle::archs() const { return impl_->archs; }
const std::string& Bundle::version() const { return impl_->version; }
bool Bundle::reduce_waits() const { return impl_->format >= 2; }
std::uint64_t Bundle::size() const { return impl_->size; }
std::optional<std::vector<std::uint8_t>> Bundle::signer() const { return impl_->signer; }

std::vector<BundleWinner> Bundle::winners(std::string_view arch) const {
  const WinnerRows all = winner_rows(arch);
  std::vector<BundleWinner> winners;
  winners.reserve(all.rows.size());
  for (const WinnerRows::Row& row : all.rows) {
    const WinnerRows::Variant& variant = at(all.variants, row.variant);
    winners.push_back({{.arch = std::string(arch),
                        .problem = row.problem,
                        .rocm = at(all.releases, row.release),
                        .variant = variant.key,
                        .params = variant.params,
                        .evidence = row.evidence,
                        .median_us = row.median_us},
                       impl_->key_of(row.decode),
                       impl_->key_of(row.reduce)});
  }
  return winners;
}

WinnerRows Bundle::winner_rows(std::string_view arch) const {
  WinnerRows all;
  for (const Impl::CodeObject& code : impl_->codes) all.codes.push_back(code.key);
  auto variant = impl_->connection->prepare("SELECT id, key, params FROM variants ORDER BY id");
  while (variant.step())
    impl_->keep(all.variants, variant.integer(0), {variant.text(1), variant.text(2)});
  auto toolchain = impl_->connection->prepare("SELECT id, release FROM toolchains ORDER BY id");
  while (toolchain.step()) impl_->keep(all.releases, toolchain.integer(0), toolchain.text(1));
  auto count = impl_->connection->prepare("SELECT count(*) FROM winners");
  if (count.step()) all.rows.reserve(static_cast<std::size_t>(count.integer(0)));
  // In the order in which they lie, without joins and past the index, which would each cost as
  // much again.
  auto row = impl_->connection->prepare(
      "SELECT num_heads, num_tokens, main_len, extra_len, main_page, extra_page, main_format,"
      " extra_format, lengths, warm_cache, evidence, median_us, kernel, toolchain_id, variant_id,"
      " decode_id, reduce_id FROM winners WHERE +arch = ? ORDER BY id");
  row.bind(arch);
  while (row.step()) {
    WinnerRows::Row& one = all.rows.emplace_back();
    ProblemRecord& problem = one.problem;
    int column = 0;
    for (int* field :
         {&problem.num_heads, &problem.num_tokens, &problem.main_len, &problem.extra_len,
          &problem.main_page, &problem.extra_page, &problem.main_format, &problem.extra_format})
      *field = row.small(column++);
    problem.lengths = row.text(8);
    problem.warm_cache = row.integer(9) != 0;
    if (row.integer(10) != 1 && row.integer(10) != 2) impl_->refuse("evidence of no kind");
    one.evidence = evidence_from(row.small(10));
    one.median_us = row.real(11);
    problem.kernel = row.text(12);
    one.release = impl_->known(all.releases, row.integer(13), "a release");
    one.variant = impl_->known(all.variants, row.integer(14), "a variant");
    one.decode = impl_->code_of(row, 15, arch);
    one.reduce = impl_->code_of(row, 16, arch);
    if (one.decode < 0) impl_->refuse("a winner has no code object");
  }
  return all;
}

std::vector<BundleFallback> Bundle::fallbacks(std::string_view arch) const {
  auto row = impl_->connection->prepare(
      "SELECT params, decode_id, reduce_id FROM fallbacks WHERE arch = ? ORDER BY id");
  row.bind(arch);
  std::vector<BundleFallback> fallbacks;
  while (row.step()) {
    fallbacks.push_back({std::string(arch), row.text(0),
                         impl_->key_of(impl_->code_of(row, 1, arch)),
                         impl_->key_of(impl_->code_of(row, 2, arch))});
    if (fallbacks.back().decode_key.empty()) impl_->refuse("a fallback has no code object");
  }
  return fallbacks;
}

std::vector<WinnerOrigin> Bundle::origins(std::string_view arch) const {
  auto row = impl_->connection->prepare(
      "SELECT d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id, d.partition,"
      " d.driver, d.runtime, t.compiler, t.release, t.library, t.llvm, w.mad_us, w.ci_low_us,"
      " w.ci_high_us, w.max_error, w.cosine_gap, w.recorded FROM winners w"
      " JOIN devices d ON d.id = w.device_id JOIN toolchains t ON t.id = w.toolchain_id"
      " WHERE +w.arch = ? ORDER BY w.id");
  row.bind(arch);
  std::vector<WinnerOrigin> origins;
  while (row.step()) {
    origins.push_back({.device = {0, row.text(0), row.text(1), row.small(2), row.integer(3),
                                  row.small(4), row.text(5), row.text(6), row.text(7), row.text(8)},
                       .toolchain = {0, row.text(9), row.text(10), row.text(11), row.text(12)},
                       .mad_us = row.real(13),
                       .ci_low_us = row.real(14),
                       .ci_high_us = row.real(15),
                       .max_error = row.real(16),
                       .cosine_gap = row.real(17),
                       .recorded = row.text(18)});
  }
  return origins;
}

std::vector<BundleCodeObject> Bundle::code_objects() const {
  auto row = impl_->connection->prepare(
      "SELECT c.key, c.arch, c.kernel, t.release, c.bytes, length(c.content), c.checksum"
      " FROM code_objects c JOIN toolchains t ON t.id = c.toolchain_id ORDER BY c.key");
  std::vector<BundleCodeObject> all;
  while (row.step())
    all.push_back({row.text(0), row.text(1), row.text(2), row.text(3),
                   static_cast<std::uint64_t>(row.integer(4)),
                   static_cast<std::uint64_t>(row.integer(5)), row.text(6)});
  return all;
}

std::string Bundle::code_object(std::string_view key) const {
  auto row =
      impl_->connection->prepare("SELECT bytes, checksum, content FROM code_objects WHERE key = ?");
  row.bind(key);
  if (!row.step())
    throw Error(ErrorKind::database, fmt::format("{} has no code object {}", impl_->name, key));
  const auto bytes = static_cast<std::uint64_t>(row.integer(0));
  if (bytes == 0 || bytes > kLargestCode) impl_->refuse(fmt::format("the size of {}", key));
  const std::vector<std::byte> content = row.blob(2);
  std::string code(bytes, '\0');
  const std::size_t got = ZSTD_decompress(code.data(), code.size(), content.data(), content.size());
  if (ZSTD_isError(got) != 0 || got != bytes || checksum(code) != row.text(1))
    impl_->refuse(fmt::format("code object {} is not what was exported", key));
  return code;
}

}  // namespace mla
