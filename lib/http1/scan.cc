// Left to right, first error wins: so a head gives the same verdict however it is torn.
#include "http1/scan.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "http/validate.h"

namespace sluice::http1 {
namespace {

using http::Detail;

enum class Step : uint8_t { line, more, bad };

bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool is_ctl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

class Scanner {
 public:
  Scanner(const char* begin, Cleaning cleaning) : begin_(begin), cleaning_(cleaning) {}

  // One line from `at`, which must end before `stop`.
  Step read(const char*& at, const char* stop, Line& line) {
    const char* p = at;
    line.name_at = offset(p);
    if (is_blank(*p)) {
      if (cleaning_ == Cleaning::none) return fail(Detail::obs_fold);
      cleaned = true;
      line.name_size = 0;
    } else {
      const size_t n = http::token_size({p, static_cast<size_t>(stop - p)});
      p += n;
      if (p == stop) return Step::more;
      line.name_size = static_cast<uint16_t>(std::min<size_t>(n, UINT16_MAX));
      const char* colon = p;
      if (cleaning_ == Cleaning::allowed && n != 0) {
        while (colon < stop && is_blank(*colon)) ++colon;
        if (colon == stop) return Step::more;
        if (colon != p) cleaned = true;
      }
      if (*colon != ':' || n == 0 || n > UINT16_MAX)
        return fail(is_ctl(*p) && *p != '\r' && *p != '\t' ? Detail::ctl : Detail::name);
      p = colon + 1;
    }
    while (p < stop && is_blank(*p)) ++p;
    const char* const value = p;
    p = http::find_ctl(p, stop);
    if (p == stop) return Step::more;
    if (*p != '\r') return fail(Detail::ctl);
    if (p + 1 == stop) return Step::more;
    if (p[1] != '\n') return fail(Detail::ctl);
    at = p + 2;
    for (; p > value && is_blank(p[-1]); --p)
      cleaned = cleaned || p[-1] == '\t';   // OWS to RFC 9110 5.6.3, not to llhttp
    line.value_at = offset(value);
    line.value_size = static_cast<uint32_t>(p - value);
    return Step::line;
  }

  Detail detail = Detail::none;
  bool cleaned = false;

 private:
  uint32_t offset(const char* p) const { return static_cast<uint32_t>(p - begin_); }
  Step fail(Detail what) {
    detail = what;
    return Step::bad;
  }

  const char* begin_;
  Cleaning cleaning_;
};

}  // namespace

ScanResult scan_fields(const char* begin, const char* end, std::span<Line> lines, Cleaning cleaning,
                       FieldBudget& budget) {
  using Stop = ScanResult::Stop;
  DCHECK(end - begin <= UINT32_MAX);
  Scanner scanner(begin, cleaning);
  uint32_t count = 0;
  const char* at = begin;
  const auto result = [&](Stop stop, Detail detail) {
    return ScanResult{stop, detail, scanner.cleaned, count, static_cast<uint32_t>(at - begin)};
  };
  while (true) {
    if (at == end) return result(Stop::more, Detail::none);
    if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
      at += 2;
      return result(Stop::end, Detail::none);
    }
    if (count == lines.size()) return result(Stop::full, Detail::none);
    const bool capped = static_cast<uint64_t>(end - at) >= budget.line_max();
    const char* const stop = capped ? at + budget.line_max() : end;
    Line& line = lines[count];
    const char* next = at;
    const Step step = scanner.read(next, stop, line);
    if (step != Step::line) {
      // A line is judged when its end is here, or cannot come any more: so tearing makes no difference.
      const bool whole = std::memchr(at, '\n', static_cast<size_t>(stop - at)) != nullptr;
      if (whole) return result(Stop::bad, scanner.detail);
      return capped ? result(Stop::bad, Detail::field_size) : result(Stop::more, Detail::none);
    }
    const uint64_t raw = static_cast<uint64_t>(next - at);
    const uint64_t size =
        line.name_size == 0 ? raw : std::max(raw - FieldBudget::free_bytes, uint64_t{line.name_size} + line.value_size);
    if (line.name_size != 0 && budget.count == 0) return result(Stop::bad, Detail::field_count);
    if (size > budget.bytes) return result(Stop::bad, Detail::field_size);
    budget.count -= line.name_size == 0 ? 0 : 1;
    budget.bytes -= size;
    at = next;
    ++count;
  }
}

}  // namespace sluice::http1
