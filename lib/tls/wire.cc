// The BIO: reads from and writes to byte queues, never fails, and says "retry" when there is nothing to read.
#include "tls/wire.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::tls {
namespace {

thread_local Wire* now = nullptr;

int read_wire(BIO* bio, char* to, int size) noexcept {
  BIO_clear_retry_flags(bio);
  net::ByteQueue* const in = Wire::current().in;
  if (in == nullptr || in->empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = in->peek(to, static_cast<std::size_t>(size));
  in->drop(n);
  return static_cast<int>(n);
}

int write_wire(BIO* bio, const char* from, int size) noexcept {
  BIO_clear_retry_flags(bio);
  Wire::current().out->append_copy({from, static_cast<std::size_t>(size)});
  return size;
}

long control_wire(BIO*, int command, long, void*) noexcept { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* method() {
  static const bssl::UniquePtr<BIO_METHOD> made = [] {
    bssl::UniquePtr<BIO_METHOD> m(BIO_meth_new(BIO_get_new_index(), "sluice wire"));
    CHECK(m && BIO_meth_set_read(m.get(), read_wire) == 1 && BIO_meth_set_write(m.get(), write_wire) == 1 &&
          BIO_meth_set_ctrl(m.get(), control_wire) == 1);
    return m;
  }();
  return made.get();
}

}  // namespace

Wire::Wire() {
  CHECK(now == nullptr);
  now = this;
}

Wire::~Wire() { now = nullptr; }

Wire& Wire::current() {
  CHECK(now != nullptr);
  return *now;
}

bssl::UniquePtr<BIO> Wire::bio() {
  thread_local const bssl::UniquePtr<BIO> shared = [] {
    bssl::UniquePtr<BIO> bio(BIO_new(method()));
    CHECK(bio);
    BIO_set_init(bio.get(), 1);
    return bio;
  }();
  return bssl::UpRef(shared);
}

}  // namespace sluice::tls
