#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"
#include "db/winner_rows.hpp"

namespace mla {

// A winner with the keys of its code objects, which are of its arch. reduce_key is empty where one
// split leaves nothing to reduce.
struct BundleWinner {
  Winner winner;
  std::string decode_key, reduce_key;
};

// One launch of the arch's built-in variant, for problems that nothing was tuned near to.
struct BundleFallback {
  std::string arch;
  std::string params;
  std::string decode_key, reduce_key;
};

struct BundleCodeObject {
  std::string key;  // 32 hexadecimal digits
  std::string arch;
  std::string kernel;  // "sparse_mla_decode" or "sparse_mla_reduce"
  std::string release;
  std::uint64_t bytes = 0;         // as the driver gets it
  std::uint64_t stored_bytes = 0;  // compressed
  std::string checksum;            // of the former: xxh3-128 as 32 hexadecimal digits
};

struct BundleOptions {
  // Read a file that its owner, its mode, its folder's or a link would make one of somebody else's.
  bool allow_untrusted = false;
  // 32 bytes of an Ed25519 key that must have signed the bundle; empty: no signature is asked for.
  std::vector<std::uint8_t> public_key = {};
  // Check every code object at once instead of each when it is asked for.
  bool eager = false;
};

// The production artefact: winners and their code objects, for one or several archs. README.md in
// this directory is the contract of the file.
//
// The file is read once, whole, into memory; what is read is what was checked, and what becomes of
// the file afterwards is of no consequence. Nothing of it is used before its checksum, and its
// signature where one is asked for, have been verified. One thread at a time; may be used in a
// child after fork(). Everything throws Error{database} with what is wrong and what to do.
class Bundle {
 public:
  // Refuses what is not a bundle of this format, is damaged, belongs to neither this user nor root
  // or may be written by others (the file or its folder), is a link, or lacks the signature.
  static Bundle open(const std::filesystem::path& path, const BundleOptions& options = {});
  // The same for the bytes of a bundle that the program brings along; they must outlive it and
  // never change. `name` stands for the path in errors.
  static Bundle from_memory(std::string_view bytes, const std::string& name,
                            const BundleOptions& options = {});
  Bundle(Bundle&&) noexcept;
  Bundle& operator=(Bundle&&) noexcept;
  ~Bundle();

  std::vector<std::string> archs() const;  // sorted; each has its fallbacks
  // By problem, then release; of an arch that is not there, none.
  std::vector<BundleWinner> winners(std::string_view arch) const;
  // The same in the same order; variants and code objects are all of the bundle's.
  WinnerRows winner_rows(std::string_view arch) const;
  std::vector<BundleFallback> fallbacks(std::string_view arch) const;
  // Of winners(arch), by position.
  std::vector<WinnerOrigin> origins(std::string_view arch) const;
  std::vector<BundleCodeObject> code_objects() const;  // by key

  // What the driver, or dlopen, is to be given; checksum verified.
  std::string code_object(std::string_view key) const;

  const std::string& version() const;  // of the mla-tune that wrote it
  // Whether its reduce kernels wait for the kernel ahead of them themselves, and so may be launched
  // before that has ended: since format 2.
  bool reduce_waits() const;
  std::uint64_t size() const;  // of the file
  // The key that the file names as its signer's; trust it only where it was asked for.
  std::optional<std::vector<std::uint8_t>> signer() const;

 private:
  struct Impl;
  explicit Bundle(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Whether the file says that it is a bundle (and not a tuning database, say). Throws
// Error{database} where it cannot be read. Says nothing of trust: open() does.
bool is_bundle(const std::filesystem::path& path);

}  // namespace mla
