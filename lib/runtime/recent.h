// Recent: what GET /recent asks the workers, what each says of its last requests, and how that becomes one page. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/query.h"
#include "exchange/recent.h"

namespace sluice::runtime {

struct RecentQuestion {
  static constexpr uint32_t limit_max = 1000;  // ends of a page
  static constexpr uint32_t limit_default = 50;
  static constexpr size_t value_max = 256;  // bytes of a value

  // Empty: any. id: of the request or of its trace; client: "IP" as the client is known, or "IP:PORT" of its
  // connection; status: "404", or "4xx".
  std::string id, client, reason, ended_by, ended, route, upstream, endpoint, status;
  std::string kept_as;  // words with commas between them
  std::optional<uint64_t> conn;
  uint32_t limit = limit_default;

  // One request, or those of one client: to find nothing is an answer of its own (404).
  bool about_one() const;
  bool fits(const exchange::RecentEnd& end) const;
};

// Values may have percent escapes. The error is a sentence that says what would be right.
std::expected<RecentQuestion, std::string> read_recent(const admin::Query& query);

struct RecentAnswer {
  std::vector<exchange::RecentEnd> ends;  // the latest first
  std::array<exchange::Recent::Look, exchange::recent_rings> rings;
  base::Micros wall{};  // when it was said
};

// What one worker says, in its thread.
RecentAnswer answer_of(const exchange::Recent& recent, const RecentQuestion& question, base::Micros wall);
// Of all workers: as many of the latest as were asked for. kept and passed_over are sums; reaches is as far back as
// every worker goes.
RecentAnswer merge_recent(const RecentQuestion& question, std::vector<RecentAnswer> workers);

std::string recent_json(const RecentAnswer& answer, uint32_t workers);
// A line each, and what is kept.
std::string recent_text(const RecentAnswer& answer, uint32_t workers);
// What is kept, how much of it there is, and since when.
std::string kept_text(const RecentAnswer& answer, uint32_t workers);

}  // namespace sluice::runtime
