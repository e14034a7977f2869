#include "exchange/ending_code.h"

#include "exchange/access_log.h"

namespace sluice::exchange {
namespace {

struct Letter {
  std::string_view word;
  char letter;
};

constexpr Letter parts[] = {{"request_head", 'R'}, {"request_body", 'I'},  {"queue", 'Q'},
                            {"connect", 'C'},      {"response_head", 'H'}, {"response_body", 'B'}};

char part_of(const AccessRecord& r) {
  if (r.reason == "drain") return 'D';
  if (r.ended == "tunnel") return 'T';
  if (r.ended_by == "client" && r.during == "response_body") return 'W';  // it takes, or took, what we write
  for (const Letter& part : parts) {
    if (r.during == part.word) return part.letter;
  }
  return '-';
}

}  // namespace

EndingCode ending_code(const AccessRecord& r) {
  if (!r.told.empty()) return {{'+', r.told.front()}};  // begun, open
  if (!r.ended_by.empty()) return {{r.ended_by.front(), part_of(r)}};
  if (r.ended == "tunnel") return {{'-', 'T'}};
  if (!r.limited_by.empty()) return {{'-', r.limited_by.front()}};  // whole, but slow
  return {{'-', '-'}};
}

}  // namespace sluice::exchange
