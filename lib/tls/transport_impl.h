// The class behind transport.h: included by transport.cc (life, handshake), transport_read.cc and transport_write.cc
// only. An idle connection is one small object and BoringSSL's; queues, timer and words are leased while there is
// something to do.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/slab.h"
#include "tls/certificate.h"
#include "tls/post_handshake.h"
#include "tls/records.h"
#include "tls/transport.h"
#include "tls/wire.h"

namespace sluice::tls {

class TlsTransport final : public net::Transport, public net::Transport::User {
 public:
  TlsTransport(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ServerContext> context,
               const HandshakeOptions& options);
  TlsTransport(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ClientContext> context,
               std::string_view server_name, SessionSlot* sessions, const HandshakeOptions& options);
  class Packed;
  TlsTransport(net::Loop& loop, net::TransportPtr lower, Packed& packed);
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;
  ~TlsTransport();

  struct Busy;

  // net::Transport
  void start(net::Transport::User& user) override;
  bool open() const override { return state_ == State::open; }
  void touch() override;
  void allow_reading(net::Reading how) override;
  void shut_write() override;
  void close(net::Close how) override;
  size_t unsent() const override;
  size_t unacknowledged() const override;
  void limit_write_stall(base::Millis after) override { lower_->limit_write_stall(after); }
  bool quiet_now() override;
  net::Acks acks() const override { return lower_->acks(); }
  const net::Peer& peer() const override { return peer_; }
  void set_peer(const net::Address& remote, const net::Address& local) override;
  std::string_view end_detail() const override;
  std::unique_ptr<net::Packed> pack() override;  // the client's side only
  void retire() noexcept override;

  // net::Transport::User of the lower one
  void on_open() override;
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue& out, size_t room) override;
  void on_eof(bool authenticated) override;
  void on_fin_behind() override;
  void on_drained() override;
  void on_end(net::EndReason why) override;

 private:
  // connecting (the lower one is) -> handshake -> open -> closing (close_notify or an alert has to leave) -> ended.
  enum class State : uint8_t { connecting, handshake, open, closing, ended };
  enum class In : uint8_t { flows, cut, finished, told };  // cut: FIN without close_notify; told: the user knows
  enum class Out : uint8_t {
    flows,
    shut_asked,
    shut_sealed,
    shut
  };  // sealed: close_notify is on its way to the lower one
  enum class Owner : uint8_t { holds, gone };
  enum class Opened : uint8_t { dry, full, finished, failed };  // what open_records() met; dry: no whole record left

  Busy& busy();
  void settle();
  void drop_busy();
  void begin(const HandshakeOptions& options);
  void run();
  void reap();
  void dispose();

  void shake_hands(net::ByteQueue* in);
  void shaken();
  void handshake_failed(HandshakeError why, net::EndReason reason, std::string detail);
  void limit_over();
  void end(net::EndReason why, std::string detail);
  net::EndReason verify_result(std::uint32_t error, std::string& detail) const;

  void receive(net::ByteQueue& in);
  Opened open_records(net::ByteQueue& in, net::ByteQueue& plain);
  Opened open_record(net::ByteQueue& in, size_t size, net::ByteQueue& plain);
  Opened read_by_library(net::ByteQueue& in, net::ByteQueue& plain);
  Opened on_record(RecordType type, std::string_view content);
  Opened on_alert(std::string_view content);
  Opened on_handshake_message(std::string_view content);
  bool hand_over(RecordType type, std::string_view content, net::ByteQueue& answer, std::uint8_t& alert);
  Opened refuse(std::uint8_t alert, std::string detail);
  void send_alert(std::uint8_t level, std::uint8_t alert, net::ByteQueue& out);
  void offer();
  void tell_eof();

  void seal(net::ByteQueue& plain, net::ByteQueue& out);
  void sealing_failed();
  bool seal_by_library(std::string_view record, net::ByteQueue& out);
  std::uint32_t record_limit() const;

  net::Loop& loop_;
  net::TransportPtr lower_;
  net::Transport::User* user_ = nullptr;
  bssl::UniquePtr<SSL> ssl_;
  std::shared_ptr<const void> context_;
  Busy* busy_ = nullptr;
  SessionSlot* sessions_ = nullptr;
  std::uint64_t context_id_ = 0;  // client
  base::Micros wrote_at_{-1};  // last flush with bytes of the user; -1 = never
  std::uint32_t run_bytes_ = 0;  // sealed since the line was idle, up to small_records_for_bytes
  std::uint8_t empty_records_ = 0;  // in a row
  std::uint8_t warnings_ = 0;  // in a row
  State state_ = State::handshake;
  In in_state_ = In::flows;
  Out out_state_ = Out::flows;
  Owner owner_ = Owner::holds;
  net::Reading reading_ = net::Reading::allowed;
  bool told_authenticated_ = false;  // how the end was told
  bool failed_ = false;  // a fatal alert has been sealed: no close_notify
  bool gave_bytes_ = false;  // the user, since the last on_drained
  bool lower_finished_ = false;  // the lower one has seen a FIN
  bool lower_holds_ = false;  // it has bytes that we left there
  Records records_;
  HandshakeStream handshake_stream_;
  KeyUpdateBudget key_updates_;
  net::Peer peer_;
  std::string sni_;  // only if the name came in upper case
};

// What a connection needs only while something is under way.
struct TlsTransport::Busy final : net::Runnable, net::Reapable {
  explicit Busy(TlsTransport& owner) : transport(owner) {}
  void run() override { transport.run(); }
  void reclaim() noexcept override { transport.dispose(); }
  bool idle() const { return in.empty() && out.empty() && detail.empty() && !timer.armed() && !run_linked(); }
  bool run_linked() const { return static_cast<const base::ListHook<net::RunTag>*>(this)->linked(); }

  TlsTransport& transport;
  net::ByteQueue in;  // opened, not yet taken by the user
  net::ByteQueue out;  // handshake and alerts: sealed outside of fill()
  net::Timer timer{this, [](void* b) { static_cast<Busy*>(b)->transport.limit_over(); }};
  base::Micros began{};
  TlsEvents* events = nullptr;
  std::string detail;
  size_t unsent = 0;  // of the lower one, when the farewell was last looked at
  bool tell_failure = false;  // the end has to be told at the loop
};

// One that is idle, between two threads: what makes it a connection of TLS, without a loop, a BIO and keys kept ready.
// Where its later sessions would be kept stays with the thread that it comes from.
class TlsTransport::Packed final : public net::Packed {
 public:
  Packed(TlsTransport& from, std::unique_ptr<net::Packed> lower);
  net::TransportPtr unpack(net::Loop& loop) override;

 private:
  friend class TlsTransport;
  std::unique_ptr<net::Packed> lower_;
  bssl::UniquePtr<SSL> ssl_;
  std::shared_ptr<const void> context_;
  std::uint64_t context_id_;
  Records records_;
  HandshakeStream handshake_stream_;
  KeyUpdateBudget key_updates_;
  net::Peer peer_;
};

// Per-thread recycling.
struct TlsSlabs {
  base::Slab<TlsTransport> transports;
  base::Slab<TlsTransport::Busy> busy;
};
TlsSlabs& tls_slabs();

}  // namespace sluice::tls
