// The BIO: reads from and writes to byte queues, never fails, and says "retry" when there is nothing to read.
#include "tls/wire.h"

#include <algorithm>

#include "base/check.h"
#include "tls/records.h"

namespace sluice::tls {
namespace {

thread_local Wire* now = nullptr;

// BoringSSL gets whole records only, so that it stands between two of them whenever it waits. What does not look like a
// record (plain HTTP, SSL 2) it may see at once, to say so.
std::size_t readable(const net::ByteQueue& in) {
  char header[record_header_bytes];
  const std::size_t seen = in.peek(header, sizeof header);
  if (seen != 0 && (header[0] < 20 || header[0] > 23)) return in.size();
  if (seen > 1 && header[1] != 3) return in.size();
  if (seen < sizeof header) return 0;
  const std::size_t size = record_size(in);
  if (size > record_header_bytes + record_cipher_bytes_max) return in.size();
  return size <= in.size() ? size : 0;
}

int read_wire(BIO* bio, char* to, int size) noexcept {
  BIO_clear_retry_flags(bio);
  Wire& wire = Wire::current();
  if (wire.readable == 0 && wire.in != nullptr) wire.readable = readable(*wire.in);
  if (wire.readable == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = wire.in->peek(to, std::min(static_cast<std::size_t>(size), wire.readable));
  wire.in->drop(n);
  wire.readable -= n;
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
