// HeadReader: takes the lines of one header block, as HPACK gives them, and judges what they make: a request, a
// response or trailers (RFC 9113 8; threats.md rows 36, 39). Strings are copied to the request's arena. The first fault
// is the verdict.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "http/head.h"
#include "http/options.h"
#include "http/stream.h"
#include "http/validate.h"
#include "http2/held_heads.h"
#include "http2/priority.h"

namespace sluice::http2 {

enum class Side : uint8_t { request, response };
enum class Indexing : uint8_t { allowed, never };  // RFC 7541 6.2.3

class HeadReader {
 public:
  // Row 36. A field counts 32 bytes besides its name and value (RFC 9113 6.5.2); beyond so many times the limit nothing
  // is answered any more, the connection ends.
  static constexpr uint64_t field_overhead = 32;
  static constexpr uint64_t bomb_factor = 4;
  static constexpr uint32_t crumbs_max = 256;  // of Cookie; together they count as one field

  HeadReader(Side side, const http::HttpLimits& limits, base::Arena& arena, HeldHeads& held)
      : arena_(arena), limits_(limits), held_(held), side_(side) {}

  // Begins a block: a head (each 1xx is one), or the trailers.
  void begin_head(http::Head& head);
  void begin_trailers(http::Fields& to);

  enum class Taken : uint8_t { yes, bomb };
  Taken take(std::string_view name, std::string_view value, Indexing indexing);

  // The block is whole: completes the head. Clean, or what is wrong with it.
  http::Failure finish_request(http::Scheme scheme, http::End end);
  struct Asked {
    http::Method method;
    std::string_view upgrade;  // offered; "" = none
  };
  http::Failure finish_response(const Asked& asked, http::End end);
  http::Failure finish_trailers(http::End end);

  // The arena was given back but for so much.
  void released(uint64_t kept) { held_.keep(kept); }

  uint64_t bytes() const { return bytes_; }  // of this block, as the limit counts
  bool connect() const { return connect_; }  // the request was a CONNECT, extended or not
  bool has_priority() const { return has_priority_; }
  Priority priority() const { return priority_; }

 private:
  enum class Block : uint8_t { head, trailers };
  struct Crumb {
    Crumb* next;
    std::string_view text;
  };

  void take_pseudo(std::string_view name, std::string_view value);
  void take_field(std::string_view name, std::string_view value, Indexing indexing);
  bool take_special(http::Token token, std::string_view value);
  void take_length(std::string_view value);
  void add_crumb(std::string_view value, Indexing indexing);
  void join_crumbs();
  void fault(http::Detail detail);
  void too_large(http::Detail detail);
  http::Failure judge_target(http::Scheme scheme);
  http::Failure judge_connect(http::Scheme scheme);
  http::Failure bad(http::Detail detail) const;

  base::Arena& arena_;
  const http::HttpLimits& limits_;
  HeldHead held_;
  http::Head* head_ = nullptr;
  http::Fields* fields_ = nullptr;
  std::string_view protocol_{};
  std::string_view host_{};
  Crumb* first_crumb_ = nullptr;
  Crumb* last_crumb_ = nullptr;
  http::Failure failure_{};
  uint64_t bytes_ = 0;
  uint32_t count_ = 0;  // fields
  uint32_t crumbs_ = 0;
  Priority priority_{};
  uint8_t cookie_flags_ = 0;  // http::Field::flags
  uint8_t pseudos_ = 0;  // seen, a bit each
  Side side_;
  Block block_ = Block::head;
  bool fields_begun_ = false;
  bool has_host_ = false;
  bool has_priority_ = false;
  bool connect_ = false;
};

}  // namespace sluice::http2
