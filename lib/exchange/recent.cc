#include "exchange/recent.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"

namespace sluice::exchange {
namespace {

constexpr std::string_view more = "...";
// By RecentEnd::Text. Together they fit beside the tries of a request with texts as they are usually.
constexpr std::array<uint16_t, RecentEnd::texts> limits{48, 56, 32, 48, 16, 64, 128, 48, 64, 128, 32};
constexpr size_t tried_endpoint_most = 48;
constexpr size_t tried_reason_most = 24;

}  // namespace

std::string_view ring_word(RecentRing ring) {
  switch (ring) {
    case RecentRing::trouble: return "trouble";
    case RecentRing::refused: return "refused";
    case RecentRing::fine: return "fine";
    case RecentRing::none: return "";
  }
  UNREACHABLE();
}

RecentEnd::Span RecentEnd::keep(std::string_view what, size_t most) {
  if (what.empty()) return {};  // memcpy() may not have a null pointer, whatever the size
  const size_t room = std::min(most, text_bytes - used_);
  const bool cut = what.size() > room;
  if (cut && room <= more.size()) return {};
  const size_t whole = cut ? room - more.size() : what.size();
  const Span span{used_, static_cast<uint16_t>(cut ? room : whole)};
  std::memcpy(bytes_.data() + used_, what.data(), whole);
  if (cut) std::memcpy(bytes_.data() + used_ + whole, more.data(), more.size());
  used_ = static_cast<uint16_t>(used_ + span.size);
  return span;
}

// As Address::text() has it, without its allocation.
void RecentEnd::keep_peer(const net::Address& from) {
  if (!from.is_ip()) {
    texts_[peer] = keep("unix:", limits[peer]);
    return;
  }
  std::array<char, 56> text{};
  char* at = text.data();
  const bool six = from.family() == net::Address::Family::ipv6;
  if (six) *at++ = '[';
  at += from.ip_text({at, 46}).size();
  if (six) *at++ = ']';
  *at++ = ':';
  at = std::to_chars(at, at + 5, from.port()).ptr;
  texts_[peer] = keep({text.data(), static_cast<size_t>(at - text.data())}, limits[peer]);
}

void RecentEnd::keep_texts(const AccessRecord& r) {
  const auto put = [this](Text which, std::string_view what) { texts_[which] = keep(what, limits[which]); };
  put(request_id, r.request_id);
  put(trace_id, r.trace_id);
  put(client, r.client);
  put(route, r.route);
  put(upstream, r.upstream);
  put(endpoint, r.endpoint);
  put(method, r.method);
  put(path, r.path.substr(0, r.path.find('?')));
  put(listener, r.listener);
  put(host, r.host);
}

void RecentEnd::keep_tries(std::span<const Try> tries) {
  for (const Try& one : tries) {
    KeptTry& to = tried_[tries_++];
    to.endpoint = keep(one.endpoint, tried_endpoint_most);
    to.reason = keep(one.reason, tried_reason_most);
    to.took = one.took;
  }
}

Recent::Recent() {
  for (size_t i = 0; i < recent_rings; ++i) {
    rings_[i].most = recent_most[i];
    rings_[i].ends.reserve(recent_most[i]);
  }
}

bool Recent::takes(RecentRing which, base::Micros now) {
  if (which == RecentRing::none) return false;
  Ring& ring = rings_[static_cast<size_t>(which)];
  if (ring.window.count < 0 || now - ring.window >= recent_window) {
    ring.window = now;
    ring.taken = 0;
  }
  if (ring.taken < ring.most / recent_share) {
    ++ring.taken;
    return true;
  }
  ++ring.passed_over;
  return false;
}

void Recent::add(RecentRing which, const AccessRecord& r, const More& more_of) {
  Ring& ring = rings_[static_cast<size_t>(which)];
  if (ring.next == ring.ends.size()) ring.ends.emplace_back();
  RecentEnd& end = ring.ends[ring.next];
  ring.next = (ring.next + 1) % ring.most;
  end.used_ = 0;
  end.tries_ = 0;
  end.wall = r.wall;
  end.total = r.total;
  end.first_byte = r.first_byte;
  end.phase = r.phase;
  end.conn = r.conn;
  end.bytes_in = r.bytes_in;
  end.bytes_out = r.bytes_out;
  end.protocol = r.protocol;
  end.ended = r.ended;
  end.ended_by = r.ended_by;
  end.during = r.during;
  end.reason = r.reason;
  end.detail = r.detail;
  end.limited_by = r.limited_by;
  end.fallback = r.fallback;
  end.failure = more_of.failure;
  end.not_repeated = more_of.not_repeated;
  end.ring = which;
  end.reused = r.reused;
  end.status = r.status;
  end.grpc_status = r.grpc_status;
  end.attempts = r.attempts;
  end.keep_peer(more_of.peer);
  end.keep_texts(r);
  end.keep_tries(r.tries);
}

Recent::Look Recent::look(RecentRing which) const {
  const Ring& ring = rings_[static_cast<size_t>(which)];
  const bool full = ring.ends.size() == ring.most;
  return {static_cast<uint32_t>(ring.ends.size()), ring.passed_over,
          full ? ring.ends[ring.next].wall : base::Micros{-1}};
}

}  // namespace sluice::exchange
