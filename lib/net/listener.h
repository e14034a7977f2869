// Listening sockets: opened by the control thread (so that a reload keeps them), handed to workers as descriptors, and
// served there by a Listener.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "net/fd.h"
#include "net/fd_watch.h"
#include "net/transport.h"

namespace sluice::net {

// Is the address free of other processes? Asked before open_socket(): with SO_REUSEPORT we would get half of another's
// clients, and no error. Sockets of our own do not count ("0.0.0.0:80" beside "127.0.0.1:80", or one that is closing).
// The error names the address and what to do. A Unix socket file that nobody serves is removed. Not for a loop.
base::Result<void> probe_address(const Address& address);

struct ListenOptions {
  enum class Share : uint8_t { no, yes };  // TCP: SO_REUSEPORT, a socket for each worker
  Share share = Share::yes;
  uint32_t unix_mode = 0660;  // of the file of a Unix socket, whatever the umask
};
// Bound and listening, non-blocking. TCP: TCP_NODELAY (inherited by what is accepted), IPv6 is V6ONLY. Port 0: the
// kernel chooses, see bound_address(). Unix: bound once, workers get Fd::duplicate()s; at no time does its file allow
// more than `unix_mode`.
base::Result<Fd> open_socket(const Address& address, const ListenOptions& options = {});
base::Result<Address> bound_address(const Fd& socket);

// The mode of the file of a Unix socket that is open. An abstract one has none: nothing happens.
base::Result<void> set_unix_mode(const Address& address, uint32_t mode);
// Removes it. Only who has bound it may.
void remove_unix_file(const Address& address);

class Listener final : private FdWatch::User, private Runnable {
 public:
  class Host {
   public:
    // At the loop. Must not destroy the listener. The connection is open and reads once it is started; let it go to
    // refuse it.
    virtual void on_accept(TransportPtr connection) = 0;
    // EMFILE, ENFILE, ENOBUFS, ENOMEM, again and again while it lasts: accepting pauses for `accept_pause`, clients
    // wait in the backlog. EMFILE, too, when what is left is kept for others (fd.h).
    virtual void on_accept_error(int error) = 0;
    // stop_accepting() is done: the descriptor is closed. At the loop; may destroy the listener.
    virtual void on_stopped() {}

   protected:
    ~Host() = default;
  };
  static constexpr uint32_t accepts_per_event_max = 64;
  static constexpr base::Millis accept_pause = base::millis(100);
  // What a client far away needs for the last step of its handshake. Below the second after which a SYN is sent again.
  static constexpr base::Millis handshake_grace = base::millis(100);

  Listener(Loop& loop, Fd socket, Host& host, Takes takes = Takes::what_traffic_may);
  // No connection that a client takes for open is reset: from now on none begins, those whose handshakes have begun are
  // accepted for `handshake_grace`, then the socket closes and on_stopped() follows. Again: nothing.
  void stop_accepting();
  bool accepting() const { return static_cast<bool>(socket_); }
  const Address& address() const { return address_; }

 private:
  enum class State : uint8_t { accepting, stopping, stopped };
  void on_ready(FdWatch::For what) override;
  void run() override;
  void pause_over();
  bool accept_one();  // false: nothing more for now
  void paused_by(int error);

  Loop& loop_;
  Host& host_;
  Fd socket_;
  std::optional<FdWatch> watch_;  // goes before the descriptor does
  Address address_;  // as bound
  bool wildcard_;  // then the local address of each connection is asked for
  Takes takes_;
  State state_ = State::accepting;
  uint32_t batch_ = 1;
  Timer pause_{this, timer_call<&Listener::pause_over>};
};

}  // namespace sluice::net
