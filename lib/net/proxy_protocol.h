// PROXY protocol v1 and v2 (haproxy.org, doc/proxy-protocol.txt): a header before everything else that tells the
// addresses of the connection in front of the peer. Pure functions, and the short-lived user that reads the header of
// an accepted transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/slab.h"
#include "net/address.h"
#include "net/options.h"
#include "net/transport.h"

namespace sluice::net {

struct ProxyHeader {
  // local: the peer speaks for itself (v2 LOCAL). unknown: v1 UNKNOWN, v2 UNSPEC, AF_UNIX or not a stream. For both the
  // connection keeps its own addresses.
  enum class Kind : uint8_t { addresses, local, unknown };
  Kind kind = Kind::unknown;
  Address source;  // of Kind::addresses
  Address destination;
};

constexpr size_t proxy_v1_bytes_max = 107;  // with CRLF
constexpr size_t proxy_v2_head_bytes = 16;
constexpr size_t proxy_v2_length_max = 4096;  // addresses and TLVs; the TLVs are skipped

struct ProxyParse {
  enum class Outcome : uint8_t { need_more, header, error };
  Outcome outcome = Outcome::need_more;
  size_t consumed = 0;  // bytes of the header, if there is one
  ProxyHeader header;
  std::string_view error{};  // a few words for the log
};
// `bytes` from the start of the connection. Anything that cannot become a header is an error as soon as that is known.
ProxyParse parse_proxy_header(std::string_view bytes);

// Appends a header; `version` is not off. Unless both are IP addresses: v1 UNKNOWN, v2 LOCAL. If one is IPv4 and the
// other IPv6, the former is written as IPv4-mapped.
void append_proxy_header(ByteQueue& to, ProxyProtocolOut version, const Address& source, const Address& destination);

// Reads the header of a transport that was just accepted, sets its peer and hands it on. Owned by its host.
class ProxyReader final : private Transport::User, private Reapable {
 public:
  enum class Failed : uint8_t { malformed, timeout, ended };
  class Host {
   public:
    // At the loop, one of the two, once; then the host lets go of the reader. Bytes behind the header wait in the
    // transport for the user that is started next.
    virtual void on_proxy_header(ProxyReader& reader, TransportPtr transport) = 0;
    // The transport is closed. `detail` for the log.
    virtual void on_proxy_failed(ProxyReader& reader, const Peer& peer, Failed why, std::string_view detail) = 0;

   protected:
    ~Host() = default;
  };

  static Owned<ProxyReader> make(Loop& loop, TransportPtr transport, base::Millis deadline, Host& host);
  const Peer& peer() const { return transport_->peer(); }
  void retire() noexcept;  // for Owned

 private:
  friend class base::Slab<ProxyReader>;
  ProxyReader(Loop& loop, TransportPtr transport, base::Millis deadline, Host& host);
  ~ProxyReader() = default;
  void on_bytes(ByteQueue& in) override;
  void fill(ByteQueue&, size_t) override {}
  void on_eof(bool) override { fail(Failed::ended, "closed before the header was complete"); }
  void on_end(EndReason) override { fail(Failed::ended, "ended before the header was complete"); }
  void on_deadline() { fail(Failed::timeout, "no complete header in time"); }
  void fail(Failed why, std::string_view detail);
  void reclaim() noexcept override;

  Loop& loop_;
  TransportPtr transport_;
  Host& host_;
  Timer deadline_{this, timer_call<&ProxyReader::on_deadline>};
};

}  // namespace sluice::net
