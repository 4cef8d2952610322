#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstddef>
#include <functional>

namespace mla {

// A function on a stack of its own, which runs until it yields or returns. Belongs to one thread. A
// fiber that has not returned must not be destroyed while it holds anything that needs destroying:
// its stack is dropped, not unwound.
class Fiber {
 public:
  static constexpr std::size_t kStackBytes = std::size_t{8} << 20;

  explicit Fiber(std::function<void()> body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From outside: runs the body until it yields or returns.
  void resume();
  // From inside: goes back to whoever resumed.
  void yield();

 private:
  struct SanitizerStack {
    void* fake = nullptr;
    const void* bottom = nullptr;
    std::size_t bytes = 0;
  };
  boost::context::fiber inside_;
  boost::context::fiber outside_;
  std::function<void()> body_;
  SanitizerStack inside_stack_;
  SanitizerStack outside_stack_;
};

}  // namespace mla
