#include "runtime/version.h"

namespace sluice::runtime {

std::string_view version() { return SLUICE_VERSION; }

std::string version_text() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return "sluice " SLUICE_VERSION "\ncompiler: " + compiler + "\n";
}

}  // namespace sluice::runtime
