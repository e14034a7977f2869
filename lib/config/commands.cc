// check and explain; see commands.h.
#include "config/commands.h"

#include "config/problems.h"

namespace sluice::config {
namespace {

constexpr int exit_good = 0;
constexpr int exit_bad = 2;

std::string count(std::size_t n, std::string_view what) {
  return concat({std::to_string(n), " ", what, n == 1 ? "" : "s"});
}

template <class Answer>
Outcome explain(const std::string& file, const LoadOptions& options, Answer answer) {
  LoadOptions with_origins = options;
  with_origins.record = Record::origins;
  const auto loaded = load_file(file, with_origins);
  if (!loaded) return {exit_bad, "", to_text(loaded.error())};
  base::Result<std::string> text = answer(*loaded);
  if (!text) return {exit_bad, "", to_text({text.error()})};
  return {exit_good, std::move(*text), ""};
}

}  // namespace

Outcome check_command(const std::string& file, CheckFormat format, Strict strict, const LoadOptions& options) {
  const auto loaded = load_file(file, options);
  const Problems& problems = loaded ? loaded->warnings : loaded.error();
  const bool refused = strict == Strict::yes && !problems.empty();
  Outcome outcome{loaded && !refused ? exit_good : exit_bad, "", ""};
  switch (format) {
    case CheckFormat::json: outcome.out = to_json(problems); return outcome;
    case CheckFormat::text: outcome.out = to_text(problems); break;
  }
  if (!loaded) return outcome;
  const Snapshot& s = *loaded->snapshot;
  outcome.out += concat({file, refused ? ": refused by --strict: " : ": good: ", count(s.listeners.size(), "listener"),
                         ", ", count(s.upstreams.size(), "upstream"), ", ", count(s.routes.size(), "route"),
                         problems.empty() ? "" : ", " + count(problems.size(), "warning"), "\n"});
  return outcome;
}

Outcome explain_command(const std::string& file, const Question& question, const LoadOptions& options) {
  return explain(file, options, [&](const Loaded& loaded) { return explain_url(loaded, question); });
}

Outcome explain_command(const std::string& file, std::string_view key, const LoadOptions& options) {
  return explain(file, options, [&](const Loaded& loaded) { return explain_key(loaded, key); });
}

Outcome graph_command(const std::string& file, GraphFormat format, const LoadOptions& options) {
  const auto loaded = load_file(file, options);
  if (!loaded) return {exit_bad, "", to_text(loaded.error())};
  return {exit_good, graph(*loaded->snapshot, format), ""};
}

}  // namespace sluice::config
