// The class behind tcp_socket.h: included by tcp_socket.cc (life, reading) and tcp_write.cc (writing, limits) only.
#pragma once

#include <uv.h>

#include "base/check.h"
#include "base/slab.h"
#include "net/tcp_socket.h"

namespace sluice::net {

class TcpSocket final : public Transport {
 public:
  struct Busy;

  TcpSocket(Loop& loop, const Address& remote, const Address& local);
  ~TcpSocket() = default;

  void adopt(Fd fd);                                       // accepted
  void dial(const Address& to, const DialOptions& options);
  void abandon();                                          // the loop goes: nobody waits for the rest of a flush

  void start(User& user) override;
  bool open() const override { return state_ == State::open; }
  void touch() override;
  void allow_reading(Reading how) override;
  void shut_write() override;
  void close(Close how) override;
  size_t unsent() const override;
  size_t unacknowledged() const override;
  void limit_write_stall(base::Millis after) override;
  bool quiet_now() override;
  Acks acks() const override;
  const Peer& peer() const override { return peer_; }
  void set_peer(const Address& remote, const Address& local) override;
  std::string_view end_detail() const override;
  std::unique_ptr<Packed> pack() override;
  void retire() noexcept override;

 private:
  // connecting -> open -> [lingering ->] closing (libuv has the handle) -> closed.
  enum class State : uint8_t { connecting, open, lingering, closing, closed };
  enum class In : uint8_t { flows, fin_seen, fin_told };   // fin_seen: the user has yet to hear of it
  enum class Out : uint8_t { flows, shut_asked, shut, broken };
  enum class Poll : uint8_t { off, on };                   // does libuv read?
  enum class Owner : uint8_t { holds, gone };              // gone: memory goes once the handle is closed
  enum class Tell : uint8_t { nothing, open, end };        // owed to a user that has not started yet

  enum class Given : uint8_t { all, maybe_more };          // by fill(): see its contract

  friend struct Busy;
  Busy& busy();
  void settle();                                           // gives the lease back if there is nothing to do
  void run();
  void offer();                                            // bytes and FIN that the user may hear of now
  void finish_if_done();
  void end(EndReason why, int error);                      // at the loop
  void close_handle();
  void reset_on_close();
  void reap();
  void dispose();
  bool stream_alive() const { return state_ == State::open || state_ == State::lingering; }
  int fd() const;
  bool was_reset() const;  // as the kernel has it, and forgets when asked
  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&handle_); }

  int connect(const Address& to, const DialOptions& options, bool& bound);
  void opened();
  void poll_reads();
  void stop_reads();
  void provide(uv_buf_t* buffer);
  void received(ssize_t n, const uv_buf_t* buffer);
  void look();                                             // paused or half closed: has the peer reset, or left?

  void flush();
  void write_some(Given given);
  void write_rest();
  void wrote(int status);
  void drained();
  void shut_if_asked();
  void write_failed(int error);
  void watch_stall();
  void limit_over();                                       // connect timeout, or time to look whether writing stalls

  Loop& loop_;
  User* user_ = nullptr;
  Busy* busy_ = nullptr;
  uint32_t stall_ms_ = 0;
  int error_ = 0;                                          // libuv's, for end_detail()
  State state_ = State::connecting;
  In in_state_ = In::flows;
  Out out_state_ = Out::flows;
  Poll poll_ = Poll::off;
  Reading reading_ = Reading::allowed;
  Owner owner_ = Owner::holds;
  Tell tell_ = Tell::nothing;
  EndReason end_reason_ = EndReason::closed;
  bool bulk_ = false;                                      // the last read filled its buffer: the next one is larger
  bool fin_behind_told_ = false;                           // to this user
  Peer peer_;
  uv_tcp_t handle_{};  // of Unix sockets too: libuv asks for a stream socket, no more
};

// What a socket needs only while bytes, a timer or a request are under way.
struct TcpSocket::Busy final : Flushable, Runnable, Reapable {
  explicit Busy(TcpSocket& owner) : socket(owner) {}
  ~Busy();
  void flush() override { socket.flush(); }
  void run() override { socket.run(); }
  void reclaim() noexcept override { socket.dispose(); }
  bool idle() const;

  TcpSocket& socket;
  ByteQueue in;
  ByteQueue out;
  Timer limit{this, [](void* b) { static_cast<Busy*>(b)->socket.limit_over(); }};
  Timer again{this, [](void* b) { static_cast<Busy*>(b)->socket.look(); }};
  Chunk* target = nullptr;  // between alloc and read callback: where the bytes go
  uv_write_t* write = nullptr;  // under way; its bytes are the front of `out`
  size_t in_flight = 0;  // its size
  uv_connect_t* connect = nullptr;
  bool stop_reads = false;  // reading was paused when bytes came: stop polling if it still is at the flush
  // Stall watch: bytes the peer has acknowledged at the last look, and when that number last grew.
  uint64_t written = 0;
  int64_t acked = 0;  // of `written`; below zero while older bytes are on their way
  base::Micros progress_at{-1};  // -1 = no look yet
};

// Per-thread recycling of the four objects that sockets are made of.
struct TcpSlabs {
  base::Slab<TcpSocket> sockets;
  base::Slab<TcpSocket::Busy> busy;
  base::Slab<uv_write_t> writes;
  base::Slab<uv_connect_t> connects;
};
TcpSlabs& tcp_slabs();

}  // namespace sluice::net
