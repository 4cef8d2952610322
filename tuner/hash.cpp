#include "tuner/hash.hpp"

#include <xxhash.h>

#include <cstdint>
#include <memory>

#include "db/error.hpp"

namespace mla {
namespace {

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

std::string content_key(std::span<const std::string_view> parts) {
  const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
  if (!state) throw Error(ErrorKind::system, "out of memory while hashing");
  XXH3_128bits_reset(state.get());
  for (const std::string_view part : parts) {
    const std::uint64_t length = part.size();
    XXH3_128bits_update(state.get(), &length, sizeof length);
    XXH3_128bits_update(state.get(), part.data(), part.size());
  }
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(state.get()));
  constexpr char kDigits[] = "0123456789abcdef";
  std::string key;
  for (const unsigned char byte : bytes.digest) {
    key += kDigits[byte >> 4];
    key += kDigits[byte & 15];
  }
  return key;
}

std::string content_key(std::string_view whole) { return content_key({&whole, 1}); }

}  // namespace mla
