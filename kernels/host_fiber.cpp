#include "kernels/host_fiber.hpp"

#include <unistd.h>

#include <memory>
#include <utility>

#include "kernels/host_memory.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace mla {
namespace {

// AddressSanitizer must be told which stack is in use; `leaving` null: the stack will not be
// resumed.
void announce_switch([[maybe_unused]] void** leaving, [[maybe_unused]] const void* bottom,
                     [[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(leaving, bottom, bytes);
#endif
}

void confirm_switch([[maybe_unused]] void* fake, [[maybe_unused]] const void** from_bottom,
                    [[maybe_unused]] std::size_t* from_bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, from_bottom, from_bytes);
#endif
}

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
  boost::context::protected_fixedsize_stack allocator(kStackBytes);
  const boost::context::stack_context stack = allocator.allocate();
  auto* top = static_cast<char*>(stack.sp);
  inside_stack_.bottom = top - stack.size;
  inside_stack_.bytes = stack.size;
  name_memory(top - stack.size + ::sysconf(_SC_PAGESIZE), top, "a wave's stack");

  inside_ = boost::context::fiber(
      std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), allocator,
      [this](boost::context::fiber&& outside) {
        confirm_switch(nullptr, &outside_stack_.bottom, &outside_stack_.bytes);
        outside_ = std::move(outside);
        body_();
        announce_switch(nullptr, outside_stack_.bottom, outside_stack_.bytes);
        return std::move(outside_);
      });
}

void Fiber::resume() {
  announce_switch(&outside_stack_.fake, inside_stack_.bottom, inside_stack_.bytes);
  inside_ = std::move(inside_).resume();
  confirm_switch(outside_stack_.fake, nullptr, nullptr);
}

void Fiber::yield() {
  announce_switch(&inside_stack_.fake, outside_stack_.bottom, outside_stack_.bytes);
  outside_ = std::move(outside_).resume();
  confirm_switch(inside_stack_.fake, &outside_stack_.bottom, &outside_stack_.bytes);
}

}  // namespace mla
