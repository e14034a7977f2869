// FirstBytes: keeps an accepted connection until its first bytes tell which session it is for. Owned by its Client, and
// gone before the first request; what the bytes mean is asked of acceptor.cc.
#pragma once

#include <string_view>

#include "base/slab.h"
#include "http/close_cause.h"
#include "net/timer.h"
#include "net/transport.h"

namespace sluice::runtime {

class FirstBytes final : private net::Transport::User, private net::Reapable {
 public:
  enum class Verdict : uint8_t { more, decided };
  // `bytes`: all that has come. Never `more` for as many as `looked_at_max`.
  using Judge = Verdict (*)(std::string_view bytes);
  static constexpr size_t looked_at_max = 24;

  class Host {
   public:
    // At the loop, one of the two, once; then the host lets go. The bytes wait in the transport for the next user.
    virtual void on_first_bytes(net::TransportPtr transport, std::string_view bytes) = 0;
    virtual void on_no_bytes(http::CloseCause cause) = 0;

   protected:
    ~Host() = default;
  };

  static net::Owned<FirstBytes> make(net::Loop& loop, net::TransportPtr transport, base::Millis patience, Judge judge,
                                     Host& host);
  void limit(base::Millis patience);  // since its beginning it waits so long; after hurry() nothing
  void hurry(base::Millis patience);  // from now on it waits no longer than this
  const net::Peer& peer() const { return transport_->peer(); }
  void retire() noexcept;  // for Owned

 private:
  friend class base::Slab<FirstBytes>;
  FirstBytes(net::Loop& loop, net::TransportPtr transport, base::Millis patience, Judge judge, Host& host);
  ~FirstBytes() = default;
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue&, size_t) override {}
  void on_eof(bool) override { give_up(http::CloseCause::peer_closed); }
  void on_end(net::EndReason) override { give_up(http::CloseCause::peer_reset); }
  void on_patience_over() { give_up(silent_ ? http::CloseCause::idle_timeout : http::CloseCause::timeout); }
  void give_up(http::CloseCause cause);
  void reclaim() noexcept override;

  net::Loop& loop_;
  net::TransportPtr transport_;
  Judge judge_;
  Host& host_;
  net::Timer patience_{this, net::timer_call<&FirstBytes::on_patience_over>};
  base::Micros since_;
  bool silent_ = true;
  bool hurried_ = false;
};

}  // namespace sluice::runtime
