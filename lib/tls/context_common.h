// What server and client contexts have in common. Inside lib/tls only.
#pragma once

#include <openssl/ssl.h>

#include <span>
#include <string>

#include "tls/certificate.h"

namespace sluice::tls {

constexpr std::int64_t unix_seconds(base::Micros wall) { return wall.count / 1'000'000; }

// A context with the versions, ciphers, groups and modes of ours.
bssl::UniquePtr<SSL_CTX> make_context(Version min_version);
// Gives it the chain and the key. The error names the file.
base::Result<void> use_certificate(SSL_CTX& context, const Certificate& certificate);
// Trusts the certificates of a PEM file. The error names the file.
base::Result<void> trust_file(SSL_CTX& context, const std::string& path);
// As in the ALPN extension: each name behind its length (RFC 7301 3.1).
std::string alpn_wire(std::span<const std::string> names);

}  // namespace sluice::tls
