// Where the system's CAs stand (ClientTlsOptions::ca == "").
#pragma once

#include <string>

namespace sluice::tls {

// The file that SSL_CERT_FILE names, else the distribution's bundle, else its folder. Looked up anew at each call.
std::string system_authorities();

}  // namespace sluice::tls
