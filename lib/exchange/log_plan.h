// LogPlan: what `[access_log]` chose, made once for each configuration: keys ready to be copied, in their order. A line
// is one walk over it (access_line.cc), without an allocation.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "exchange/options.h"

namespace sluice::exchange {

class LogPlan {
 public:
  static constexpr std::size_t headers_max = 16;
  static constexpr std::size_t header_bytes_max = 256;  // of a value; what is longer is cut

  struct Step {
    LogField field{};
    std::string key;  // ,"route":
  };

  explicit LogPlan(const AccessLogOptions& options);

  AccessLogFormat format() const { return format_; }
  LogNames names() const { return names_; }
  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<LoggedHeader>& headers() const { return headers_; }
  const std::string& header_key(std::size_t index) const { return header_keys_[index]; }  // as Step::key
  // Is the value of a parameter of this name (as it stands in the query, maybe percent-encoded) a secret?
  bool redacts(std::string_view name) const;
  bool redacts_any() const { return !redact_.empty(); }
  bool logs_response_headers() const { return response_headers_; }
  base::Millis long_every() const { return long_every_; }
  // Is what ended well, in good time, told? `draw`: 64 random bits.
  bool takes_ordinary() const { return share_ != 0; }
  bool takes(std::uint64_t draw) const { return (draw >> 32) < share_; }
  bool draws() const { return share_ != 0 && share_ <= UINT32_MAX; }

 private:
  AccessLogFormat format_;
  LogNames names_;
  std::vector<Step> steps_;
  std::vector<LoggedHeader> headers_;
  std::vector<std::string> header_keys_;
  std::vector<std::string> redact_;
  std::uint64_t share_;  // of 2^32
  base::Millis long_every_;
  bool response_headers_ = false;
};

// Why a header may not be logged, in words that follow its name; "": it may. Credentials do not belong in a log.
std::string_view header_is_secret(std::string_view name);

}  // namespace sluice::exchange
