#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "db/signature.hpp"

namespace mla {

// Private to db/. A bundle is an SQLite image with a seal behind it, so that the bytes are checked
// before anything reads them as a database. ON DISK, little-endian:
//
//    0   16  "mla-tune seal 1\n"
//   16    8  bytes of the image
//   24    8  1: signed; 0: not, and the key and the signature are zeros
//   32   32  Ed25519 public key of the signer
//   64   16  xxh3-128 of all bytes of the file before it, as XXH128_canonical_t
//   80   64  Ed25519 signature of all bytes of the file before it
//  144       end of file
constexpr std::size_t kSealBytes = 144;

struct Sealed {
  std::string_view image;
  std::optional<PublicKey> signer;  // as the file has it
};

void seal(std::string& image, const SigningKey* key);

// `required` empty: no signature is asked for. Throws Error{database} naming `name`.
Sealed unseal(std::string_view bytes, const std::string& name, const PublicKey& required);

// Private to db/: 32 hexadecimal digits of xxh3-128.
std::string checksum(std::string_view bytes);

}  // namespace mla
