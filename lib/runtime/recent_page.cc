// GET /recent in JSON and as text.
#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "runtime/json.h"
#include "runtime/recent.h"
#include "runtime/why.h"

namespace sluice::runtime {
namespace {

using exchange::RecentEnd;
using exchange::RecentRing;

void put_text(std::string& to, std::string_view name, std::string_view value) {
  if (!value.empty()) to += fmt::format(R"(,"{}":{})", name, quoted(value));
}

std::string tries_json(const RecentEnd& end) {
  Joined all;
  for (uint32_t i = 0; i < end.tries(); ++i) {
    const RecentEnd::Tried one = end.tried(i);
    all.add(fmt::format(R"({{"endpoint":{},"reason":{},"us":{}}})", quoted(one.endpoint), quoted(one.reason),
                        one.took.count));
  }
  return "[" + all.text() + "]";
}

// Names as in the access log; what has no value is left out, likewise.
std::string end_json(const RecentEnd& end) {
  std::string text = fmt::format(R"({{"time":"{}","start":"{}","conn":{})", base::wall_text(end.wall),
                                 base::wall_text(end.wall - end.total), end.conn);
  const std::pair<std::string_view, RecentEnd::Text> asked[] = {{"request_id", RecentEnd::request_id},
                                                                {"trace_id", RecentEnd::trace_id},
                                                                {"client", RecentEnd::client},
                                                                {"peer", RecentEnd::peer},
                                                                {"listener", RecentEnd::listener},
                                                                {"route", RecentEnd::route},
                                                                {"method", RecentEnd::method},
                                                                {"host", RecentEnd::host},
                                                                {"path", RecentEnd::path},
                                                                {"upstream", RecentEnd::upstream},
                                                                {"endpoint", RecentEnd::endpoint}};
  for (const auto& [name, which] : asked) put_text(text, name, end.text(which));
  const std::pair<std::string_view, std::string_view> words[] = {
      {"protocol", end.protocol},
      {"ended", end.ended},
      {"ended_by", end.ended_by},
      {"during", end.during},
      {"reason", end.reason},
      {"detail", end.detail},
      {"limited_by", end.limited_by},
      {"fallback", end.fallback},
      {"not_repeated", exchange::not_repeated_word(end.not_repeated)}};
  for (const auto& [name, word] : words) put_text(text, name, word);
  text += fmt::format(R"(,"kept_as":"{}","status":{},"bytes_in":{},"bytes_out":{},"attempts":{},"reused":{})",
                      exchange::ring_word(end.ring), end.status, end.bytes_in, end.bytes_out, end.attempts, end.reused);
  if (end.grpc_status >= 0) text += fmt::format(R"(,"grpc_status":{})", end.grpc_status);
  if (end.tries() != 0) text += R"(,"tries":)" + tries_json(end);
  if (end.first_byte.count >= 0) text += fmt::format(R"(,"first_byte_us":{})", end.first_byte.count);
  text += fmt::format(R"(,"total_us":{})", end.total.count);
  for (size_t i = 0; i < exchange::phases; ++i) {
    text += fmt::format(R"(,"{}_us":{})", exchange::phase_word(static_cast<exchange::Phase>(i)), end.phase[i].count);
  }
  return text + fmt::format(R"(,"sentence":{}}})", quoted(sentence_of(end)));
}

std::string ring_json(const RecentAnswer& answer, size_t index, uint32_t workers) {
  const exchange::Recent::Look& ring = answer.rings[index];
  return fmt::format(R"({{"kept_as":"{}","kept":{},"most":{},"passed_over":{},"since":{}}})",
                     exchange::ring_word(static_cast<RecentRing>(index)), ring.kept,
                     uint64_t{workers} * exchange::recent_most[index], ring.passed_over,
                     ring.reaches.count < 0 ? "null" : "\"" + base::wall_text(ring.reaches) + "\"");
}

std::string end_text(const RecentEnd& end) {
  std::string text = base::wall_text(end.wall) + "  " + sentence_of(end) + "  [";
  const std::pair<std::string_view, RecentEnd::Text> names[] = {
      {"route", RecentEnd::route},      {"upstream", RecentEnd::upstream}, {"endpoint", RecentEnd::endpoint},
      {"client", RecentEnd::client},    {"peer", RecentEnd::peer},         {"request_id", RecentEnd::request_id},
      {"trace_id", RecentEnd::trace_id}};
  for (const auto& [name, which] : names) {
    if (end.text(which).empty()) continue;
    text += std::string(name) + "=";
    base::append_escaped(text, end.text(which));
    text += ' ';
  }
  return text + fmt::format("conn={}]\n", end.conn);
}

}  // namespace

std::string recent_json(const RecentAnswer& answer, uint32_t workers) {
  std::string ends;
  for (const RecentEnd& end : answer.ends) ends += (ends.empty() ? "\n " : ",\n ") + end_json(end);
  Joined rings;
  for (size_t i = 0; i < exchange::recent_rings; ++i) rings.add(ring_json(answer, i, workers));
  return fmt::format("{{\"now\":\"{}\",\"kept\":[{}],\n\"ends\":[{}]}}\n", base::wall_text(answer.wall), rings.text(),
                     ends);
}

std::string kept_text(const RecentAnswer& answer, uint32_t workers) {
  std::string text = "kept";
  for (size_t i = 0; i < exchange::recent_rings; ++i) {
    const exchange::Recent::Look& ring = answer.rings[i];
    text += fmt::format("{} {} of {} {}", i == 0 ? "" : ",", ring.kept, uint64_t{workers} * exchange::recent_most[i],
                        exchange::ring_word(static_cast<RecentRing>(i)));
    if (ring.reaches.count >= 0) text += fmt::format(" (the last {:.0f} s)", (answer.wall - ring.reaches).seconds());
    if (ring.passed_over != 0) text += fmt::format(" ({} came too fast and were not kept)", ring.passed_over);
  }
  return text + "\n";
}

std::string recent_text(const RecentAnswer& answer, uint32_t workers) {
  std::string text;
  for (const RecentEnd& end : answer.ends) text += end_text(end);
  return text + (text.empty() ? "nothing like that has ended; " : "") + kept_text(answer, workers);
}

}  // namespace sluice::runtime
