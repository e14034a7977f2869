// Tables of header blocks, good and hostile, and what they must lead to: read by head_reader_test.cc and
// requests_test.cc.
#pragma once

#include <string>
#include <vector>

#include "peer.h"

namespace sluice::http2 {

struct HeadCase {
  std::string name;
  Lines lines;
  std::string verdict{};  // "bad_request pseudo"; "" = accepted
};

std::vector<HeadCase> request_cases();  // each with END_STREAM on its head, for a listener in the clear
std::vector<HeadCase> response_cases();  // to a GET, without END_STREAM

}  // namespace sluice::http2
