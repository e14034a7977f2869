// Fuzzes the configuration loader: whatever the bytes, it loads or complains. What loads must survive dump, diff and
// explain, and its dump must load again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "config/diff.h"
#include "config/dump.h"
#include "config/explain.h"
#include "config/load.h"
#include "config/problems.h"

namespace config = sluice::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A leading plus: as if every feature were built.
  config::LoadOptions options;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with('+')) {
    options.available = config::Availability::everything();
    text.remove_prefix(1);
  }
  const auto source = config::Source::of("fuzz.toml", std::string(text));
  CHECK(source.has_value());
  const auto loaded = config::load(*source, options);
  if (!loaded) {
    CHECK(!loaded.error().empty());
    CHECK(!config::to_text(loaded.error()).empty());
    CHECK(!config::to_json(loaded.error()).empty());
    return 0;
  }
  const config::Snapshot& snapshot = *loaded->snapshot;
  const auto again = config::Source::of("again.toml", config::dump(snapshot, options.available));
  CHECK(again.has_value());
  const auto reloaded = config::load(*again, options);
  CHECK(reloaded.has_value());
  CHECK(config::diff(snapshot, snapshot).empty());
  (void)config::explain_url(*loaded, {.url = "http://a.test/api/x?y=1"});
  (void)config::explain_key(*loaded, "upstream.app.pool.idle_timeout");
  return 0;
}
