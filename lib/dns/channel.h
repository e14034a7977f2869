// Channel: one query to one server: a c-ares channel of its own, so a new id and a new source port. Its sockets are
// ours (hooks), so that a datagram that does not answer the query is dropped and counted before c-ares sees it, and the
// wait goes on. UDP sockets are connected: what comes from elsewhere never leaves the kernel. Used by resolver.cc only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dns/answer.h"
#include "net/address.h"
#include "net/loop.h"

namespace sluice::dns {

inline constexpr unsigned datagrams_a_wake = 64;  // dropped ones; then others of the loop come first
inline constexpr int edns_size = 1232;  // UDP answers up to this, then TCP (no fragments: DNS flag day 2020)

class Channel {
 public:
  // Sends the query. `done` is run later, once, when done() has become true; never within a call. All outlive the
  // channel.
  Channel(net::Loop& loop, const net::Address& server, const std::string& name, Type type, net::Runnable& done);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();  // cancels

  bool done() const;
  // When done: ok, nxdomain, empty, servfail, refused, malformed with the answer; unreachable or timeout without.
  Outcome outcome() const;
  const Answer& answer() const;
  // At any time: datagrams dropped so far, and once done what the answer ignored.
  const IgnoredCounts& ignored() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::dns
