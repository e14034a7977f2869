// Why: what became of one request, as a sentence for people; GET /recent as text, and `sluice why`. Pure. It says only
// what is known, and names who did it.
#pragma once

#include <string>

#include "exchange/recent.h"

namespace sluice::runtime {

// Without a full stop at its end. Whatever a peer chose is escaped.
std::string sentence_of(const exchange::RecentEnd& end);

}  // namespace sluice::runtime
