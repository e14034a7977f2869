// Message: one request or answer as an end of the test saw it, without what its HTTP version adds: so two versions can
// be held against each other, as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::cross {

using Lines = std::vector<std::pair<std::string, std::string>>;

enum class Ending : uint8_t {
  open,  // more may come
  whole,  // it said so itself: length, last chunk, END_STREAM
  cut,  // its stream or connection ended before
};

struct Message {
  std::string start;  // "GET example.com /path" or "200"; "" = no head has come
  std::vector<std::string> informational;  // "103 [link: x]"
  Lines fields;  // lower-case names; none that frame or belong to a connection
  std::optional<uint64_t> length;
  std::string upgrade;
  bool expect = false;
  bool te = false;
  bool continued = false;  // a 100 came
  std::string body;
  Lines trailers;
  Ending ending = Ending::open;
  bool reset = false;  // HTTP/2: the stream was reset, with this code
  uint32_t code = 0;

  // "GET example.com / [a: b] length=5 | hello | [t: 1] | whole". Fields that the proxy adds to each request are left
  // out.
  std::string text() const;
  std::string field(std::string_view name) const;  // "" if it is not there
  // Puts a line where it belongs: framing to the members above, or among the fields. `http1`: connection fields are
  // dropped.
  void take(const std::string& name, const std::string& value);
};

std::string to_text(const Lines& lines);

}  // namespace sluice::cross
