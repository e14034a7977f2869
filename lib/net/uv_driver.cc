// UvDriver: one uv_run(ONCE) a poll. The timeout is a uv_timer_t, which costs no system call, and is left armed when it
// would fire too early rather than too late; the wake-up from other threads is a uv_async_t, which also keeps the loop
// alive. uv_run() of libuv before 1.45 runs timers before it polls as well as after: one that is over by then (left
// armed, or the thread lost its processor meanwhile) would leave the poll without an end. So the timer's callback stops
// the run, which makes libuv poll without waiting.
#include "net/uv_driver.h"

#include <uv.h>

#include <algorithm>

#include "base/check.h"
#include "net/run_delay.h"
#include "net/tcp_socket.h"

namespace sluice::net {
namespace {

constexpr uint64_t longest_ms = 3'600'000;  // also what "until an event comes" means: one wake-up an hour harms nobody

class UvDriver final : public LoopDriver {
 public:
  UvDriver() {
    CHECK(uv_loop_init(&loop_) == 0);
    CHECK(uv_timer_init(&loop_, &timer_) == 0);
    CHECK(uv_async_init(&loop_, &async_, [](uv_async_t*) {}) == 0);
  }
  ~UvDriver() override {
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
    const auto let_go = [](uv_handle_t* h, void*) {
      if (h->type == UV_TCP && uv_is_closing(h) == 0) close_lingering(h->data);
    };
    uv_walk(&loop_, let_go, nullptr);
    while (uv_run(&loop_, UV_RUN_NOWAIT) != 0) {
      // A handle that nobody closed would keep us here for ever.
      bool open = false;
      uv_walk(&loop_, [](uv_handle_t* h, void* any) { *static_cast<bool*>(any) |= uv_is_closing(h) == 0; }, &open);
      CHECK(!open);
    }
    CHECK(uv_loop_close(&loop_) == 0);
  }
  UvDriver(const UvDriver&) = delete;
  UvDriver& operator=(const UvDriver&) = delete;

  void poll(base::Micros timeout) override {
    if (timeout.count == 0) {
      uv_run(&loop_, UV_RUN_NOWAIT);
      return;
    }
    const auto ms = timeout.count < 0
                        ? longest_ms
                        : std::min<uint64_t>(static_cast<uint64_t>(timeout.count + 999) / 1000, longest_ms);
    const uint64_t due = uv_now(&loop_) + ms;
    if (!uv_is_active(reinterpret_cast<uv_handle_t*>(&timer_)) || due < due_) {
      uv_update_time(&loop_);
      due_ = uv_now(&loop_) + ms;
      uv_timer_start(&timer_, [](uv_timer_t* timer) { uv_stop(timer->loop); }, ms, 0);
    }
    uv_run(&loop_, UV_RUN_ONCE);
  }
  void wake() noexcept override { uv_async_send(&async_); }
  base::Micros run_delay() override { return run_delay_.read(); }
  uv_loop_t* loop() { return &loop_; }

 private:
  uv_loop_t loop_;
  uv_timer_t timer_;
  uv_async_t async_;
  RunDelay run_delay_;
  uint64_t due_ = 0;  // of timer_, while it is active
};

}  // namespace

std::unique_ptr<LoopDriver> make_uv_driver() { return std::make_unique<UvDriver>(); }

uv_loop_s* raw(LoopDriver& driver) {
  auto* const uv = dynamic_cast<UvDriver*>(&driver);
  CHECK(uv != nullptr);
  return uv->loop();
}

std::string_view libuv_version() { return uv_version_string(); }

}  // namespace sluice::net
