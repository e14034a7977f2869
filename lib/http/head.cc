// Words for the version of a head.
#include "http/head.h"

namespace sluice::http {

std::string_view version_word(Version version) {
  switch (version) {
    case Version::http_10: return "HTTP/1.0";
    case Version::http_11: return "HTTP/1.1";
    case Version::http_2: return "HTTP/2.0";
  }
  return "";
}

}  // namespace sluice::http
