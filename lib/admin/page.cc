#include "admin/page.h"

namespace sluice::admin {

std::string status_page(std::string_view status) {
  std::string page(page_before);
  page.reserve(page_before.size() + status.size() + status.size() / 8 + page_after.size());
  for (const char c : status) {
    switch (c) {
      case '&': page += "&amp;"; break;
      case '<': page += "&lt;"; break;
      case '>': page += "&gt;"; break;
      default: page += c;
    }
  }
  return page += page_after;
}

}  // namespace sluice::admin
