#include "runtime/look_page.h"

#include <fmt/format.h>

#include <limits>

#include "base/text.h"
#include "runtime/json.h"

namespace sluice::runtime {
namespace {

// The number before the next dot; advances `rest`.
std::optional<uint64_t> next_number(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const auto number = base::parse_u64(rest.substr(0, dot));
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return number;
}

std::optional<uint64_t> number_of(const admin::Query& query, std::string_view name, uint64_t least, uint64_t most,
                                  std::string& wrong) {
  const auto text = query.value(name);
  if (!text) return std::nullopt;
  const auto number = base::parse_u64(*text);
  if (number && *number >= least && *number <= most) return number;
  wrong = fmt::format("{} is a number from {} to {}", name, least, most);
  return std::nullopt;
}

std::string json(const ConnectionLook& row) {
  return fmt::format(R"({{"id":{},"conn":{},"worker":{},"listener":{},"peer":{},"tls":{},"sni":{},)"
                     R"("protocol":{},"phase":{},)"
                     R"("phase_seconds":{:.3f},"age_seconds":{:.3f},"streams":{},"requests":{}}})",
                     quoted(place_text(row.place)), row.conn, row.place.worker, quoted(row.listener), quoted(row.peer),
                     row.tls, quoted(row.sni), quoted(row.protocol), quoted(row.phase), row.phase_age.seconds(),
                     row.age.seconds(), row.streams, row.requests);
}

std::string json(const RequestLook& row) {
  std::string text = fmt::format(
      R"({{"id":{},"connection":{},"conn":{},"worker":{},"listener":{},"peer":{},"client":{},"request_id":{},)"
      R"("protocol":{},"method":{},"host":{},"path":{},"route":{},"upstream":{},"endpoint":{},"phase":{},)",
      quoted(place_text(row.place)), quoted(place_text({row.place.came, row.place.worker, 0})), row.conn,
      row.place.worker, quoted(row.listener), quoted(row.peer), quoted(row.client), quoted(row.request_id),
      quoted(row.protocol), quoted(row.method), quoted(row.host), quoted(row.path), quoted(row.route),
      quoted(row.upstream), quoted(row.endpoint), quoted(row.phase));
  text +=
      fmt::format(R"("phase_seconds":{:.3f},"age_seconds":{:.3f},"silent_seconds":{:.3f},"status":{},"attempts":{},)"
                  R"("bytes_in":{},"bytes_out":{})",
                  row.phase_age.seconds(), row.age.seconds(), row.silent.seconds(), row.status, row.attempts,
                  row.bytes_in, row.bytes_out);
  if (row.waits)
    text += fmt::format(R"(,"waits_for":{},"left_seconds":{:.3f})", quoted(row.waits_for), row.left.seconds());
  return text + "}";
}

template <class Row>
std::string rows_json(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    text += text.empty() ? "\n " : ",\n ";
    text += json(row);
  }
  return text;
}

}  // namespace

std::string place_text(const Place& place) {
  if (place.request == 0) return fmt::format("{}.{}", place.came.count, place.worker);
  return fmt::format("{}.{}.{}", place.came.count, place.worker, place.request);
}

std::optional<Place> parse_place(std::string_view text) {
  std::string_view rest = text;
  const auto came = next_number(rest);
  const auto worker = next_number(rest);
  const auto request = rest.empty() ? std::optional<uint64_t>(0) : next_number(rest);
  constexpr uint64_t most = std::numeric_limits<uint32_t>::max();
  if (text.ends_with('.') || !rest.empty() || !came || !worker || !request) return std::nullopt;
  if (*came > INT64_MAX || *worker > most || *request > most) return std::nullopt;
  return Place{base::Micros{static_cast<int64_t>(*came)}, static_cast<uint32_t>(*worker),
               static_cast<uint32_t>(*request)};
}

std::expected<Question, std::string> read_question(Subject subject, const admin::Query& query, uint32_t workers) {
  Question question{.subject = subject};
  std::string wrong;
  if (const auto limit = number_of(query, "limit", 1, Question::limit_max, wrong))
    question.limit = static_cast<uint32_t>(*limit);
  if (const auto worker = number_of(query, "worker", 0, workers - 1, wrong))
    question.worker = static_cast<uint32_t>(*worker);
  if (const auto older = number_of(query, "older", 0, Question::older_max, wrong))
    question.older = base::seconds(static_cast<int64_t>(*older));
  if (const auto text = query.value("after")) {
    const auto place = parse_place(*text);
    if (!place) wrong = "after is the id of a row, or what `next` said";
    question.after = place.value_or(Place{});
  }
  if (!wrong.empty()) return std::unexpected(wrong);
  return question;
}

std::string look_json(Subject subject, const LookPage& page) {
  const bool connections = subject == Subject::connections;
  const std::string rows = connections ? rows_json(page.connections) : rows_json(page.requests);
  return fmt::format("{{\"{}\":[{}],\n\"next\":{}}}\n",
                     connections                    ? "connections"
                     : subject == Subject::requests ? "requests"
                                                    : "waiting",
                     rows, page.next ? quoted(place_text(*page.next)) : "null");
}

}  // namespace sluice::runtime
