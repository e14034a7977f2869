// Loading texts in the tests of config: a whole file from the part that matters, and the problems by their text.
#pragma once

#include <string>
#include <string_view>

#include "config/load.h"
#include "config/problems.h"

#include <doctest/doctest.h>

namespace sluice::config::test {

inline constexpr std::string_view listener = "[[listener]]\naddress = \"127.0.0.1:8080\"\n";
inline constexpr std::string_view upstream = "[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\"]\n";
inline constexpr std::string_view route = "[[route]]\nupstream = \"app\"\n";

inline std::string whole(std::string_view extra = "") {
  return std::string(extra) + "\n" + std::string(listener) + std::string(upstream) + std::string(route);
}

inline std::expected<Loaded, Problems> load_text(std::string text, const LoadOptions& options = {}) {
  auto source = Source::of("folder/test.toml", std::move(text));
  REQUIRE(source.has_value());
  return load(*source, options);
}

inline LoadOptions everything() { return {.available = Availability::everything()}; }

// The Snapshot of a text that must load.
inline Snapshot good(std::string text, const LoadOptions& options = {}) {
  auto loaded = load_text(std::move(text), options);
  if (!loaded) FAIL(to_text(loaded.error()));
  return *loaded->snapshot;
}

// Every problem of a text that must not load, as `sluice check` prints it.
inline std::string bad(std::string text, const LoadOptions& options = {}) {
  const auto loaded = load_text(std::move(text), options);
  REQUIRE_FALSE(loaded.has_value());
  return to_text(loaded.error());
}

inline std::string warnings(std::string text, const LoadOptions& options = {}) {
  const auto loaded = load_text(std::move(text), options);
  if (!loaded) FAIL(to_text(loaded.error()));
  return to_text(loaded->warnings);
}

inline bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

#define CHECK_HAS(text, part) \
  CHECK_MESSAGE(::sluice::config::test::has(text, part), "looked for: " << (part) << "\nin: " << (text))
#define CHECK_HAS_NOT(text, part) \
  CHECK_MESSAGE(!::sluice::config::test::has(text, part), "did not want: " << (part) << "\nin: " << (text))

}  // namespace sluice::config::test
