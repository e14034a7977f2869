// A transport that is a function call: what the session writes goes to a counter, what it reads and hears comes from
// the test.
#pragma once

#include "net/transport.h"

namespace sluice::support {

class FakeTransport final : public net::Transport, public net::Flushable {
 public:
  explicit FakeTransport(net::Loop& loop) : loop_(loop) {}
  void start(User& user) override { user_ = &user; }
  bool open() const override { return true; }
  void touch() override { loop_.flush_later(*this); }
  void allow_reading(net::Reading) override {}
  void shut_write() override {}
  void close(net::Close) override { user_ = nullptr; }
  size_t unsent() const override { return 0; }
  void limit_write_stall(base::Millis) override {}
  bool quiet_now() override { return true; }
  net::Acks acks() const override { return {}; }
  const net::Peer& peer() const override { return peer_; }
  void set_peer(const net::Address&, const net::Address&) override {}
  std::string_view end_detail() const override { return {}; }
  void retire() noexcept override { user_ = nullptr; }
  void flush() override {
    if (user_ == nullptr) return;
    net::ByteQueue out;
    user_->fill(out, high_mark);
    written += out.size();
    out.clear();
    if (user_ != nullptr) user_->on_drained();
  }
  void give(std::string_view bytes) {
    in_.append_copy(bytes);
    user_->on_bytes(in_);
  }
  void give_eof(bool authenticated) { user_->on_eof(authenticated); }
  uint64_t written = 0;

 private:
  net::Loop& loop_;
  User* user_ = nullptr;
  net::ByteQueue in_;
  net::Peer peer_;
};

}  // namespace sluice::support
