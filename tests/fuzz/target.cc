// Targets, authorities, names and numbers: whatever is accepted holds no byte that could end a line, hide a host or be
// read as something else, and says the same when it is written and read again.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "http/hop_by_hop.h"
#include "http/validate.h"
#include "http1/message.h"

using namespace sluice;

namespace {

void check_target(std::string_view target) {
  CHECK(target.front() == '/');
  const std::string_view path = target.substr(0, target.find('?'));
  for (const char c : target) CHECK(c > 0x20 && c < 0x7f && c != '#');
  CHECK(path.find('\\') == std::string_view::npos);
  CHECK(path.find_first_of("\"<>{}`") == std::string_view::npos);
}

void check_authority(std::string_view text) {
  CHECK(text.find_first_of("@,/?#\\ \"<>") == std::string_view::npos);
  CHECK(!text.empty() && text.front() != ':');
  CHECK(http::is_authority(http::without_empty_port(text)) && http::without_empty_port(text).back() != ':');
  if (http::has_port(text))
    CHECK(text.substr(text.rfind(':') + 1).find_first_not_of("0123456789") == std::string_view::npos);
}

void check_request_line(std::string_view line) {
  base::Arena arena;
  http::Head head(arena);
  if (!http1::read_request_line(line, head).clean()) return;
  CHECK(http::is_token(head.method_text) && !head.target.empty());
  const std::string again = std::string(head.method_text) + " " + std::string(head.target) + " " +
                            std::string(http::version_word(head.version)) + "\r";
  CHECK(again == line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (http::is_origin_form(text)) check_target(text);
  if (http::is_authority(text)) check_authority(text);
  check_request_line(text);
  // The wide loop and the plain one agree, at every alignment.
  for (size_t from = 0; from < size && from < 20; ++from) {
    const std::string_view part = text.substr(from);
    size_t plain = 0;
    while (plain < part.size() &&
           (static_cast<unsigned char>(part[plain]) >= 0x20 ? part[plain] != 0x7f : part[plain] == '\t'))
      ++plain;
    CHECK(http::find_ctl(part.data(), part.data() + part.size()) == part.data() + plain);
  }
  if (const auto length = http::parse_content_length(text)) {
    CHECK(text.find_first_not_of("0123456789") == std::string_view::npos);
    CHECK(http::parse_content_length(std::to_string(*length)) == length);
  }
  http::ConnectionOptions options;
  http::read_connection(text, options);
  const std::string_view choice = http::upgrade_choice(text);
  CHECK(choice.empty() || http::is_token(choice));
  base::Arena arena;
  http::Head head(arena);
  if (http1::read_status_line(text, head).clean()) CHECK(head.status >= 100 && head.status <= 599);
  return 0;
}
