#include "runtime/recent.h"

#include <algorithm>
#include <iterator>

#include "base/text.h"

namespace sluice::runtime {
namespace {

using exchange::Recent;
using exchange::RecentEnd;
using exchange::RecentRing;

constexpr std::array<std::string_view, 3> sides{"client", "upstream", "proxy"};
constexpr std::array<std::string_view, 3> rings{"trouble", "refused", "fine"};
constexpr std::array<std::string_view, 4> ends{"complete", "cut", "refused", "tunnel"};

std::unexpected<std::string> wrong(std::string_view name, std::string_view what) {
  return std::unexpected(std::string(name) + " is " + std::string(what));
}

// RFC 3986 2.1; nullopt: an escape that is none.
std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto byte = base::parse_hex_u64(text.substr(i + 1, 2));
    if (i + 2 >= text.size() || !byte) return std::nullopt;
    out += static_cast<char>(*byte);
    i += 2;
  }
  return out;
}

template <class Words>
std::string one_of(const Words& words) {
  std::string text = "one of";
  for (const std::string_view word : words) {
    if (!word.empty()) text += " " + std::string(word);
  }
  return text;
}

std::vector<std::string_view> reasons() {
  std::vector<std::string_view> all;
  for (unsigned i = 1; i < http::kinds; ++i) {
    const std::string_view word = http::reason_word(static_cast<http::Kind>(i));
    if (std::ranges::find(all, word) == all.end()) all.push_back(word);
  }
  return all;
}

bool is_status(std::string_view text) {
  const bool first = text.size() == 3 && text[0] >= '1' && text[0] <= '5';
  return first && (text.substr(1) == "xx" || (base::is_digit(text[1]) && base::is_digit(text[2])));
}

bool status_fits(std::string_view wanted, uint16_t status) {
  if (wanted.substr(1) == "xx") return status / 100 == wanted[0] - '0';
  return base::parse_u64(wanted) == status;
}

std::expected<RecentQuestion, std::string> checked(RecentQuestion question) {
  const auto known = reasons();
  if (!question.reason.empty() && std::ranges::find(known, question.reason) == known.end())
    return wrong("reason", one_of(known));
  if (!question.ended_by.empty() && std::ranges::find(sides, question.ended_by) == sides.end())
    return wrong("ended_by", one_of(sides));
  if (!question.ended.empty() && std::ranges::find(ends, question.ended) == ends.end())
    return wrong("ended", one_of(ends));
  std::string_view rest = question.kept_as;
  while (const auto ring = base::next_list_member(rest)) {
    if (std::ranges::find(rings, *ring) == rings.end())
      return wrong("kept_as", one_of(rings) + ", or several with commas between them");
  }
  if (!question.status.empty() && !is_status(question.status)) return wrong("status", "a status as 404, or 4xx");
  return question;
}

bool is(std::string_view wanted, std::string_view value) { return wanted.empty() || wanted == value; }

bool is_one_of(std::string_view wanted, std::string_view value) {
  bool one = wanted.empty();
  while (const auto word = base::next_list_member(wanted)) one = one || *word == value;
  return one;
}

}  // namespace

std::expected<RecentQuestion, std::string> read_recent(const admin::Query& query) {
  RecentQuestion q;
  const std::pair<std::string_view, std::string*> texts[] = {{"id", &q.id},
                                                             {"client", &q.client},
                                                             {"reason", &q.reason},
                                                             {"ended_by", &q.ended_by},
                                                             {"ended", &q.ended},
                                                             {"route", &q.route},
                                                             {"status", &q.status},
                                                             {"upstream", &q.upstream},
                                                             {"endpoint", &q.endpoint},
                                                             {"kept_as", &q.kept_as}};
  for (const auto& [name, to] : texts) {
    const auto value = query.value(name);
    if (!value) continue;
    auto text = decoded(*value);
    if (!text || text->empty() || text->size() > RecentQuestion::value_max)
      return wrong(name, "a text of 1 to 256 bytes, with percent escapes where it needs them");
    *to = std::move(*text);
  }
  if (const auto text = query.value("conn")) {
    q.conn = base::parse_u64(*text);
    if (!q.conn) return wrong("conn", "the number of a connection, as /recent and /debug/connections tell it");
  }
  if (const auto text = query.value("limit")) {
    const auto limit = base::parse_u64(*text);
    if (!limit || *limit < 1 || *limit > RecentQuestion::limit_max) return wrong("limit", "a number from 1 to 1000");
    q.limit = static_cast<uint32_t>(*limit);
  }
  return checked(std::move(q));
}

bool RecentQuestion::about_one() const { return !id.empty() || conn || !client.empty(); }

bool RecentQuestion::fits(const RecentEnd& end) const {
  const auto text = [&end](RecentEnd::Text which) { return end.text(which); };
  if (!id.empty() && id != text(RecentEnd::request_id) && id != text(RecentEnd::trace_id)) return false;
  if (!client.empty() && client != text(RecentEnd::client) && client != text(RecentEnd::peer)) return false;
  if (conn && *conn != end.conn) return false;
  if (!status.empty() && !status_fits(status, end.status)) return false;
  return is(reason, end.reason) && is(ended_by, end.ended_by) && is(ended, end.ended) &&
         is(route, text(RecentEnd::route)) && is(upstream, text(RecentEnd::upstream)) &&
         is(endpoint, text(RecentEnd::endpoint)) && is_one_of(kept_as, exchange::ring_word(end.ring));
}

RecentAnswer answer_of(const Recent& recent, const RecentQuestion& question, base::Micros wall) {
  RecentAnswer answer;
  answer.wall = wall;
  for (size_t i = 0; i < exchange::recent_rings; ++i) {
    const auto ring = static_cast<RecentRing>(i);
    answer.rings[i] = recent.look(ring);
    uint32_t left = question.limit;
    recent.each(ring, [&](const RecentEnd& end) {
      if (!question.fits(end)) return true;
      answer.ends.push_back(end);
      return --left != 0;
    });
  }
  return answer;
}

RecentAnswer merge_recent(const RecentQuestion& question, std::vector<RecentAnswer> workers) {
  RecentAnswer all;
  for (RecentAnswer& one : workers) {
    all.ends.insert(all.ends.end(), std::make_move_iterator(one.ends.begin()), std::make_move_iterator(one.ends.end()));
    all.wall = std::max(all.wall, one.wall);
    for (size_t i = 0; i < exchange::recent_rings; ++i) {
      all.rings[i].kept += one.rings[i].kept;
      all.rings[i].passed_over += one.rings[i].passed_over;
      all.rings[i].reaches = std::max(all.rings[i].reaches, one.rings[i].reaches);
    }
  }
  std::ranges::stable_sort(all.ends, std::ranges::greater(), &RecentEnd::wall);
  if (all.ends.size() > question.limit) all.ends.erase(all.ends.begin() + question.limit, all.ends.end());
  return all;
}

}  // namespace sluice::runtime
