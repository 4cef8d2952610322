#include "db/signature.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include "db/error.hpp"

namespace mla {
namespace {

static_assert(crypto_sign_SEEDBYTES == 32);
static_assert(crypto_sign_SECRETKEYBYTES == 64);
static_assert(crypto_sign_PUBLICKEYBYTES == 32);
static_assert(crypto_sign_BYTES == 64);

// What stands before the 32 bytes of a key in its DER encoding (RFC 8410); nothing follows.
constexpr unsigned char kSecretPrefix[] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                           0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
constexpr unsigned char kPublicPrefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                           0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
constexpr std::string_view kSecretLabel = "PRIVATE KEY", kPublicLabel = "PUBLIC KEY";
constexpr std::size_t kLongestKeyFile = 4096;

// Picks the processor's instructions; any number of times, from any thread.
void begin() {
  if (::sodium_init() < 0)
    throw Error(ErrorKind::system, "libsodium finds no source of randomness");
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string to_pem(std::string_view label, std::span<const unsigned char> prefix,
                   const unsigned char* key) {
  std::vector<unsigned char> der(prefix.begin(), prefix.end());
  der.insert(der.end(), key, key + 32);
  std::string text(sodium_base64_encoded_len(der.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), der.data(), der.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the terminating zero
  const std::string pem = fmt::format("-----BEGIN {0}-----\n{1}\n-----END {0}-----\n", label, text);
  sodium_memzero(der.data(), der.size());
  sodium_memzero(text.data(), text.size());
  return pem;
}

std::optional<std::array<std::uint8_t, 32>> from_pem(std::string_view pem, std::string_view label,
                                                     std::span<const unsigned char> prefix) {
  const std::string begin_line = fmt::format("-----BEGIN {}-----", label);
  const std::size_t from = pem.find(begin_line);
  const std::size_t to = pem.find(fmt::format("-----END {}-----", label));
  if (from == std::string_view::npos || to == std::string_view::npos || to < from) return {};
  const std::string_view text = pem.substr(from + begin_line.size(), to - from - begin_line.size());
  std::array<unsigned char, 64> der{};
  std::size_t size = 0;
  if (sodium_base642bin(der.data(), der.size(), text.data(), text.size(), "\r\n\t ", &size, nullptr,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      size != prefix.size() + 32 || !std::equal(prefix.begin(), prefix.end(), der.begin())) {
    return {};
  }
  std::array<std::uint8_t, 32> key;
  std::copy_n(der.begin() + static_cast<std::ptrdiff_t>(prefix.size()), 32, key.begin());
  sodium_memzero(der.data(), der.size());
  return key;
}

std::string read_key_file(const std::filesystem::path& path, bool secret) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0)
    throw Error(ErrorKind::usage,
                fmt::format("cannot read the key {}: {}", path.string(), std::strerror(errno)));
  struct stat status {};
  std::string text(kLongestKeyFile, '\0');
  const bool examined = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  const ssize_t size = examined ? ::read(file, text.data(), text.size()) : -1;
  ::close(file);
  if (size < 0)
    throw Error(ErrorKind::usage, fmt::format("cannot read the key {}: no file", path.string()));
  if (secret && (status.st_mode & 077) != 0)
    throw Error(ErrorKind::usage,
                fmt::format("the signing key {} may be read by others (mode {:04o}): chmod 600 it, "
                            "and make a new one if somebody has",
                            path.string(), status.st_mode & 07777));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace

SigningKey::SigningKey(const std::array<std::uint8_t, 32>& seed) {
  begin();
  std::array<std::uint8_t, 32> unused;
  crypto_sign_seed_keypair(unused.data(), secret_.data(), seed.data());
}

SigningKey::SigningKey(SigningKey&& other) noexcept : secret_(other.secret_) {
  sodium_memzero(other.secret_.data(), other.secret_.size());
}

SigningKey::~SigningKey() { sodium_memzero(secret_.data(), secret_.size()); }

PublicKey SigningKey::public_key() const { return {secret_.begin() + 32, secret_.end()}; }

std::array<std::uint8_t, 64> SigningKey::sign(std::string_view message) const {
  std::array<std::uint8_t, 64> signature;
  crypto_sign_detached(signature.data(), nullptr, bytes_of(message), message.size(),
                       secret_.data());
  return signature;
}

std::string SigningKey::pem() const { return to_pem(kSecretLabel, kSecretPrefix, secret_.data()); }

SigningKey new_signing_key() {
  begin();
  std::array<std::uint8_t, 32> seed;
  randombytes_buf(seed.data(), seed.size());
  SigningKey key(seed);
  sodium_memzero(seed.data(), seed.size());
  return key;
}

SigningKey read_signing_key(const std::filesystem::path& file) {
  std::string text = read_key_file(file, true);
  auto seed = from_pem(text, kSecretLabel, kSecretPrefix);
  sodium_memzero(text.data(), text.size());
  if (!seed)
    throw Error(ErrorKind::usage,
                fmt::format("{} is no Ed25519 signing key in PEM: make one with `mla-tune bundle "
                            "keygen --out NAME` or `openssl genpkey -algorithm ed25519`",
                            file.string()));
  SigningKey key(*seed);
  sodium_memzero(seed->data(), seed->size());
  return key;
}

bool is_signed_by(std::string_view message, std::string_view signature, const PublicKey& key) {
  if (signature.size() != crypto_sign_BYTES || key.size() != crypto_sign_PUBLICKEYBYTES)
    return false;
  begin();
  return crypto_sign_verify_detached(bytes_of(signature), bytes_of(message), message.size(),
                                     key.data()) == 0;
}

PublicKey read_public_key(const std::filesystem::path& file) {
  const auto key = from_pem(read_key_file(file, false), kPublicLabel, kPublicPrefix);
  if (!key)
    throw Error(ErrorKind::usage,
                fmt::format("{} is no Ed25519 public key in PEM: name the .pub file that `mla-tune "
                            "bundle keygen` wrote, or make it with `openssl pkey -in KEY -pubout`",
                            file.string()));
  return {key->begin(), key->end()};
}

std::string public_pem(const PublicKey& key) {
  if (key.size() != 32) throw Error(ErrorKind::internal, "a public key has 32 bytes");
  return to_pem(kPublicLabel, kPublicPrefix, key.data());
}

std::string hex(const PublicKey& key) {
  std::string text;
  for (const std::uint8_t byte : key) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace mla
