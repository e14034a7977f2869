// Error pages: files whose content is the body of failures that the proxy tells itself, in place of the one line of
// local_reply. Read when a configuration is loaded; immutable then, and shared by all workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sluice::exchange {

inline constexpr std::size_t error_page_bytes_max = 64 * 1024;  // one chunk, so that an answer refers to it as a whole
inline constexpr std::size_t error_page_files_max = 32;  // in one configuration

struct ErrorPage {
  std::string body;
  std::string_view content_type;
};
using ErrorPagePtr = std::shared_ptr<const ErrorPage>;

// The content type by the ending of a file's name: .html, .json, .txt. "" = another ending.
std::string_view page_type(std::string_view file);

// Whole regular file of a known ending; the error names the file and the reason. Waits for the disk: never on a loop.
base::Result<ErrorPagePtr> load_error_page(const std::string& file);

// Those of one route or listener.
class ErrorPages {
 public:
  // `status`: 404, or 4 and 5 for all of their class.
  void add(std::uint16_t status, ErrorPagePtr page) { pages_.push_back({status, std::move(page)}); }
  bool empty() const { return pages_.empty(); }
  // That of `status`, else that of its class; nullptr: neither is there.
  const ErrorPage* find(std::uint16_t status) const;

 private:
  struct Entry {
    std::uint16_t status;
    ErrorPagePtr page;
  };
  std::vector<Entry> pages_;  // some: searched only when something has failed
};

}  // namespace sluice::exchange
