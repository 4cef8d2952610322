#pragma once

#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <string>

namespace mla::test {

// A process of its own for what a test must do to a process: kill it, limit it, take its rights
// away.
class Child {
 public:
  // `body` runs in the child and says what it has to say through its argument; the child ends with
  // it.
  explicit Child(const std::function<void(const std::function<void(const std::string&)>&)>& body) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[0]);
      const auto say = [&](const std::string& text) {
        if (write(ends[1], text.data(), text.size()) < 0) _exit(1);
      };
      try {
        body(say);
      } catch (const std::exception& error) {
        say(std::string("threw: ") + error.what());
      }
      _exit(0);
    }
    close(ends[1]);
    read_end_ = ends[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill_and_wait();
    close(read_end_);
  }

  pid_t pid() const { return pid_; }

  // Waits for the next thing that the child says.
  std::string hear() {
    char text[4096];
    const auto size = read(read_end_, text, sizeof text);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
  }

  // Waits until the child has ended; the rest of what it said.
  std::string hear_out() {
    std::string all;
    for (std::string part = hear(); !part.empty(); part = hear()) all += part;
    return all;
  }

  void kill_and_wait() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int read_end_ = -1;
};

// Root may write anywhere: become nobody. For use in a child.
inline void drop_privileges() {
  if (geteuid() != 0) return;
  constexpr unsigned kNobody = 65534;
  if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
      setresuid(kNobody, kNobody, kNobody) != 0) {
    throw std::runtime_error("cannot become nobody");
  }
}

}  // namespace mla::test
