// Recent: the last requests of one worker that ended, for GET /recent and `sluice why`. Rings of fixed size, so that
// what is fine, or what clients got refused, cannot push out what failed; nothing is allocated for a request. In a
// second each ring takes a quarter of its places at most, so that a flood leaves seconds to look back at, not
// milliseconds; what it does not take is counted. Only its worker's thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "exchange/access_log.h"
#include "exchange/record.h"
#include "exchange/retry.h"
#include "http/failure.h"
#include "net/address.h"

namespace sluice::exchange {

enum class RecentRing : uint8_t {
  trouble,  // slow, failed, cut, repeated; tunnels
  refused,  // by us, with a status below 500: for what the client sent
  fine,
  none,  // not kept: a balancer's question about health
};
inline constexpr size_t recent_rings = static_cast<size_t>(RecentRing::none);
inline constexpr std::array<uint32_t, recent_rings> recent_most{512, 128, 128};  // ends, by ring
inline constexpr base::Micros recent_window{1'000'000};
inline constexpr uint32_t recent_share = 4;  // a window takes one in so many of a ring's places
std::string_view ring_word(RecentRing ring);

// One request that ended. Texts that somebody else chose are copies, cut at a limit (then they end in "...").
class RecentEnd {
 public:
  static constexpr size_t text_bytes = 640;  // of all texts
  enum Text : uint8_t {  // by their limits below
    client,
    peer,  // "ip:port": the other end of the client's connection
    listener,
    route,
    method,
    host,
    path,  // without its query, which may hold secrets
    upstream,
    endpoint,
    request_id,
    trace_id,
    texts,
  };
  struct Tried {
    std::string_view endpoint, reason;
    base::Micros took;
  };

  std::string_view text(Text which) const { return of(texts_[which]); }
  uint32_t tries() const { return tries_; }
  Tried tried(uint32_t index) const {
    return {of(tried_[index].endpoint), of(tried_[index].reason), tried_[index].took};
  }

  base::Micros wall{}, total{}, first_byte{};  // its end; first_byte: since its beginning, -1 = none came
  std::array<base::Micros, phases> phase{};
  uint64_t conn = 0, bytes_in = 0, bytes_out = 0;
  // Literals, all of them. ended_by, during, limited_by: "" = nothing to say.
  std::string_view protocol, ended, ended_by, during, reason, detail, limited_by, fallback;
  http::Failure failure;
  NotRepeated not_repeated = NotRepeated::unsaid;
  RecentRing ring = RecentRing::fine;
  bool reused = false;
  uint16_t status = 0;
  int32_t grpc_status = -1;  // -1: none
  uint32_t attempts = 0;

 private:
  friend class Recent;
  struct Span {
    uint16_t at = 0, size = 0;
  };
  struct KeptTry {
    Span endpoint, reason;
    base::Micros took{};
  };
  std::string_view of(Span span) const { return {bytes_.data() + span.at, span.size}; }
  Span keep(std::string_view what, size_t most);
  void keep_peer(const net::Address& from);
  void keep_texts(const AccessRecord& r);
  void keep_tries(std::span<const Try> tries);

  uint32_t tries_ = 0;
  uint16_t used_ = 0;
  std::array<Span, texts> texts_{};
  std::array<KeptTry, tries_told> tried_{};
  std::array<char, text_bytes> bytes_;
};

class Recent {
 public:
  // What the line of the log does not say.
  struct More {
    const net::Address& peer;
    http::Failure failure;
    NotRepeated not_repeated;
  };
  struct Look {
    uint32_t kept = 0;
    uint64_t passed_over = 0;  // since the beginning
    base::Micros reaches{
        -1};  // wall time: all since then is kept but for what was passed over; -1: since the beginning
  };

  Recent();
  // Is one more to be added to it? Then add() follows.
  bool takes(RecentRing ring, base::Micros now);
  void add(RecentRing ring, const AccessRecord& record, const More& more);
  Look look(RecentRing ring) const;
  // show(const RecentEnd&), the latest one of each ring first; until it says false.
  template <class Show>
  void each(RecentRing which, Show show) const {
    const Ring& ring = rings_[static_cast<size_t>(which)];
    for (uint32_t i = 1; i <= ring.ends.size(); ++i) {
      if (!show(ring.ends[(ring.next + ring.most - i) % ring.most])) return;
    }
  }

 private:
  struct Ring {
    std::vector<RecentEnd> ends;  // room for `most` is reserved: what was never used costs no memory
    uint32_t most = 0, next = 0;
    uint32_t taken = 0;  // in the window since
    base::Micros window{-1};
    uint64_t passed_over = 0;
  };
  std::array<Ring, recent_rings> rings_;
};

}  // namespace sluice::exchange
