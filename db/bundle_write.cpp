#include "db/bundle_write.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "db/bundle_schema.hpp"
#include "db/bundle_seal.hpp"
#include "db/error.hpp"
#include "db/sqlite.hpp"

namespace mla {
namespace {

// Slow to make and fast to read, as suits what is written once.
constexpr int kCompression = 19;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::internal, "a bundle cannot be made: " + why);
}

std::string compressed(std::string_view code) {
  std::string frame(ZSTD_compressBound(code.size()), '\0');
  const std::size_t size =
      ZSTD_compress(frame.data(), frame.size(), code.data(), code.size(), kCompression);
  if (ZSTD_isError(size) != 0) refuse(fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  frame.resize(size);
  return frame;
}

class Writer {
 public:
  explicit Writer(const BundleContents& contents) : contents_(contents) {
    db_.run_script(kBundleSql);
    db_.run_script("BEGIN");
    insert("INSERT INTO bundle (id, version) VALUES (1, ?)", contents.version);
    for (const auto& code : contents.code_objects) add(code);
    for (const auto& row : contents.winners) add(row);
    for (const auto& fallback : contents.fallbacks) add(fallback);
    check_archs();
    db_.run_script("COMMIT");
  }
  std::string image() { return db_.serialized(); }

 private:
  struct CodeId {
    std::int64_t id;
    std::string arch;
  };

  template <typename... Values>
  std::int64_t insert(const char* sql, const Values&... values) {
    auto row = db_.prepare(sql);
    row.bind(values...);
    row.run();
    return db_.last_id();
  }

  std::int64_t id_of(const Toolchain& t) {
    auto& id = toolchains_[{t.compiler, t.release, t.library, t.llvm}];
    if (id == 0)
      id = insert("INSERT INTO toolchains (compiler, release, library, llvm) VALUES (?, ?, ?, ?)",
                  t.compiler, t.release, t.library, t.llvm);
    return id;
  }

  std::int64_t id_of(const Device& d) {
    auto& id =
        devices_[{d.arch, d.name, std::to_string(d.compute_units), std::to_string(d.memory_bytes),
                  std::to_string(d.clock_mhz), d.pci_id, d.partition, d.driver, d.runtime}];
    if (id == 0)
      id = insert(
          "INSERT INTO devices (arch, name, compute_units, memory_bytes, clock_mhz, pci_id,"
          " partition, driver, runtime) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
          d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id, d.partition,
          d.driver, d.runtime);
    return id;
  }

  std::int64_t id_of_variant(const Winner& winner) {
    auto [at, is_new] = variants_.try_emplace(winner.variant, 0, winner.params);
    auto& [id, params] = at->second;
    if (is_new)
      id =
          insert("INSERT INTO variants (key, params) VALUES (?, ?)", winner.variant, winner.params);
    if (params != winner.params)
      refuse(fmt::format("variant {} has two sets of parameters", winner.variant));
    return id;
  }

  std::int64_t code_id(const std::string& key, const std::string& arch) const {
    const auto code = codes_.find(key);
    if (code == codes_.end()) refuse(fmt::format("code object '{}' is missing", key));
    if (code->second.arch != arch)
      refuse(fmt::format("code object {} is for {}, not {}", key, code->second.arch, arch));
    return code->second.id;
  }

  void set_reduce(const char* sql, const std::string& key, const std::string& arch) {
    if (!key.empty()) insert(sql, code_id(key, arch), db_.last_id());
  }

  void add(const BundleContents::Code& code) {
    Toolchain toolchain = code.toolchain;
    if (toolchain.release.empty()) toolchain.release = "unknown";
    const std::int64_t toolchain_id = id_of(toolchain);
    const std::string content = compressed(code.code);
    const std::int64_t id = insert(
        "INSERT INTO code_objects (key, arch, kernel, toolchain_id, bytes, checksum, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        code.key, code.arch, code.kernel, toolchain_id, static_cast<std::int64_t>(code.code.size()),
        checksum(code.code), std::as_bytes(std::span<const char>(content)));
    codes_[code.key] = {id, code.arch};
  }

  void add(const BundleContents::Row& row) {
    const Winner& w = row.winner.winner;
    const ProblemRecord& p = w.problem;
    const WinnerOrigin& o = row.origin;
    Toolchain toolchain = o.toolchain;
    if (toolchain.release.empty()) toolchain.release = w.rocm;
    if (toolchain.release != w.rocm)
      refuse(fmt::format("a winner of release {} was compiled by {}", w.rocm, toolchain.release));
    Device device = o.device;
    if (device.arch.empty()) device.arch = w.arch;
    const std::int64_t toolchain_id = id_of(toolchain);
    const std::int64_t variant_id = id_of_variant(w);
    const std::int64_t device_id = id_of(device);
    insert(
        "INSERT INTO winners (arch, toolchain_id, variant_id, decode_id, evidence, median_us,"
        " kernel, num_heads, num_tokens, main_len, extra_len, main_page, extra_page, main_format,"
        " extra_format, lengths, warm_cache, device_id, mad_us, ci_low_us, ci_high_us, max_error,"
        " cosine_gap, recorded)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        w.arch, toolchain_id, variant_id, code_id(row.winner.decode_key, w.arch),
        static_cast<int>(w.evidence), w.median_us, p.kernel, p.num_heads, p.num_tokens, p.main_len,
        p.extra_len, p.main_page, p.extra_page, p.main_format, p.extra_format, p.lengths,
        int{p.warm_cache}, device_id, o.mad_us, o.ci_low_us, o.ci_high_us, o.max_error,
        o.cosine_gap, o.recorded);
    set_reduce("UPDATE winners SET reduce_id = ? WHERE id = ?", row.winner.reduce_key, w.arch);
  }

  void add(const BundleFallback& f) {
    insert("INSERT INTO fallbacks (arch, params, decode_id) VALUES (?, ?, ?)", f.arch, f.params,
           code_id(f.decode_key, f.arch));
    set_reduce("UPDATE fallbacks SET reduce_id = ? WHERE id = ?", f.reduce_key, f.arch);
  }

  void check_archs() const {
    for (const auto& row : contents_.winners) {
      const std::string& arch = row.winner.winner.arch;
      if (std::ranges::find(contents_.fallbacks, arch, &BundleFallback::arch) ==
          contents_.fallbacks.end())
        refuse(fmt::format("{} has winners and no fallback", arch));
    }
  }

  const BundleContents& contents_;
  sqlite::Connection db_;
  std::map<std::vector<std::string>, std::int64_t> toolchains_, devices_;
  std::map<std::string, std::pair<std::int64_t, std::string>> variants_;
  std::map<std::string, CodeId> codes_;
};

}  // namespace

std::string bundle_bytes(const BundleContents& contents, const SigningKey* key) {
  std::string bytes = Writer(contents).image();
  seal(bytes, key);
  return bytes;
}

void write_bundle(const std::filesystem::path& path, const BundleContents& contents,
                  const SigningKey* key) {
  const std::string bytes = bundle_bytes(contents, key);
  const std::string unfinished = fmt::format("{}.writing-{}", path.string(), ::getpid());
  const int file =
      ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  const char* failed = file < 0 ? std::strerror(errno) : nullptr;
  std::size_t written = 0;
  while (failed == nullptr && written < bytes.size()) {
    const ssize_t some = ::write(file, bytes.data() + written, bytes.size() - written);
    if (some >= 0) {
      written += static_cast<std::size_t>(some);
    } else if (errno != EINTR) {
      failed = std::strerror(errno);
    }
  }
  // Whatever the umask: a file that the group may write would be refused.
  if (failed == nullptr && (::fchmod(file, 0644) != 0 || ::fsync(file) != 0))
    failed = std::strerror(errno);
  if (file >= 0 && ::close(file) != 0 && failed == nullptr) failed = std::strerror(errno);
  if (failed == nullptr && ::rename(unfinished.c_str(), path.c_str()) != 0)
    failed = std::strerror(errno);
  if (failed == nullptr) return;
  const std::string why = failed;
  if (file >= 0) ::unlink(unfinished.c_str());
  throw Error(ErrorKind::database,
              fmt::format("{} cannot be written: {}. Free the disk, or name another place.",
                          path.string(), why));
}

}  // namespace mla
