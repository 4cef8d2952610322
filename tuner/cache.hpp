#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace mla {

// ${XDG_CACHE_HOME}/mla-tune, else ~/.cache/mla-tune. Throws Error{system} where neither is known.
std::string default_cache_folder();

struct CacheUse {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // on disk, compressed
};

// Compiled code kept between runs, by content key (tuner/hash.hpp). What comes back is what was
// stored, or nothing: an entry whose header, length or checksum is wrong is dropped, and its owner
// compiles again. Any number of processes may use one folder; threads may share one object.
class Cache {
 public:
  static constexpr std::uint64_t kDefaultCap = std::uint64_t{2} << 30;

  // Opens the folder, creating it with mode 0700. Code from it will be executed, so a folder that
  // another user owns or may write is refused. Throws Error{system} with the remedy. cap_bytes:
  // above it the least recently used entries go.
  explicit Cache(std::string folder, std::uint64_t cap_bytes = kDefaultCap);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  std::optional<std::string> find(const std::string& key);
  // Replaces the entry as a whole or not at all. Throws Error{system}, naming the folder, on a full
  // or failing disk.
  void store(const std::string& key, std::string_view content);

  CacheUse use() const;
  const std::string& folder() const { return folder_; }

 private:
  void evict();

  std::string folder_;
  std::uint64_t cap_bytes_;
  int directory_ = -1;  // every access goes through it, so that the folder that was checked is the
                        // folder that is used
  std::mutex mutex_;
  std::optional<std::uint64_t>
      bytes_;  // estimate: other processes write too; unknown before the first store
};

}  // namespace mla
