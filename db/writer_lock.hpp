#pragma once

#include <filesystem>

namespace mla {

// Private to db/. The right to write one database, held by one process at a time: a POSIX record
// lock on the file
// `<database>.lock`. The kernel drops it with the process, however that ends, and it names its
// holder. It is not inherited by fork(), so a helper that outlives a killed writer does not keep
// the next one out. A process must not take it twice for the same database: POSIX locks do not tell
// a process from itself.
class WriterLock {
 public:
  WriterLock() = default;
  // Throws Error{database}, naming the holder, where another process has it.
  explicit WriterLock(const std::filesystem::path& database);
  WriterLock(WriterLock&& other) noexcept;
  WriterLock& operator=(WriterLock&& other) noexcept;
  ~WriterLock();

 private:
  int file_ = -1;
};

}  // namespace mla
