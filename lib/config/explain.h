// Answers of `sluice explain`: what a request would meet, and where a value comes from. Text for people, one fact a
// line.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "config/load.h"

namespace sluice::config {

struct Question {
  std::string url;  // http or https, with a host
  std::string method = "GET";
  std::vector<std::pair<std::string, std::string>> headers = {};  // Host here counts before the one of the URL
};

// The listeners the URL may come in by, the route each would choose (or 404 no_route), its upstreams, and every setting
// of these with the line it comes from (`loaded` holds its origins, Record::origins). The error: a URL, method or
// header that is none.
base::Result<std::string> explain_url(const Loaded& loaded, const Question& question);

// The value of one key ("upstream.app.pool.idle_timeout"), where it comes from, and why its default is what it is. The
// error: no such key, with the nearest one.
base::Result<std::string> explain_key(const Loaded& loaded, std::string_view key);

}  // namespace sluice::config
