#include "db/bundle_seal.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "db/bundle.hpp"
#include "db/bundle_schema.hpp"
#include "db/error.hpp"
#include "db/schema.hpp"

// The header's own code: no library to find at run time.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace mla {
namespace {

static_assert(std::endian::native == std::endian::little, "the seal is little-endian");

constexpr std::string_view kMagic = "mla-tune seal 1\n";
constexpr std::string_view kSqlite{"SQLite format 3\0", 16};
constexpr std::size_t kSqliteHeader = 100, kUserVersionAt = 60, kApplicationAt = 68;
constexpr std::size_t kSumAt = 64, kSignatureAt = 80;

struct Head {
  char magic[16];
  std::uint64_t image_bytes;
  std::uint64_t is_signed;
  std::uint8_t signer[32];
};
static_assert(sizeof(Head) == kSumAt);

std::string sum_of(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return {reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest};
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw Error(ErrorKind::database, fmt::format("{} {}", name, why));
}

[[noreturn]] void refuse_damaged(const std::string& name, const char* what) {
  refuse(name, fmt::format("is damaged ({}): copy it again, or make it again with `mla-tune "
                           "export`",
                           what));
}

// SQLite keeps the numbers of its header big-endian.
std::uint32_t header_number(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// What somebody who named the wrong file would want to know.
void check_kind(std::string_view bytes, const std::string& name) {
  if (bytes.empty()) refuse(name, "is empty: name the file that `mla-tune export` wrote");
  if (bytes.size() < kSqliteHeader || !bytes.starts_with(kSqlite))
    refuse(name, "is not a bundle: name the file that `mla-tune export` wrote");
  const std::uint32_t application = header_number(bytes, kApplicationAt);
  if (application == kApplicationId)
    refuse(name, fmt::format("is a tuning database, without code to run: make a bundle of it with "
                             "`mla-tune export --db {} --out BUNDLE`",
                             name));
  if (application != kBundleApplicationId)
    refuse(name, "is an SQLite database of another program, not a bundle");
  const std::uint32_t version = header_number(bytes, kUserVersionAt);
  if (version > kBundleVersion)
    refuse(name,
           fmt::format("was written by a newer mla-tune: its format is {}, this program knows "
                       "formats up to {}. Use the newer program, or export again with this one.",
                       version, kBundleVersion));
}

}  // namespace

void seal(std::string& image, const SigningKey* key) {
  Head head{};
  std::memcpy(head.magic, kMagic.data(), sizeof head.magic);
  head.image_bytes = image.size();
  if (key != nullptr) {
    head.is_signed = 1;
    std::memcpy(head.signer, key->public_key().data(), sizeof head.signer);
  }
  image.append(reinterpret_cast<const char*>(&head), sizeof head);
  image += sum_of(image);
  std::array<std::uint8_t, 64> signature{};
  if (key != nullptr) signature = key->sign(image);
  image.append(reinterpret_cast<const char*>(signature.data()), signature.size());
}

Sealed unseal(std::string_view bytes, const std::string& name, const PublicKey& required) {
  check_kind(bytes, name);
  if (bytes.size() < kSealBytes) refuse_damaged(name, "it is cut short");
  const std::string_view tail = bytes.substr(bytes.size() - kSealBytes);
  Head head;
  std::memcpy(&head, tail.data(), sizeof head);
  if (!tail.starts_with(kMagic) || head.image_bytes != bytes.size() - kSealBytes)
    refuse_damaged(name, "its end is not that of a bundle: it was cut short or written to");
  const std::string_view summed = bytes.substr(0, bytes.size() - kSealBytes + kSumAt);
  if (sum_of(summed) != tail.substr(kSumAt, kSignatureAt - kSumAt))
    refuse_damaged(name, "its checksum is another");
  if (head.is_signed > 1) refuse_damaged(name, "its seal is unknown");
  const std::string_view signature = tail.substr(kSignatureAt);
  if (head.is_signed == 0 && signature.find_first_not_of('\0') != std::string_view::npos)
    refuse_damaged(name, "its seal is unknown");

  const PublicKey signer(std::begin(head.signer), std::end(head.signer));
  if (!required.empty()) {
    if (required.size() != 32)
      throw Error(ErrorKind::usage,
                  fmt::format("a public key has 32 bytes, not {}", required.size()));
    if (head.is_signed == 0)
      refuse(name, "is not signed, and a signature is asked for: export it with --sign KEY");
    if (signer != required)
      refuse(name, fmt::format("is signed by key {}, not by the one asked for, {}", hex(signer),
                               hex(required)));
    if (!is_signed_by(bytes.substr(0, bytes.size() - signature.size()), signature, required))
      refuse(name, "has a wrong signature: somebody without the key changed it. Do not use it.");
  }
  Sealed sealed{bytes.substr(0, head.image_bytes), std::nullopt};
  if (head.is_signed == 1) sealed.signer = signer;
  return sealed;
}

std::string checksum(std::string_view bytes) {
  std::string text;
  for (const char byte : sum_of(bytes))
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

bool is_bundle(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string header(kSqliteHeader, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header.size()));
  if (!file.is_open() || file.bad())
    throw Error(ErrorKind::database,
                fmt::format("{} cannot be read: name the file that `mla-tune export` wrote",
                            path.string()));
  return file && header.starts_with(kSqlite) &&
         header_number(header, kApplicationAt) == kBundleApplicationId;
}

}  // namespace mla
