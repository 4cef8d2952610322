#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>

namespace mla {

// Who is told how far a run is. One thread.
class Progress {
 public:
  virtual ~Progress() = default;
  // A phase of `total` pieces begins; the one before it is over.
  virtual void begin(const std::string& phase, std::size_t total) = 0;
  virtual void advance(std::size_t done, const std::string& note) = 0;
  // A line for the reader, whenever.
  virtual void say(const std::string& line) = 0;
};

// "4 s", "2 min 05 s", "1 h 10 min".
std::string readable_seconds(double seconds);

// On a terminal a bar with the time left; otherwise a line at the start of a phase and then every
// ten seconds at most.
class TextProgress : public Progress {
 public:
  TextProgress(std::FILE* out, bool terminal) : out_(out), terminal_(terminal) {}
  ~TextProgress() override { clear_bar(); }
  void begin(const std::string& phase, std::size_t total) override;
  void advance(std::size_t done, const std::string& note) override;
  void say(const std::string& line) override;

 private:
  using Clock = std::chrono::steady_clock;
  std::string state(std::size_t done, const std::string& note) const;
  void clear_bar();

  std::FILE* out_;
  bool terminal_;
  bool bar_shown_ = false;
  std::string phase_;
  std::size_t total_ = 0;
  Clock::time_point began_ = {};
  Clock::time_point shown_ = {};
};

}  // namespace mla
