// Cross checks of `error_pages`: each file once, however many routes name it; see check.h.
#include <set>

#include "config/check_parts.h"
#include "exchange/error_pages.h"

namespace sluice::config {
namespace {

// Where the file stands in a table of pages.
Position place_of_page(const Node* owner, const std::string& file) {
  const Node* const table = look(owner, {"error_pages"});
  for (std::size_t i = 0; table != nullptr && i < table->members.size(); ++i) {
    const Node& value = table->members[i].value;
    if (value.kind == Kind::text && std::string_view(file).ends_with(value.text)) return value.at;
  }
  return place(owner, {"error_pages"});
}

}  // namespace

void check_error_pages(const Snapshot& s, const Node& root, Report& report, const FileChecks& files) {
  std::set<std::string_view> seen;
  const auto look_at = [&](const std::vector<route::ErrorPageFile>& pages, const Node* owner) {
    for (const route::ErrorPageFile& page : pages) {
      if (!seen.insert(page.file).second) continue;
      const Position at = place_of_page(owner, page.file);
      if (seen.size() == exchange::error_page_files_max + 1) {
        report.error(at, concat({"error_pages name more than ", std::to_string(exchange::error_page_files_max),
                                 " files: one may serve several statuses and routes"}));
      }
      if (files.error_page) show_file_problems(report, at, files.error_page(page.file));
    }
  };
  for (std::size_t i = 0; i < s.listeners.size(); ++i)
    look_at(s.listeners[i].error_pages, item_of(look(&root, {"listener"}), i));
  for (std::size_t i = 0; i < s.routes.size(); ++i)
    look_at(s.routes[i].error_pages, item_of(look(&root, {"route"}), i));
}

}  // namespace sluice::config
