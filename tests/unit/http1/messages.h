// The table of hostile and of good HTTP/1 messages, by row of threats.md: what a session must make of each. Used whole,
// torn at every place, and as seeds of the fuzzers.
#pragma once

#include <string>
#include <vector>

namespace sluice::http1 {

struct RequestCase {
  int row;  // of threats.md; 0 = must pass
  std::string name;
  std::string bytes;
  std::string trace;  // what the sink must have heard, up to the answer
};
const std::vector<RequestCase>& request_cases();

struct ResponseCase {
  int row;
  std::string name;
  std::string method;  // of the request
  std::string bytes;
  bool fin;  // then the origin closes
  std::string trace;
  bool reused;  // the connection may be used again
  std::string upgrade{};  // offered
};
const std::vector<ResponseCase>& response_cases();

}  // namespace sluice::http1
