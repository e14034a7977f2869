// Settings of TLS on both sides, as `[listener.tls]` and `[upstream.tls]` state them. Plain values, free of
// BoringSSL, so that the config library can fill them; paths are absolute or relative to the working directory
// (the config library has already resolved them against the folder of the configuration file).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace sluice::tls {

enum class Version : std::uint8_t { tls12, tls13 };
enum class ClientAuth : std::uint8_t { off, optional, required };
enum class Verify : std::uint8_t { no, yes };
enum class EarlyData : std::uint8_t { no, yes };

// One certificate chain (PEM, leaf first) and its private key (PEM).
struct CertificateFiles {
  std::string cert;
  std::string key;
  bool operator==(const CertificateFiles&) const = default;
};

struct ServerTlsOptions {
  std::vector<CertificateFiles> certificates;  // at least one; the first answers names that none covers
  Version min_version = Version::tls13;
  std::string client_ca;                       // file; empty = no client certificates
  ClientAuth client_auth = ClientAuth::off;
  EarlyData early_data = EarlyData::no;
  std::string ticket_keys;                     // file shared by a fleet; empty = made here and rotated
  base::Millis ticket_lifetime{12 * 3'600'000};
  bool operator==(const ServerTlsOptions&) const = default;
};

struct ClientTlsOptions {
  std::string server_name;  // SNI and the name verified; empty = the endpoint's name
  std::string ca;           // file; empty = the system's
  Verify verify = Verify::yes;
  std::string cert;         // client certificate and its key: both or neither
  std::string key;
  bool operator==(const ClientTlsOptions&) const = default;
};

}  // namespace sluice::tls
