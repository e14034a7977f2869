#include "runtime/holders.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace sluice::runtime {

std::string_view holding_word(Holding kind) {
  switch (kind) {
    case Holding::request: return "request";
    case Holding::websocket: return "websocket";
    case Holding::event_stream: return "event_stream";
    case Holding::grpc_stream: return "grpc_stream";
    case Holding::tunnel: return "tunnel";
    case Holding::idle: return "idle";
  }
  UNREACHABLE();
}

void Holders::add(Holders&& more) {
  for (size_t i = 0; i < holdings; ++i) counts[i] += more.counts[i];
  whole = whole && more.whole;
  oldest.insert(oldest.end(), std::make_move_iterator(more.oldest.begin()), std::make_move_iterator(more.oldest.end()));
  std::ranges::stable_sort(oldest, std::ranges::greater(), &Holder::age);
  if (oldest.size() > told_most) oldest.resize(told_most);
}

}  // namespace sluice::runtime
