// Standing: may the process get traffic? One word of the whole process: control writes it, /readyz and the health_path
// of a listener answer by it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::exchange {

enum class Standing : uint8_t {
  starting,      // not every worker has the configuration
  warming,       // names and pools are awaited
  ready,         // the only one that means yes
  deregistered,  // POST /deregister
  draining,
};

constexpr std::string_view standing_word(Standing standing) {
  constexpr std::array<std::string_view, 5> words{"starting", "warming", "ready", "deregistered", "draining"};
  return words[static_cast<size_t>(standing)];
}

}  // namespace sluice::exchange
