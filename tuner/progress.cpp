#include "tuner/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla {
namespace {

constexpr double kBarSeconds = 0.1;
constexpr double kLineSeconds = 10;
constexpr std::size_t kBarWidth = 24;

}  // namespace

std::string readable_seconds(double seconds) {
  const auto whole = std::llround(std::max(0.0, seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string TextProgress::state(std::size_t done, const std::string& note) const {
  std::string text = fmt::format("{} {}/{}", phase_, done, total_);
  const double elapsed = std::chrono::duration<double>(Clock::now() - began_).count();
  if (done > 0 && done < total_ && elapsed > 1) {
    const double left = elapsed / static_cast<double>(done) * static_cast<double>(total_ - done);
    text += fmt::format(", {} left", readable_seconds(left));
  }
  return note.empty() ? text : text + "  " + note;
}

void TextProgress::clear_bar() {
  if (!bar_shown_) return;
  std::fputs("\r\033[K", out_);
  std::fflush(out_);
  bar_shown_ = false;
}

void TextProgress::begin(const std::string& phase, std::size_t total) {
  clear_bar();
  phase_ = phase;
  total_ = total;
  began_ = Clock::now();
  shown_ = {};
  if (!terminal_ && total > 0) say(fmt::format("{}: {}", phase, total));
  if (!terminal_) shown_ = began_;
}

void TextProgress::advance(std::size_t done, const std::string& note) {
  const auto now = Clock::now();
  const double since = std::chrono::duration<double>(now - shown_).count();
  if (since < (terminal_ ? kBarSeconds : kLineSeconds) && done < total_) return;
  if (!terminal_ && since < 1) return;
  shown_ = now;
  if (!terminal_) return say("  " + state(done, note));
  const std::size_t full = total_ == 0 ? kBarWidth : kBarWidth * std::min(done, total_) / total_;
  fmt::print(out_, "\r\033[K[{}{}] {}", std::string(full, '#'), std::string(kBarWidth - full, '.'),
             state(done, note));
  std::fflush(out_);
  bar_shown_ = true;
}

void TextProgress::say(const std::string& line) {
  clear_bar();
  fmt::print(out_, "{}\n", line);
  std::fflush(out_);
}

}  // namespace mla
