#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mla {

// Ed25519, by libsodium.

using PublicKey = std::vector<std::uint8_t>;  // 32 bytes

// Wiped from memory when it goes.
class SigningKey {
 public:
  explicit SigningKey(const std::array<std::uint8_t, 32>& seed);
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  SigningKey(SigningKey&&) noexcept;
  ~SigningKey();

  PublicKey public_key() const;
  std::array<std::uint8_t, 64> sign(std::string_view message) const;
  std::string pem() const;  // PKCS #8, as `openssl genpkey -algorithm ed25519` writes it

 private:
  std::array<std::uint8_t, 64> secret_{};  // the seed, then the public key
};

SigningKey new_signing_key();
// Throws Error{usage}: not an Ed25519 key in PEM, or a file that others may read.
SigningKey read_signing_key(const std::filesystem::path& file);

bool is_signed_by(std::string_view message, std::string_view signature, const PublicKey& key);
// From a file in PEM, as `openssl pkey -pubout` writes it. Throws Error{usage}.
PublicKey read_public_key(const std::filesystem::path& file);
std::string public_pem(const PublicKey& key);
std::string hex(const PublicKey& key);

}  // namespace mla
