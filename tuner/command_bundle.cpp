#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "db/bundle.hpp"
#include "db/error.hpp"
#include "db/signature.hpp"
#include "tuner/production.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void write_new(const fs::path& path, const std::string& text, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  const bool written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file) == 0;
  const int error = errno;
  if (file >= 0) ::close(file);
  if (written) return;
  if (file >= 0) ::unlink(path.c_str());
  throw Error(error == EEXIST ? ErrorKind::usage : ErrorKind::system,
              fmt::format("cannot write {}: {}; name another with --out", path.string(),
                          std::strerror(error)));
}

struct Sums {
  std::size_t winners = 0, measured = 0, fallbacks = 0, codes = 0;
  std::uint64_t bytes = 0, stored = 0;
};

}  // namespace

int bundle_verify_command(const fs::path& path, const BundleChecks& checks, bool json) {
  BundleOptions options{.allow_untrusted = checks.allow_untrusted, .public_key = {}, .eager = true};
  if (!checks.verify_key.empty()) options.public_key = read_public_key(checks.verify_key);
  const Bundle bundle = Bundle::open(path, options);
  std::map<std::string, Sums> archs;
  for (const std::string& arch : bundle.archs()) {
    Sums& sums = archs[arch];
    for (const BundleWinner& row : bundle.winners(arch)) {
      ++sums.winners;
      if (row.winner.evidence == Evidence::measured) ++sums.measured;
    }
    sums.fallbacks = bundle.fallbacks(arch).size();
  }
  for (const BundleCodeObject& code : bundle.code_objects()) {
    Sums& sums = archs[code.arch];
    ++sums.codes;
    sums.bytes += code.bytes;
    sums.stored += code.stored_bytes;
  }
  const std::string signer = bundle.signer() ? hex(*bundle.signer()) : "";
  const bool verified = !options.public_key.empty();
  if (json) {
    Json all = {
        {"path", path.string()},          {"bytes", bundle.size()},
        {"version", bundle.version()},    {"signer", signer.empty() ? Json() : Json(signer)},
        {"signature_verified", verified}, {"archs", Json::array()}};
    for (const auto& [arch, sums] : archs)
      all["archs"].push_back({{"arch", arch},
                              {"winners", sums.winners},
                              {"measured", sums.measured},
                              {"fallbacks", sums.fallbacks},
                              {"code_objects", sums.codes},
                              {"code_bytes", sums.bytes},
                              {"stored_bytes", sums.stored}});
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  fmt::print("{}: sound, {} bytes, by mla-tune {}\n", path.string(), bundle.size(),
             bundle.version());
  if (signer.empty()) {
    fmt::print("  not signed\n");
  } else {
    fmt::print("  signed by {} ({})\n", signer,
               verified ? "verified" : "not verified: name the key with --verify-key");
  }
  for (const auto& [arch, sums] : archs)
    fmt::print(
        "  {:<8} {} winners ({} measured), {} fallbacks, {} code objects: {} KiB, {} stored\n",
        arch, sums.winners, sums.measured, sums.fallbacks, sums.codes, sums.bytes / 1024,
        sums.stored / 1024);
  return 0;
}

int bundle_keygen_command(const std::string& name) {
  if (name.empty()) throw Error(ErrorKind::usage, "--out is empty: name the key");
  const SigningKey key = new_signing_key();
  write_new(name + ".key", key.pem(), 0600);
  write_new(name + ".pub", public_pem(key.public_key()), 0644);
  fmt::print("{0}.key signs: keep it to yourself, export --sign {0}.key\n{0}.pub verifies: {1}\n",
             name, hex(key.public_key()));
  return 0;
}

}  // namespace mla
