#include "exchange/error_pages.h"

#include <algorithm>

#include "base/file.h"

namespace sluice::exchange {

std::string_view page_type(std::string_view file) {
  if (file.ends_with(".html")) return "text/html; charset=utf-8";
  if (file.ends_with(".json")) return "application/json";
  if (file.ends_with(".txt")) return "text/plain; charset=utf-8";
  return "";
}

base::Result<ErrorPagePtr> load_error_page(const std::string& file) {
  auto body = base::read_file(file, error_page_bytes_max, "larger than 64 KiB: too much for an error page");
  if (!body) return std::unexpected(std::move(body.error()));
  return std::make_shared<const ErrorPage>(ErrorPage{std::move(*body), page_type(file)});
}

const ErrorPage* ErrorPages::find(std::uint16_t status) const {
  const auto of = [this](std::uint16_t key) {
    const auto it = std::ranges::find(pages_, key, &Entry::status);
    return it == pages_.end() ? nullptr : it->page.get();
  };
  const ErrorPage* const exact = of(status);
  return exact != nullptr ? exact : of(status / 100);
}

}  // namespace sluice::exchange
