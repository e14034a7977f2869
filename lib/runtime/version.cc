#include "runtime/version.h"

#include <fmt/format.h>

#include "config/load.h"
#include "dns/resolver.h"
#include "http1/parser.h"
#include "net/uv_driver.h"
#include "tls/context.h"

namespace sluice::runtime {

std::string_view version() { return SLUICE_VERSION; }

std::string version_text() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return fmt::format("sluice {}\ncompiler: {}\nlibuv {}, {}, BoringSSL API {}, llhttp {}, toml++ {}, fmt {}.{}.{}\n",
                     SLUICE_VERSION, compiler, net::libuv_version(), dns::library_version(),
                     tls::boringssl_api_version(), http1::llhttp_version(), config::tomlplusplus_version(),
                     FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
}

}  // namespace sluice::runtime
